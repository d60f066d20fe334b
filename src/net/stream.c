/*
 * net/stream.c - bytes in and out of one socket; see the header for the drawing.
 *
 * Hot path of a plain transaction: one recv into loop->in, the owner's handler, one send of what it gathered, straight
 * from where the bytes lie. No copy, no allocation, no change of what epoll watches.
 *
 * epoll tells of a change once (EPOLLET). What it has told is noted in is_readable until a read finds less than it had room
 * for: after that whatever comes is told again. So whoever stops reading before that has to ask for another turn
 * (stream_ask_again), and who resumes looks at is_readable.
 *
 * Invariants: gather is empty while pending is not (order of bytes); after stream_close() fd is -1, nothing is
 * watched and the owner is never called again.
 */
#include "net/stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/x509v3.h>

#include "base/heap.h"
#include "stream_parts.h"

/* Input that OpenSSL holds, where epoll can't see it. In clear: one look, no call. */
static inline bool
has_hidden(const struct stream *s)
{
	return s->ssl && stream_tls_has_more(s);
}

/* Is there input that epoll will not tell of again? */
static inline bool
may_read_on(const struct stream *s)
{
	return s->is_readable || has_hidden(s);
}

static inline bool
is_held(const struct stream *s)
{
	return s->is_paused | s->is_suspended;
}

void
stream_watch(struct stream *s, bool for_output)
{
	loop_watch(s->loop, &s->watched, s->fd, EPOLLIN | EPOLLRDHUP | EPOLLET | (for_output ? EPOLLOUT : 0u));
}

/* ---- opening and closing ---- */

static void stream_on_ready(struct watched *w, uint32_t events);

static void
stream_init(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops, void *owner)
{
	memset(s, 0, sizeof(*s));
	s->watched.on_ready = stream_on_ready;
	s->loop = loop;
	s->fd = fd;
	s->ops = ops;
	s->owner = owner;
}

void
stream_open(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops, void *owner)
{
	stream_init(s, loop, fd, ops, owner);
	stream_watch(s, false);
}

bool
stream_connect(struct stream *s, struct loop *loop, const struct sockaddr *address, socklen_t address_bytes,
               const struct stream_ops *ops, void *owner)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, address, address_bytes) != 0 && errno != EINPROGRESS) {
		int saved = errno;
		close(fd);
		errno = saved;
		return false;
	}
	stream_init(s, loop, fd, ops, owner);
	s->is_connecting = true;
	loop_watch(loop, &s->watched, fd, EPOLLOUT); /* a Unix socket connects at once, and is told so in the next turn too */
	return true;
}

bool
stream_is_open(const struct stream *s)
{
	return s->loop != NULL && s->fd >= 0;
}

static void
gather_release(struct stream *s)
{
	struct gather *g = s->gather;
	if (g == NULL)
		return;
	g->stream = NULL;
	s->gather = NULL;
	if (g == &s->loop->gathers[s->loop->gather_count - 1])
		s->loop->gather_count--;
}

/* Closing with unread input sends a reset, which would overtake our last words. Who never stops talking gets the reset. */
static void
waste_input(int fd)
{
	enum { READS_MAX = 256 };
	uint8_t waste[4096];
	for (int i = 0; i < READS_MAX; i++)
		if (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) != (ssize_t)sizeof(waste))
			return;
}

void
stream_close(struct stream *s)
{
	if (!stream_is_open(s))
		return;
	s->is_ended = true; /* the owner is not called from here on */
	if (!s->is_connecting && !s->is_in_handshake)
		stream_flush(s);
	gather_release(s);
	node_remove(&s->again_node);
	loop_forget(s->loop, &s->watched);
	if (s->ssl)
		stream_tls_close(s);
	if (!s->is_connecting)
		waste_input(s->fd);
	close(s->fd);
	s->fd = -1;
	/* A handler may still be looking at the kept input; handle_input frees it then. */
	if (!s->is_in_handler)
		buf_free(&s->rest);
	buf_free(&s->pending);
}

void
stream_end(struct stream *s, enum stream_end why, const char *text)
{
	if (s->is_ended)
		return;
	s->is_ended = true;
	gather_release(s);
	s->ops->on_end(s->owner, why, text);
}

void
stream_end_errno(struct stream *s, enum stream_end why, int error)
{
	stream_end(s, why, strerror(error));
}

void
stream_ask_again(struct stream *s)
{
	if (!node_is_in(&s->again_node))
		list_append(&s->loop->again, &s->again_node);
}

/* ---- sending ---- */

