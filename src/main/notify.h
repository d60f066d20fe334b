/*
 * main/notify.h - tells systemd how we are (Type=notify, WatchdogSec=).
 */
#ifndef MAIN_NOTIFY_H
#define MAIN_NOTIFY_H

#include <stdint.h>

void notify_open(void); /* by the environment, which is cleaned */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
void notify_reloading(void);       /* READY=1 is to follow */
uint64_t notify_watchdog_us(void); /* how often to say WATCHDOG=1; 0: never */
void notify_close(void);

#endif
