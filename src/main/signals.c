/*
 * main/signals.c - what each signal does.
 *
 * SIGTERM is not PgBouncer's SHUTDOWN WAIT_FOR_CLIENTS, which may take for ever: whoever sends it (Docker, Kubernetes,
 * systemd) kills after 10 to 90 seconds, so transactions have shutdown_timeout to end. SIGINT waits for them without a
 * limit.
 */
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "process.h"

static void
reload(struct proxy *x)
{
	char reason[ACCESS_WHY_MAX];
	struct text why = TEXT_IN(reason);
	if (proxy_reload(x, &why))
		return;
	log_error("config", "reload failed, the old configuration stays in force:");
	for (char *line = strtok(reason, "\n"); line; line = strtok(NULL, "\n"))
		log_error("config", "%s", line);
}

static void
on_signal(int number, void *context)
{
	struct process *p = context;
	struct proxy *x = p->proxy;
	log_info("main", "received %s", strsignal(number));
	bool is_stopping = x->state >= PROXY_STOPPING_SERVERS;
	switch (number) {
	case SIGHUP:
		reload(x);
		break;
	case SIGTERM:
	case SIGINT:
		if (is_stopping)
			loop_stop(x->loop);
		else
			proxy_stop(x, number == SIGTERM ? PROXY_STOPPING : PROXY_STOPPING_SERVERS);
		break;
	case SIGQUIT:
		loop_stop(x->loop);
		break;
	case SIGUSR1:
		if (x->state == PROXY_RUNNING)
			proxy_pause(x, NULL);
		break;
	case SIGUSR2:
		if (is_stopping)
			log_info("main", "it is stopping, which RESUME does not undo");
		else
			proxy_resume(x, NULL);
		break;
	}
}

void
take_signals(struct process *p)
{
	static const int numbers[SIGNALS - 1] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < SIGNALS - 1; i++)
		p->signals[i] = loop_on_signal(p->proxy->loop, numbers[i], on_signal, p);
}