/* Sending happens inside of calls of the owner, who must not find its own ground moved: tell it later. */
void
stream_break(struct stream *s, int error)
{
	if (s->is_ended || s->is_broken)
		return;
	s->is_broken = true;
	s->error = (int16_t)error;
	gather_release(s);
	stream_ask_again(s);
}

static size_t
write_plain(struct stream *s, struct iovec *piece, unsigned count)
{
	struct msghdr m = { .msg_iov = piece, .msg_iovlen = count };
	s->loop->sends++;
	ssize_t n = count == 1 ? send(s->fd, piece->iov_base, piece->iov_len, MSG_NOSIGNAL)
	                       : sendmsg(s->fd, &m, MSG_NOSIGNAL);
	if (n >= 0)
		return (size_t)n;
	if (errno == EINTR || errno == ENOBUFS) { /* nothing that epoll would tell the end of */
		stream_ask_again(s);
		return 0;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return 0;
	stream_break(s, errno);
	return SIZE_MAX;
}

/* The pieces as one view: TLS makes a record of it. */
static struct view
gather_joined(struct loop *loop, const struct gather *g)
{
	if (g->count == 1)
		return view_of(g->piece[0].iov_base, g->piece[0].iov_len);
	size_t n = 0;
	for (unsigned i = 0; i < g->count; i++) {
		memcpy(loop->tls_out + n, g->piece[i].iov_base, g->piece[i].iov_len);
		n += g->piece[i].iov_len;
	}
	return view_of(loop->tls_out, n);
}

static void
tell_blocked(struct stream *s)
{
	stream_watch(s, true);
	if (!s->is_blocked && !s->is_ended) {
		s->is_blocked = true;
		s->ops->on_blocked(s->owner);
	}
}

void
stream_flush(struct stream *s)
{
	struct gather *g = s->gather;
	if (g == NULL)
		return;
	must(s->pending.n == 0);
	size_t done = s->ssl ? stream_tls_write(s, gather_joined(s->loop, g)) : write_plain(s, g->piece, g->count);
	if (done < g->bytes) {
		for (unsigned i = 0; i < g->count; i++) {
			struct view left = view_of(g->piece[i].iov_base, g->piece[i].iov_len);
			size_t skip = done < left.n ? done : left.n;
			done -= skip;
			buf_add(&s->pending, view_from(left, skip));
		}
	}
	gather_release(s);
	if (s->pending.n > 0)
		tell_blocked(s);
}

bool
stream_unsend(struct stream *s, uint64_t sends)
{
	if (s->gather == NULL || s->pending.n > 0 || s->loop->sends != sends)
		return false;
	gather_release(s);
	return true;
}

static inline struct gather *
gather_take(struct stream *s)
{
	struct loop *loop = s->loop;
	if (loop->gather_count == GATHERS_MAX) {
		size_t scratch_used = loop->scratch_used; /* the caller's bytes may lie there */
		loop_flush_all(loop);
		loop->scratch_used = scratch_used;
	}
	struct gather *g = &loop->gathers[loop->gather_count++];
	g->stream = s;
	g->bytes_max = s->ssl ? LOOP_SCRATCH_BYTES : SIZE_MAX; /* TLS joins several pieces in tls_out, which has an end */
	g->tail = NULL;
	g->count = 0;
	g->bytes = 0;
	s->gather = g;
	return g;
}

/* A small piece behind one that lies in the scratch is cheaper to copy than to gather. */
static bool
joins_scratch(struct loop *loop, struct gather *g, struct view v)
{
	enum { SMALL = 512 };
	uint8_t *end = loop->scratch + loop->scratch_used;
	if (v.n > SMALL || v.n > LOOP_SCRATCH_BYTES - loop->scratch_used || g->tail != end)
		return false;
	memcpy(end, v.p, v.n);
	loop->scratch_used += v.n;
	g->piece[g->count - 1].iov_len += v.n;
	g->bytes += v.n;
	g->tail += v.n;
	return true;
}

void
stream_gather(struct stream *s, struct view v)
{
	if (v.n == 0 || s->fd < 0 || s->is_ended || s->is_broken)
		return;
	if (s->pending.n > 0) {
		buf_add(&s->pending, v);
		return;
	}
	struct gather *g = s->gather;
	bool is_full = g && g->bytes + v.n > g->bytes_max;
	if (g && !is_full) {
		if (joins_scratch(s->loop, g, v))
			return;
		is_full = g->count == GATHER_MAX;
	}
	if (is_full) {
		stream_flush(s);
		if (s->pending.n > 0)
			buf_add(&s->pending, v);
		if (s->pending.n > 0 || s->is_broken)
			return;
		g = NULL;
	}
	if (g == NULL)
		g = gather_take(s);
	g->piece[g->count++] = (struct iovec){ .iov_base = (void *)(uintptr_t)v.p, .iov_len = v.n };
	g->bytes += v.n;
	g->tail = v.p + v.n;
}

void
stream_put(struct stream *s, struct view v)
{
	struct loop *loop = s->loop;
	if (s->fd < 0 || s->is_ended || s->is_broken)
		return;
	if (v.n > LOOP_SCRATCH_BYTES - loop->scratch_used) {
		/* Large and rare (a statement's whole text): goes out at once, from where it lies. */
		stream_send(s, v);
		stream_flush(s);
		return;
	}
	uint8_t *copy = loop->scratch + loop->scratch_used;
	memcpy(copy, v.p, v.n);
	loop->scratch_used += v.n;
	stream_send(s, view_of(copy, v.n));
}

/* ---- receiving ---- */

static void
read_nothing(struct stream *s, ssize_t n)
{
	s->is_readable = n < 0 && errno == EINTR;
	if (n == 0)
		stream_end(s, STREAM_END_EOF, "connection closed");
	else if (errno == EINTR)
		stream_ask_again(s);
	else if (errno != EAGAIN && errno != EWOULDBLOCK)
		stream_end_errno(s, STREAM_END_ERROR, errno);
}

/* Read into p; 0: nothing now or ended. */
static inline size_t
read_some(struct stream *s, uint8_t *p, size_t room)
{
	s->loop->receives++;
	if (s->ssl)
		return stream_tls_read(s, p, room);
	ssize_t n = recv(s->fd, p, room, 0);
	if (n <= 0) {
		read_nothing(s, n);
		return 0;
	}
	s->is_readable = s->is_cut || n == (ssize_t)room;
	return (size_t)n;
}

/* Give the owner everything there is; answers how much of it was consumed. */
static inline size_t
give(struct stream *s, struct view v)
{
	s->is_in_handler = true;
	size_t used = s->ops->on_data(s->owner, v);
	s->is_in_handler = false;
	must(used <= v.n);
	loop_flush(s->loop); /* before the input goes that the gathered pieces lie in */
	return used;
}

/* The whole of s->rest. */
static void
handle_rest(struct stream *s)
{
	size_t used = give(s, buf_view(&s->rest));
	if (s->fd < 0 || used == s->rest.n)
		buf_free(&s->rest);
	else
		buf_drop_front(&s->rest, used);
}

static void
keep(struct stream *s, struct view left)
{
	buf_free(&s->rest); /* its bytes were copied to the front of what was handled */
	if (s->fd < 0 || left.n == 0)
		return;
	if (buf_try_reserve(&s->rest, left.n))
		buf_add(&s->rest, left);
	else
		stream_end(s, STREAM_END_MEMORY, "no memory to keep a message");
}

/* What lies in loop->in, with the rest in front of it. */
static inline void
handle_input(struct stream *s, struct view v)
{
	size_t used = give(s, v);
	if (used < v.n || s->rest.p)
		keep(s, view_from(v, used));
}

/* Whether anything came. */
static bool
receive(struct stream *s)
{
	struct loop *loop = s->loop;
	size_t kept = s->rest.n;
	if (kept <= LOOP_IN_BYTES / 2) {
		size_t n = read_some(s, loop->in + kept, LOOP_IN_BYTES - kept);
		if (n == 0)
			return false;
		if (kept > 0)
			memcpy(loop->in, s->rest.p, kept);
		handle_input(s, view_of(loop->in, kept + n));
	} else { /* a message that is handled whole and is larger than the loop's buffer grows where it is kept */
		if (!buf_try_reserve(&s->rest, LOOP_IN_BYTES)) {
			stream_end(s, STREAM_END_MEMORY, "no memory to keep a message");
			return false;
		}
		size_t n = read_some(s, s->rest.p + kept, s->rest.room - kept);
		if (n == 0)
			return false;
		s->rest.n += n;
		handle_rest(s);
	}
	if (s->fd >= 0 && !s->is_ended && !is_held(s) && may_read_on(s))
		stream_ask_again(s);
	return true;
}

static void
write_pending(struct stream *s)
{
	size_t done;
	if (s->ssl) {
		done = stream_tls_write(s, buf_view(&s->pending));
	} else {
		struct iovec all = { .iov_base = s->pending.p, .iov_len = s->pending.n };
		done = write_plain(s, &all, 1);
	}
	if (done == SIZE_MAX)
		return;
	buf_drop_front(&s->pending, done);
	if (s->pending.n > 0)
		return;
	buf_free(&s->pending);
	stream_watch(s, false);
	if (s->is_blocked) {
		s->is_blocked = false;
		s->ops->on_drained(s->owner);
	}
}

/* Sending failed. What the peer said before it left (a FATAL, perhaps) is still worth hearing. */
static void
end_broken(struct stream *s)
{
	while (s->ssl == NULL && !is_held(s) && s->fd >= 0 && !s->is_ended && receive(s))
		;
	if (s->fd >= 0)
		stream_end_errno(s, STREAM_END_ERROR, s->error);
}

/* Paused, but watched: it sees its peer leave. */
static bool
has_left(const struct stream *s)
{
	return s->is_paused & s->is_watched & s->is_cut;
}

/* From the end of the turn: input that was kept while the stream was paused, or that epoll or OpenSSL have told of. */
void
stream_handle_again(struct stream *s)
{
	if (s->is_broken && s->fd >= 0) {
		end_broken(s);
		return;
	}
	if (s->fd < 0 || s->is_ended)
		return;
	if (s->is_in_handshake) { /* begun in the handler of what came together with the end */
		if (s->is_readable)
			stream_tls_step(s);
		return;
	}
	if (s->pending.n > 0)
		write_pending(s);
	if (s->fd < 0 || s->is_ended)
		return;
	if (has_left(s)) {
		stream_end(s, STREAM_END_EOF, "connection closed");
		return;
	}
	if (is_held(s))
		return;
	if (s->rest.n > 0) {
		size_t before = s->rest.n;
		handle_rest(s);
		if (s->fd < 0 || is_held(s) || s->is_ended)
			return;
		if (s->rest.n < before && may_read_on(s))
			stream_ask_again(s);
		else if (s->rest.n > 0 && may_read_on(s))
			receive(s);
	} else if (may_read_on(s)) {
		receive(s);
	}
	loop_flush(s->loop);
}

void
stream_pause(struct stream *s)
{
	s->is_paused = true;
	s->is_watched = false;
}

void
stream_pause_watching(struct stream *s)
{
	s->is_paused = true;
	s->is_watched = true;
	if (s->is_cut && !s->is_ended)
		stream_ask_again(s);
}

static void
read_again(struct stream *s)
{
	if (!is_held(s) && !s->is_ended && (s->rest.n > 0 || may_read_on(s)))
		stream_ask_again(s);
}

void
stream_resume(struct stream *s)
{
	if (!s->is_paused || s->fd < 0)
		return;
	s->is_paused = false;
	read_again(s);
}

bool
stream_is_silent(const struct stream *s)
{
	uint8_t byte;
	return s->fd >= 0 && recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

void
stream_suspend(struct stream *s)
{
	s->is_suspended = true;
}

void
stream_wake(struct stream *s)
{
	if (!s->is_suspended || s->fd < 0)
		return;
	s->is_suspended = false;
	read_again(s);
}

/* ---- connecting, and going on with what was kept ---- */

static void
connect_done(struct stream *s)
{
	int error = 0;
	socklen_t n = sizeof(error);
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		error = errno;
	if (error == EINPROGRESS)
		return;
	s->is_connecting = false;
	if (error != 0) {
		stream_end_errno(s, STREAM_END_REFUSED, error);
		return;
	}
	stream_watch(s, false);
	s->ops->on_open(s->owner);
}

static void
stream_on_writable(struct stream *s)
{
	if (s->pending.n > 0) {
		write_pending(s);
	} else {
		stream_watch(s, false); /* OpenSSL wanted to write in order to read */
		s->is_readable = true;
	}
}

/* What is not plain input. */
static void
stream_on_event(struct stream *s, uint32_t events)
{
	if (s->is_connecting) {
		connect_done(s);
		return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->is_cut = true;
	if (events & ~(uint32_t)EPOLLOUT)
		s->is_readable = true;
	if (s->is_in_handshake) {
		stream_tls_step(s);
		return;
	}
	if (events & EPOLLOUT)
		stream_on_writable(s);
	if (s->fd < 0 || s->is_ended)
		return;
	if (has_left(s))
		stream_end(s, STREAM_END_EOF, "connection closed");
	else if (s->is_readable && !is_held(s))
		receive(s);
}

static void
stream_on_ready(struct watched *w, uint32_t events)
{
	struct stream *s = node_owner(w, struct stream, watched);
	struct loop *loop = s->loop; /* a refused owner may call another address, and fail */
	if (s->is_ended)
		return;
	if (events == EPOLLIN && !(s->is_in_handshake | s->is_paused | s->is_suspended))
		receive(s);
	else
		stream_on_event(s, events);
	loop_flush(loop);
}
