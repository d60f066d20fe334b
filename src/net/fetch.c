/*
 * net/fetch.c - libcurl's multi interface, driven by the events of our loop.
 *
 *   fetch_begin ─► curl_multi_add_handle ─► fetch_want_timer(0) ┄ loop ┄► fetcher_on_timer ─► curl_multi_socket_action
 *   curl ─► fetch_want_socket(fd, read/write) ┄ loop ┄► fetcher_on_socket ─► curl_multi_socket_action
 *                                                              └─► fetcher_collect ─► fetch_finish ─► done()
 *
 * Owns: each request until it is told of, and the watching of curl's sockets. Never: blocks; calls done() from fetch_begin().
 * Invariant: a fetch is in fetcher->fetches exactly as long as curl knows it.
 * Source: libcurl 7.88, curl_multi_socket_action(3), CURLMOPT_SOCKETFUNCTION(3), CURLMOPT_TIMERFUNCTION(3).
 */
#include "net/fetch.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/must.h"
#include "config.h"
#include "curl.h"
#include "net/loop.h"

#define TIMEOUT_MS_PRESET 1000
#define BODY_MAX_PRESET   (1024 * 1024)
#define HEADERS_MAX       (64 * 1024) /* bytes: curl would keep them all */
#define DNS_CACHE_SECONDS 5L          /* a container that comes back has another address */

struct fetcher {
	struct loop  *loop;
	CURLM        *multi;   /* NULL until it is first needed */
	struct timer *timer;   /* when curl wants to be called without an event */
	struct list   fetches; /* of struct fetch; owned */
};

struct fetch {
	struct node     node;
	struct fetcher *fetcher;
	CURL           *easy;
	struct buf      body;
	size_t          body_max;
	struct curl_slist *request_headers; /* or NULL */
	size_t          headers;  /* bytes of header lines so far */
	bool            is_head_whole; /* the empty line behind the headers came; curl does not insist */
	bool            is_too_large;
	uint64_t        began_us;
	uint64_t        date_s;   /* 0: no header of that kind, yet */
	fetch_done_fn  *done;
	void           *context;
	char            error[CURL_ERROR_SIZE];
};

/* One of curl's sockets, remembered by curl.multi_assign(). */
struct fetch_socket {
	struct watched watched;
	struct fetcher *fetcher;
	curl_socket_t fd;
};

/* What became of a request */

static enum fetch_outcome
outcome_of(const struct fetch *fetch, CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return fetch->is_head_whole ? FETCH_OK : FETCH_FAILED;
	case CURLE_OPERATION_TIMEDOUT:
		return FETCH_TIMEOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return FETCH_REFUSED;
	case CURLE_FILESIZE_EXCEEDED:
		return FETCH_TOO_LARGE;
	default:
		return fetch->is_too_large ? FETCH_TOO_LARGE : FETCH_FAILED;
	}
}

const char *
fetch_outcome_name(enum fetch_outcome outcome)
{
	static const char *const names[] = {
		[FETCH_OK] = "ok",
		[FETCH_TIMEOUT] = "timeout",
		[FETCH_REFUSED] = "refused",
		[FETCH_TOO_LARGE] = "too large",
		[FETCH_FAILED] = "failed",
	};
	return names[outcome];
}

static void
fetch_free(struct fetch *fetch)
{
	curl.easy_cleanup(fetch->easy);
	curl.slist_free_all(fetch->request_headers);
	buf_free(&fetch->body);
	heap_free(fetch);
}

/* From here on curl and the fetcher know nothing of it. */
static void
fetch_leave(struct fetch *fetch)
{
	curl.multi_remove_handle(fetch->fetcher->multi, fetch->easy);
	node_remove(&fetch->node);
}

static void
fetch_finish(struct fetch *fetch, CURLcode code)
{
	long status = 0;
	curl.easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	struct fetch_answer answer = {
		.outcome = outcome_of(fetch, code),
		.status = (int)status,
		.error = "",
		.took_us = clock_exact_us() - fetch->began_us,
		.date_s = fetch->date_s,
	};
	if (answer.outcome == FETCH_OK)
		answer.body = buf_view(&fetch->body);
	else if (answer.outcome == FETCH_TOO_LARGE)
		answer.error = "the answer is too long";
	else
		answer.error = code == CURLE_OK    ? "the answer ended within its headers"
		               : fetch->error[0] ? fetch->error
		                                 : curl.easy_strerror(code);
	fetch_leave(fetch);
	fetch->done(&answer, fetch->context);
	fetch_free(fetch);
}

