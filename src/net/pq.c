/*
 * net/pq.c - libpq's asynchronous calls, driven by the events of our loop.
 *
 *   pq_ask ─► resolve_name ─► PQconnectStart ─► PQconnectPoll ┄ socket ┄► PQconnectPoll ... ─► PQsendQueryParams
 *     ─► PQflush, PQconsumeInput ┄ socket ┄► rows ─► pq_finish ┄ timer ┄► done()
 *
 * Owns: the connection, what watches it, the one question. Never: blocks (addresses are numbers when libpq sees them, GSS is off,
 * every call is of the non-blocking kind); calls done() from within anything but its timer.
 * Invariant: nothing is watched while there is no connection.
 * Source: PostgreSQL 15, 34.1 Connection Control, 34.4 Asynchronous Command Processing, 34.6 Row by Row.
 */
#include "net/pq.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/tcp.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/must.h"
#include "libpq.h"
#include "net/loop.h"
#include "net/resolve.h"

#define NO_FILE "/dev/null/none" /* nothing can be there; without a name libpq looks in the home directory */

enum pq_state {
	PQ_CLOSED,
	PQ_RESOLVING,
	PQ_CONNECTING,
	PQ_IDLE,
	PQ_ASKING,
	PQ_TELLING, /* the answer is known, the timer will tell it; connected or not */
};

struct pq {
	struct loop *loop;
	struct resolver *resolver;
	struct pq_target target; /* our own copies */
	enum pq_state state;
	struct resolve_request *resolving;
	struct resolved addresses;
	PGconn *conn;
	struct watched watched; /* the socket of conn */
	struct timer *timer;      /* the time limit; or, in PQ_TELLING, now */
	uint64_t bytes_before;    /* received on the connection when the question was sent */

	char *sql, *value;        /* of the question; NULL: none is under way */
	uint64_t timeout_us, began_us;
	pq_done_fn *done;
	void *context;
	bool is_reused;           /* it was sent on a connection that had been idle */

	enum pq_outcome outcome;
	uint32_t columns, rows;
	PGresult *first;
	bool lacks_password, is_broken_off; /* the latter: more would have come */
	char sqlstate[6];
	char error[400];
};

const char *
pq_outcome_name(enum pq_outcome outcome)
{
	static const char *const names[] = {
		[PQ_OK] = "ok",           [PQ_ERROR] = "error",     [PQ_UNREACHABLE] = "unreachable",
		[PQ_REFUSED] = "refused", [PQ_TIMEOUT] = "timeout", [PQ_TOO_LARGE] = "too large",
	};
	return names[outcome];
}

/* ---- the end of a question, and of a connection ---- */

static void
pq_disconnect(struct pq *q)
{
	resolve_cancel(q->resolving);
	q->resolving = NULL;
	loop_unwatch(q->loop, &q->watched);
	if (q->conn)
		libpq.finish(q->conn);
	q->conn = NULL;
	q->state = PQ_CLOSED;
}

static void
erase_string(char **s)
{
	if (*s)
		heap_erase_free(*s, strlen(*s));
	*s = NULL;
}

/* The row may hold somebody's password. What libpq keeps of it in its buffers is out of reach. */
static void
clear_first(PGresult *first)
{
	if (first == NULL)
		return;
	for (int i = 0; i < libpq.nfields(first) && libpq.ntuples(first) > 0; i++)
		explicit_bzero(libpq.getvalue(first, 0, i), (size_t)libpq.getlength(first, 0, i));
	libpq.clear(first);
}

static void pq_watch(struct pq *q, uint32_t events);

/* Tell it soon; what is under way on the connection is not waited for. */
static void
pq_finish(struct pq *q, enum pq_outcome outcome, const char *error)
{
	bool stays = q->state == PQ_ASKING && !q->is_broken_off && (outcome == PQ_OK || outcome == PQ_ERROR) &&
	             libpq.status(q->conn) == CONNECTION_OK && libpq.transaction_status(q->conn) == PQTRANS_IDLE;
	q->outcome = outcome;
	if (outcome == PQ_UNREACHABLE)
		resolve_distrust(q->resolver, q->target.host);
	snprintf(q->error, sizeof(q->error), "%s", error);
	if (stays)
		pq_watch(q, EPOLLIN); /* for its end */
	else
		pq_disconnect(q);
	q->state = PQ_TELLING;
	timer_set(q->timer, 0);
}

