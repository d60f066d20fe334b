/*
 * net/stream_parts.h - what stream.c (a socket, in clear) and stream_tls.c (the same through OpenSSL) ask of each other.
 */
#ifndef NET_STREAM_PARTS_H
#define NET_STREAM_PARTS_H

#include "net/stream.h"

/* stream.c */
void stream_watch(struct stream *s, bool for_output); /* what epoll tells of besides input */
void stream_ask_again(struct stream *s); /* there is input that epoll will not tell of */
void stream_end(struct stream *s, enum stream_end why, const char *text);
void stream_end_errno(struct stream *s, enum stream_end why, int error);
void stream_break(struct stream *s, int error); /* sending failed: the owner is told at the end of the turn */

/* stream_tls.c */
size_t stream_tls_read(struct stream *s, uint8_t *p, size_t room); /* 0: nothing now, or ended */
size_t stream_tls_write(struct stream *s, struct view v);          /* how much went out; SIZE_MAX: the stream is broken */
bool   stream_tls_step(struct stream *s);                          /* of the handshake; true: it is done */
bool   stream_tls_has_more(const struct stream *s);                /* OpenSSL holds input that was not read yet */
void   stream_tls_close(struct stream *s);

#endif