/* Tell of all that ended. A done function may start and cancel others; curl's list takes that. */
static void
fetcher_collect(struct fetcher *f)
{
	int left;
	CURLMsg *message;
	while ((message = curl.multi_info_read(f->multi, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		char *fetch = NULL;
		CURLcode code = message->data.result; /* the message goes with its handle */
		curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
		fetch_finish((struct fetch *)(void *)fetch, code);
	}
}

/* From the loop to curl */

static void
fetcher_on_socket(struct watched *w, uint32_t events)
{
	struct fetch_socket *s = node_owner(w, struct fetch_socket, watched); /* curl may have it freed */
	struct fetcher *f = s->fetcher;
	int running;
	int action = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
	if (events & (EPOLLERR | EPOLLHUP))
		action = CURL_CSELECT_IN | CURL_CSELECT_OUT;
	curl.multi_socket_action(f->multi, s->fd, action, &running);
	fetcher_collect(f);
}

static void
fetcher_on_timer(void *context)
{
	struct fetcher *f = context;
	int running;
	curl.multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	fetcher_collect(f);
}

/* From curl to the loop */

static int
fetch_want_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned)
{
	struct fetcher *f = context;
	struct fetch_socket *s = assigned;
	if (what == CURL_POLL_REMOVE) {
		curl.multi_assign(f->multi, fd, NULL);
		if (s)
			loop_unwatch(f->loop, &s->watched);
		heap_free(s);
		return 0;
	}
	if (s == NULL) {
		s = heap_alloc(sizeof(*s));
		*s = (struct fetch_socket){ .fetcher = f, .fd = fd, .watched.on_ready = fetcher_on_socket };
		curl.multi_assign(f->multi, fd, s);
	}
	loop_watch(f->loop, &s->watched, fd, (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u));
	return 0;
}

static int
fetch_want_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct fetcher *f = context;
	if (timeout_ms < 0)
		timer_clear(f->timer);
	else
		timer_set(f->timer, (uint64_t)timeout_ms * MILLISECOND_US);
	return 0;
}

static void
fetch_note_date(struct fetch *fetch, const char *line, size_t n)
{
	static const char name[] = "Date:";
	char text[64];
	if (n < sizeof(name) || n - (sizeof(name) - 1) >= sizeof(text) || strncasecmp(line, name, sizeof(name) - 1) != 0)
		return;
	n -= sizeof(name) - 1;
	memcpy(text, line + sizeof(name) - 1, n);
	text[n] = '\0';
	time_t at = curl.getdate(text, NULL);
	fetch->date_s = at > 0 ? (uint64_t)at : 0;
}

/* Less than n tells curl to give up. */
static size_t
fetch_on_header(char *p, size_t size, size_t n, void *context)
{
	struct fetch *fetch = context;
	fetch->headers += size * n;
	fetch_note_date(fetch, p, size * n);
	/* True of the last line of headers; those of a 100 Continue may stand before. */
	fetch->is_head_whole = size * n > 0 && (p[0] == '\r' || p[0] == '\n');
	if (fetch->headers <= HEADERS_MAX)
		return size * n;
	fetch->is_too_large = true;
	return 0;
}

static size_t
fetch_on_body(char *p, size_t size, size_t n, void *context)
{
	struct fetch *fetch = context;
	struct view part = view_of(p, size * n);
	if (part.n > fetch->body_max - fetch->body.n || !buf_try_reserve(&fetch->body, part.n)) {
		fetch->is_too_large = true;
		return 0;
	}
	buf_add(&fetch->body, part);
	return part.n;
}

/* The module's door */

struct fetcher *
fetcher_open(struct loop *loop)
{
	struct fetcher *f = heap_alloc(sizeof(*f));
	f->loop = loop;
	f->timer = timer_new(loop, fetcher_on_timer, f);
	list_init(&f->fetches);
	return f;
}

bool
fetcher_is_ready(struct fetcher *f, struct text *why)
{
	if (f->multi)
		return true;
	if (!curl_load(why))
		return false;
	f->multi = curl.multi_init();
	must(f->multi != NULL); /* a small allocation */
	curl.multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, fetch_want_socket);
	curl.multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl.multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, fetch_want_timer);
	curl.multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	return true;
}