static void
pq_tell(struct pq *q)
{
	char error[sizeof(q->error)], sqlstate[sizeof(q->sqlstate)];
	memcpy(error, q->error, sizeof(error));
	memcpy(sqlstate, q->sqlstate, sizeof(sqlstate));
	PGresult *first = q->first;
	pq_done_fn *done = q->done;
	struct pq_answer answer = {
		.outcome = q->outcome,
		.columns = q->columns,
		.rows = q->rows,
		.lacks_password = q->lacks_password,
		.sqlstate = sqlstate,
		.error = error,
		.took_us = clock_exact_us() - q->began_us,
	};
	for (uint32_t i = 0; first && i < q->columns && i < PQ_COLUMNS_MAX; i++) {
		answer.first[i].is_null = libpq.getisnull(first, 0, (int)i) != 0;
		answer.first[i].bytes = view_of(libpq.getvalue(first, 0, (int)i), (size_t)libpq.getlength(first, 0, (int)i));
	}
	q->first = NULL;
	q->done = NULL;
	erase_string(&q->sql);
	erase_string(&q->value);
	q->state = q->conn ? PQ_IDLE : PQ_CLOSED;
	done(&answer, q->context); /* q may be gone afterwards */
	clear_first(first);
}

/* ---- what libpq says, for people ---- */