void
fetcher_close(struct fetcher *f)
{
	if (f == NULL)
		return;
	list_each(&f->fetches, n, after)
		fetch_cancel(node_owner(n, struct fetch, node));
	if (f->multi)
		curl.multi_cleanup(f->multi);
	timer_free(f->timer);
	heap_free(f);
}

/* Without "Expect: 100-continue", which libcurl adds to long bodies, and which Patroni's server leaves unanswered. */
static void
fetch_set_method(struct fetch *fetch, const struct fetch_request *request)
{
	if (request->method == NULL)
		return;
	fetch->request_headers = curl.slist_append(NULL, "Content-Type: application/json");
	must(fetch->request_headers != NULL); /* a small allocation, as the next */
	struct curl_slist *more = curl.slist_append(fetch->request_headers, "Expect:");
	must(more != NULL);
	curl.easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->request_headers);
	curl.easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE, (long)request->body.n);
	curl.easy_setopt(fetch->easy, CURLOPT_COPYPOSTFIELDS, request->body.n ? (const char *)request->body.p : "");
	curl.easy_setopt(fetch->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static bool
is_given(const char *s)
{
	return s && s[0];
}

static void
fetch_set_identity(struct fetch *fetch, const struct fetch_identity *i)
{
	CURL *easy = fetch->easy;
	if (i == NULL)
		return;
	if (is_given(i->user)) {
		curl.easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl.easy_setopt(easy, CURLOPT_USERNAME, i->user);
		curl.easy_setopt(easy, CURLOPT_PASSWORD, i->password ? i->password : "");
	}
	if (is_given(i->cert_file))
		curl.easy_setopt(easy, CURLOPT_SSLCERT, i->cert_file);
	if (is_given(i->key_file))
		curl.easy_setopt(easy, CURLOPT_SSLKEY, i->key_file);
	if (is_given(i->ca_file)) {
		curl.easy_setopt(easy, CURLOPT_CAINFO, i->ca_file);
		curl.easy_setopt(easy, CURLOPT_CAPATH, NULL); /* and nobody else */
	}
	curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, i->takes_any_certificate ? 0L : 1L);
	curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, i->takes_any_certificate || i->takes_any_name ? 0L : 2L);
}

static void
fetch_set_options(struct fetch *fetch, const struct fetch_request *request)
{
	CURL *easy = fetch->easy;
	long timeout_ms = request->timeout_ms ? request->timeout_ms : TIMEOUT_MS_PRESET;
	curl.easy_setopt(easy, CURLOPT_URL, request->url);
	curl.easy_setopt(easy, CURLOPT_PRIVATE, fetch);
	curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->error);
	curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, fetch_on_body);
	curl.easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
	curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, fetch_on_header);
	curl.easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
	curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
	curl.easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)fetch->body_max);
	curl.easy_setopt(easy, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
	curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_0);
	curl.easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl.easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl.easy_setopt(easy, CURLOPT_PROXY, ""); /* not even one from the environment */
	curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl.easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, DNS_CACHE_SECONDS);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl.easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Without it, giving up a request whose name is still being resolved waits for the resolver's thread: up to
	 * half a minute of a standing loop when DNS is away. */
	curl.easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

struct fetch *
fetch_begin(struct fetcher *f, const struct fetch_request *request, fetch_done_fn *done, void *context)
{
	char reason[200];
	struct text why = TEXT_IN(reason);
	must(fetcher_is_ready(f, &why)); /* whoever has URLs has asked before */
	struct fetch *fetch = heap_alloc(sizeof(*fetch));
	fetch->fetcher = f;
	fetch->easy = curl.easy_init();
	must(fetch->easy != NULL); /* a small allocation */
	fetch->body_max = request->body_max ? request->body_max : BODY_MAX_PRESET;
	fetch->began_us = clock_exact_us();
	fetch->done = done;
	fetch->context = context;
	fetch_set_options(fetch, request);
	fetch_set_method(fetch, request);
	fetch_set_identity(fetch, request->identity);
	list_append(&f->fetches, &fetch->node);
	CURLMcode code = curl.multi_add_handle(f->multi, fetch->easy); /* asks for the timer: curl starts from the loop */
	must(code == CURLM_OK);
	return fetch;
}

void
fetch_cancel(struct fetch *fetch)
{
	if (fetch == NULL)
		return;
	fetch_leave(fetch);
	fetch_free(fetch);
}