/* The SQLSTATE in "... FATAL:  28P01: ...", which PQERRORS_VERBOSE puts there; there is no other way to it. */
static void
find_sqlstate(const char *text, char out[6])
{
	for (const char *s = strstr(text, ":  "); s; s = strstr(s + 3, ":  ")) {
		size_t n = strspn(s + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		if (n == 5 && s[8] == ':' && s[9] == ' ')
			snprintf(out, 6, "%.5s", s + 3);
	}
}

/* All of it in one line, without the place in the server's source. */
static void
one_line(const char *text, char *out, size_t room)
{
	struct text line = text_in(out, room);
	while (*text) {
		text += strspn(text, "\t ");
		size_t n = strcspn(text, "\n");
		if (n > 0 && strncmp(text, "LOCATION:", 9) != 0) {
			if (line.n > 0)
				text_add(&line, "; ");
			text_add_view(&line, view_of(text, n));
		}
		text += n + (text[n] != '\0');
	}
}

/*
 * A server's error may quote a value, and the value may be a secret: "invalid input syntax for type integer: ...". Data
 * exceptions are told by their number alone.
 */
static bool
may_quote_a_value(const char *sqlstate, const char *text)
{
	return strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0 || strstr(text, "SCRAM-SHA-256$") ||
	       strstr(text, "md5");
}

/* ---- asking ---- */

static void pq_connect(struct pq *q);

/* So far, on this connection. TCP only: a server behind a Unix socket is on this machine, and ours. */
static uint64_t
bytes_received(const struct pq *q)
{
	struct tcp_info info = { 0 };
	socklen_t n = sizeof(info);
	if (getsockopt(libpq.socket(q->conn), IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
		return 0;
	return info.tcpi_bytes_received;
}

static void
pq_watch(struct pq *q, uint32_t events)
{
	loop_watch(q->loop, &q->watched, libpq.socket(q->conn), events);
}

/* The connection broke under the question. */
static void
pq_broken(struct pq *q)
{
	char why[300];
	if (q->is_reused && q->rows == 0) { /* it was dead before */
		log_debug("pq", "an idle connection was closed meanwhile, connecting anew");
		q->outcome = PQ_OK; /* its last words were no answer */
		q->sqlstate[0] = q->error[0] = '\0';
		pq_disconnect(q);
		pq_connect(q);
		return;
	}
	one_line(libpq.error_message(q->conn), why, sizeof(why));
	pq_finish(q, PQ_UNREACHABLE, why[0] ? why : "the connection broke");
}

static void
pq_flush(struct pq *q)
{
	int left = libpq.flush(q->conn);
	if (left < 0)
		pq_broken(q);
	else
		pq_watch(q, left ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void
pq_send(struct pq *q)
{
	const char *values[] = { q->value };
	q->state = PQ_ASKING;
	q->bytes_before = bytes_received(q);
	timer_set(q->timer, q->timeout_us + q->timeout_us / 4); /* the server's own limit comes first, and spares the connection */
	if (!libpq.send_query_params(q->conn, q->sql, 1, NULL, values, NULL, NULL, 0) ||
	    !libpq.set_single_row_mode(q->conn)) {
		pq_broken(q);
		return;
	}
	pq_flush(q);
}

/* One result of the question. True: there may be another. */
static bool
pq_take_result(struct pq *q, PGresult *r)
{
	const char *text;
	switch (libpq.result_status(r)) {
	case PGRES_SINGLE_TUPLE:
		q->columns = (uint32_t)libpq.nfields(r);
		if (++q->rows == 1) {
			q->first = r;
			return true;
		}
		libpq.clear(r);
		q->is_broken_off = true;
		pq_finish(q, PQ_OK, "");
		return false;
	case PGRES_TUPLES_OK:
		q->columns = (uint32_t)libpq.nfields(r);
		break;
	case PGRES_COMMAND_OK: /* it was no SELECT; without columns */
	case PGRES_EMPTY_QUERY:
		break;
	case PGRES_FATAL_ERROR:
		text = libpq.result_error_field(r, PG_DIAG_SQLSTATE);
		if (libpq.status(q->conn) != CONNECTION_OK || text == NULL) {
			libpq.clear(r);
			pq_broken(q);
			return false;
		}
		snprintf(q->sqlstate, sizeof(q->sqlstate), "%.5s", text);
		text = libpq.result_error_field(r, PG_DIAG_MESSAGE_PRIMARY);
		q->outcome = PQ_ERROR;
		if (text && !may_quote_a_value(q->sqlstate, text))
			one_line(text, q->error, sizeof(q->error));
		else
			snprintf(q->error, sizeof(q->error), "(its text may quote what was read, and is not shown)");
		break;
	default: /* COPY, and what may come: it can't be left in order */
		libpq.clear(r);
		q->is_broken_off = true;
		pq_finish(q, PQ_ERROR, "the query is none that returns rows");
		return false;
	}
	libpq.clear(r);
	return true;
}

static void
pq_read(struct pq *q)
{
	if (!libpq.consume_input(q->conn)) {
		pq_broken(q);
		return;
	}
	if (bytes_received(q) > q->bytes_before + PQ_ANSWER_MAX) {
		pq_finish(q, PQ_TOO_LARGE, "the answer is too long");
		return;
	}
	while (!libpq.is_busy(q->conn)) {
		PGresult *r = libpq.get_result(q->conn);
		if (r == NULL) {
			char error[sizeof(q->error)];
			memcpy(error, q->error, sizeof(error));
			pq_finish(q, q->outcome, error);
			return;
		}
		if (!pq_take_result(q, r))
			return;
	}
	pq_flush(q);
}

/* ---- connecting ---- */

static void
pq_not_connected(struct pq *q, ConnStatusType was)
{
	char why[sizeof(q->error)];
	const char *text = libpq.error_message(q->conn);
	one_line(text, why, sizeof(why));
	find_sqlstate(text, q->sqlstate);
	q->lacks_password = libpq.connection_needs_password(q->conn) != 0;
	bool is_passing = q->sqlstate[0] ? strncmp(q->sqlstate, "57", 2) == 0 || strncmp(q->sqlstate, "53", 2) == 0
	                                 : was != CONNECTION_SSL_STARTUP;
	pq_finish(q, is_passing && !q->lacks_password ? PQ_UNREACHABLE : PQ_REFUSED, why[0] ? why : "can't connect");
}

static void
pq_poll(struct pq *q)
{
	ConnStatusType was = libpq.status(q->conn);
	/* It may close its socket and take another one; the old one must not be watched any more. */
	loop_unwatch(q->loop, &q->watched);
	if (bytes_received(q) > PQ_ANSWER_MAX) {
		pq_finish(q, PQ_TOO_LARGE, "the server says too much at login");
		return;
	}
	switch (libpq.connect_poll(q->conn)) {
	case PGRES_POLLING_READING:
		pq_watch(q, EPOLLIN);
		return;
	case PGRES_POLLING_WRITING:
		pq_watch(q, EPOLLOUT);
		return;
	case PGRES_POLLING_OK:
		pq_send(q);
		return;
	default:
		pq_not_connected(q, was);
		return;
	}
}

/* libpq would print it. Not even logged: it may hold what the query has read. */
static void
drop_notice(void *context, const char *message)
{
}

/* "10.0.0.1,10.0.0.2": libpq tries them in turn. */
static void
add_numbers(const struct resolved *from, struct buf *addresses, struct buf *hosts, const char *host)
{
	char number[NI_MAXHOST];
	for (unsigned i = 0; i < from->count; i++) {
		if (getnameinfo((const struct sockaddr *)&from->at[i].address, from->at[i].bytes, number, sizeof(number), NULL, 0,
		                NI_NUMERICHOST) != 0)
			continue;
		buf_addf(addresses, "%s%s", addresses->n ? "," : "", number);
		buf_addf(hosts, "%s%s", hosts->n ? "," : "", host);
	}
}

static const char *
file_or_none(const char *name)
{
	return name && name[0] ? name : NO_FILE;
}

static void
pq_start(struct pq *q, const char *addresses, const char *hosts)
{
	const struct pq_target *t = &q->target;
	char port[8], options[60], idle[16], interval[16], count[16], limit[16];
	snprintf(port, sizeof(port), "%u", t->port);
	snprintf(options, sizeof(options), "-c statement_timeout=%llu", (unsigned long long)(q->timeout_us / MILLISECOND_US));
	snprintf(idle, sizeof(idle), "%d", t->keepidle_s);
	snprintf(interval, sizeof(interval), "%d", t->keepintvl_s);
	snprintf(count, sizeof(count), "%d", t->keepcnt);
	snprintf(limit, sizeof(limit), "%d", t->user_timeout_ms);
	bool checks = strncmp(t->sslmode, "verify", 6) == 0; /* with a CA at hand libpq checks in mode require, too */
	bool has_cert = t->cert_file && t->cert_file[0];
	const char *const given[][2] = {
		{ "hostaddr", addresses },
		{ "host", hosts },
		{ "port", port },
		{ "dbname", t->dbname },
		{ "user", t->user },
		{ "password", t->password },
		{ "passfile", NO_FILE },
		{ "application_name", "pgsluice" },
		{ "options", options },
		{ "gssencmode", "disable" },
		{ "sslmode", t->sslmode },
		{ "channel_binding", t->channel_binding },
		{ "ssl_min_protocol_version", t->needs_tls13 ? "TLSv1.3" : "TLSv1.2" },
		{ "sslrootcert", checks ? file_or_none(t->ca_file) : NO_FILE },
		{ "sslcert", has_cert ? t->cert_file : NO_FILE },
		{ "sslkey", has_cert ? file_or_none(t->key_file) : NO_FILE },
		{ "sslcrl", file_or_none(t->crl_file) },
		{ "keepalives", t->keepalive ? "1" : "0" },
		{ "keepalives_idle", t->keepidle_s ? idle : NULL },
		{ "keepalives_interval", t->keepintvl_s ? interval : NULL },
		{ "keepalives_count", t->keepcnt ? count : NULL },
		{ "tcp_user_timeout", limit },
	};
	enum { GIVEN = sizeof(given) / sizeof(given[0]) };
	const char *names[GIVEN + 1], *values[GIVEN + 1];
	int n = 0;
	for (int i = 0; i < GIVEN; i++) {
		if (given[i][1] == NULL || given[i][1][0] == '\0')
			continue;
		names[n] = given[i][0];
		values[n++] = given[i][1];
	}
	names[n] = values[n] = NULL;
	q->state = PQ_CONNECTING;
	q->conn = libpq.connect_start(names, values, 0);
	must(q->conn != NULL); /* a small allocation */
	libpq.set_notice_processor(q->conn, drop_notice, NULL);
	libpq.set_error_verbosity(q->conn, PQERRORS_VERBOSE);
	if (libpq.status(q->conn) == CONNECTION_BAD) {
		pq_not_connected(q, CONNECTION_STARTED);
		return;
	}
	libpq.set_nonblocking(q->conn, 1);
	pq_watch(q, EPOLLOUT); /* as if the last poll had said so */
}

static void
pq_on_address(void *context, const struct resolved *answer)
{
	struct pq *q = context;
	q->resolving = NULL;
	if (answer->count == 0) {
		pq_finish(q, PQ_UNREACHABLE, answer->error ? answer->error : "name has no address");
		return;
	}
	struct buf addresses = { 0 }, hosts = { 0 };
	add_numbers(answer, &addresses, &hosts, q->target.host);
	buf_add_u8(&addresses, 0);
	buf_add_u8(&hosts, 0);
	pq_start(q, (const char *)addresses.p, (const char *)hosts.p);
	buf_free(&addresses);
	buf_free(&hosts);
}

static void
pq_connect(struct pq *q)
{
	const char *host = q->target.host;
	q->state = PQ_RESOLVING;
	q->is_reused = false;
	timer_set(q->timer, q->timeout_us);
	if (strchr(host, ',')) { /* libpq would take it for two */
		pq_finish(q, PQ_REFUSED, "a host name with a comma");
	} else if (host[0] == '/' || host[0] == '@') {
		pq_start(q, NULL, host);
	} else {
		struct resolve_request *r = resolve_name(q->resolver, host, q->target.port, pq_on_address, q);
		if (q->state == PQ_RESOLVING) /* else it has been answered before the return */
			q->resolving = r;
	}
}

/* ---- from the loop ---- */

static void
pq_on_ready(struct watched *w, uint32_t events)
{
	struct pq *q = node_owner(w, struct pq, watched);
	switch (q->state) {
	case PQ_CONNECTING:
		pq_poll(q);
		return;
	case PQ_ASKING:
		pq_read(q);
		return;
	case PQ_IDLE: /* its end, or something about it that is for nobody */
	case PQ_TELLING:
		if (libpq.consume_input(q->conn) && libpq.status(q->conn) == CONNECTION_OK && !libpq.is_busy(q->conn))
			return;
		log_debug("pq", "an idle connection was closed by the server");
		enum pq_state state = q->state;
		pq_disconnect(q);
		if (state == PQ_TELLING)
			q->state = PQ_TELLING;
		return;
	case PQ_CLOSED:
	case PQ_RESOLVING:
		must(!"an event without a connection");
	}
}

static void
pq_on_timer(void *context)
{
	struct pq *q = context;
	if (q->state == PQ_TELLING) {
		pq_tell(q);
		return;
	}
	if (q->state == PQ_ASKING) {
		pq_finish(q, PQ_TIMEOUT, "no answer in time");
		return;
	}
	must(q->state == PQ_RESOLVING || q->state == PQ_CONNECTING);
	pq_finish(q, PQ_UNREACHABLE, "no connection in time");
}

/* ---- the module's door ---- */

bool
pq_is_ready(struct text *why)
{
	return libpq_load(why);
}

struct pq *
pq_open(struct loop *loop, struct resolver *resolver, const struct pq_target *target)
{
	struct pq *q = heap_alloc(sizeof(*q));
	q->loop = loop;
	q->watched.on_ready = pq_on_ready;
	q->resolver = resolver;
	q->target = *target;
	q->target.host = heap_string(target->host);
	q->target.dbname = heap_string(target->dbname);
	q->target.user = heap_string(target->user);
	q->target.password = target->password ? heap_string(target->password) : NULL;
	q->target.sslmode = heap_string(target->sslmode);
	q->target.channel_binding = heap_string(target->channel_binding);
	q->target.ca_file = heap_string(target->ca_file);
	q->target.crl_file = heap_string(target->crl_file);
	q->target.cert_file = heap_string(target->cert_file);
	q->target.key_file = heap_string(target->key_file);
	q->timer = timer_new(loop, pq_on_timer, q);
	return q;
}

void
pq_close(struct pq *q)
{
	if (q == NULL)
		return;
	pq_disconnect(q);
	timer_free(q->timer);
	clear_first(q->first);
	erase_string(&q->sql);
	erase_string(&q->value);
	const char *owned[] = { q->target.host,    q->target.dbname,  q->target.user,     q->target.password,
		                q->target.sslmode, q->target.ca_file, q->target.crl_file,  q->target.cert_file,
		                q->target.key_file, q->target.channel_binding };
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
		char *s = (char *)owned[i]; /* ours: pq_open() made it */
		erase_string(&s);
	}
	heap_free(q);
}

void
pq_ask(struct pq *q, const struct pq_question *question, pq_done_fn *done, void *context)
{
	must(q->done == NULL);
	q->sql = heap_string(question->sql);
	q->value = heap_string(question->value);
	q->timeout_us = question->timeout_us;
	q->began_us = clock_exact_us();
	q->done = done;
	q->context = context;
	q->outcome = PQ_OK;
	q->columns = q->rows = 0;
	q->lacks_password = q->is_broken_off = false;
	q->sqlstate[0] = q->error[0] = '\0';
	if (q->state != PQ_IDLE) {
		pq_connect(q);
		return;
	}
	q->is_reused = true;
	pq_send(q);
}

bool
pq_is_connected(const struct pq *q)
{
	return q->conn != NULL && q->state != PQ_CONNECTING;
}

uint32_t
pq_backend(const struct pq *q)
{
	return pq_is_connected(q) ? (uint32_t)libpq.backend_pid(q->conn) : 0;
}
