/*
 * net/resolve.c - names to addresses; see the header.
 *
 *   resolve_name ─► known and not due: the answer ─► else wait ─► dns_ask ─► name_on_report ─► answers
 *   resolver_tick ─► what is in use and due ─► dns_ask ─► name_on_report ─► changed: on_change
 */
#include "net/resolve.h"

#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/text.h"
#include "net/address.h"
#include "net/dns.h"
#include "resolve_set.h"

#define TTL_LEAST_US   SECOND_US         /* also for records that say 0: one question a second is enough */
#define BLIND_RETRY_US (2 * SECOND_US)   /* nobody could tell, and there is no older answer */
#define STALE_AFTER_US SECOND_US         /* who waits for an answer gets the older one then */
#define FAILED_FOR_US  (30 * SECOND_US)  /* an address is tried after the others */
#define IN_USE_US      (5 * SECOND_US)   /* resolve_keep() comes more often */
#define FORGOTTEN_US   (600 * SECOND_US) /* nobody asked for so long */
#define HOSTS_FILE     "/etc/hosts"
#define RESOLV_CONF    "/etc/resolv.conf"

/* What is known of one name. */
struct name {
	UT_hash_handle hh;
	char *text;
	struct resolver *resolver;
	struct resolved answer; /* ports are 0 */
	uint64_t failed_us[RESOLVE_ADDRESSES_MAX]; /* when a connection to it last failed; 0: it did not since */
	int worked;             /* index of the address that worked last; -1: none */
	uint64_t answered_us, good_until_us;
	uint64_t used_us, kept_us;
	bool is_asking;         /* a lookup is under way */
	uint64_t asked_us;
	uint32_t lookups;
	bool is_stale;          /* nobody could tell the last time: the answer is an older one */
	bool is_changed;        /* and on_change was not called yet */
	struct resolved before; /* the last answer that had addresses */
	struct list waiting;    /* of struct resolve_request */
};

struct watched_file {
	const char *path;
	struct timespec changed;
	off_t size;
	ino_t inode;
	bool is_there;
};

struct resolver {
	struct loop *loop;
	struct dns *dns;
	struct name *names;
	struct watched_file hosts, conf;
	char *conf_path;
	bool has_files; /* they were read once */
	uint64_t ttl_max_us, failure_ttl_us;
	unsigned asking;
	resolver_change_fn *on_change;
	void *context;
	struct resolver_counters counters;
};

struct resolve_request {
	struct node node;
	uint32_t number; /* of the lookup it waits for */
	uint16_t port;
	resolve_fn *fn;
	void *context;
};

/* ---- files ---- */

/* True: it is another one than before. One that has gone stays as it was. */
static bool
file_look(struct watched_file *f)
{
	struct stat st;
	if (stat(f->path, &st) != 0) {
		f->is_there = false;
		return false;
	}
	if (f->is_there && f->size == st.st_size && f->inode == st.st_ino &&
	    memcmp(&f->changed, &st.st_mtim, sizeof(f->changed)) == 0)
		return false;
	f->is_there = true;
	f->size = st.st_size;
	f->inode = st.st_ino;
	f->changed = st.st_mtim;
	return true;
}

static void
all_are_due(struct resolver *r)
{
	for (struct name *name = r->names; name; name = name->hh.next)
		name->good_until_us = 0;
}

static void
look_at_files(struct resolver *r)
{
	bool is_first = !r->has_files;
	bool is_hosts = file_look(&r->hosts), is_conf = file_look(&r->conf);
	r->has_files = true;
	if (is_first && !r->conf.is_there)
		log_warning("dns", "%s can't be read: names are asked for at 127.0.0.1", r->conf.path);
	if (is_first || (!is_hosts && !is_conf))
		return;
	log_info("dns", "%s has changed: all names are looked up again", is_conf ? r->conf.path : r->hosts.path);
	if (is_conf)
		dns_configure(r->dns, r->conf.path);
	all_are_due(r);
}

/* ---- birth and death ---- */

void
resolver_tune(struct resolver *r, const struct resolver_settings *settings)
{
	const char *path = settings->resolv_conf && settings->resolv_conf[0] ? settings->resolv_conf : RESOLV_CONF;
	r->ttl_max_us = settings->ttl_max_us;
	r->failure_ttl_us = settings->failure_ttl_us;
	if (r->conf_path && strcmp(r->conf_path, path) == 0)
		return;
	heap_free(r->conf_path);
	r->conf_path = heap_string(path);
	r->conf = (struct watched_file){ .path = r->conf_path };
	r->has_files = false;
	dns_configure(r->dns, path);
	all_are_due(r);
}

struct resolver *
resolver_new(struct loop *loop, const struct resolver_settings *settings)
{
	struct resolver *r = heap_alloc(sizeof(*r));
	r->loop = loop;
	r->dns = dns_new(loop);
	r->hosts.path = HOSTS_FILE;
	resolver_tune(r, settings);
	return r;
}

static void
name_free(struct name *name)
{
	HASH_DEL(name->resolver->names, name);
	list_each(&name->waiting, n, next)
	{
		node_remove(n);
		heap_free(node_owner(n, struct resolve_request, node));
	}
	heap_free(name->text);
	heap_free(name);
}

void
resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	dns_free(r->dns);
	struct name *name, *after;
	HASH_ITER(hh, r->names, name, after)
		name_free(name);
	heap_free(r->conf_path);
	heap_free(r);
}

void
resolver_on_change(struct resolver *r, resolver_change_fn *fn, void *context)
{
	r->on_change = fn;
	r->context = context;
}

/* ---- answers to who asked ---- */

static bool
has_failed_lately(const struct name *name, unsigned i)
{
	return name->failed_us[i] && clock_now_us() - name->failed_us[i] < FAILED_FOR_US;
}

/* What worked last comes first, what failed lately comes last. */
static void
answer_from(const struct name *name, uint16_t port, resolve_fn *fn, void *context)
{
	struct resolved answer = { .error = name->answer.error, .is_partial = name->answer.is_partial };
	for (int failed = 0; failed < 2; failed++) {
		if (failed)
			answer.trusted = answer.count;
		else if (name->worked >= 0 && !has_failed_lately(name, (unsigned)name->worked))
			resolved_add(&answer, &name->answer.at[name->worked].address);
		for (unsigned i = 0; i < name->answer.count; i++)
			if (has_failed_lately(name, i) == failed)
				resolved_add(&answer, &name->answer.at[i].address);
	}
	for (unsigned i = 0; i < answer.count; i++)
		address_set_port(&answer.at[i].address, port);
	fn(context, &answer);
}

/* Those who wait for a lookup up to `number`; what they do may begin another one, and make them wait again. */
static void
answer_waiting(struct name *name, uint32_t number)
{
	struct node *n;
	for (uint32_t left = name->waiting.count; left > 0 && (n = list_first(&name->waiting)) != NULL; left--) {
		struct resolve_request *q = node_owner(n, struct resolve_request, node);
		if (q->number > number)
			return;
		node_remove(n);
		answer_from(name, q->port, q->fn, q->context);
		heap_free(q);
	}
}

/* ---- what a lookup tells ---- */

static uint64_t
clamp_ttl(uint64_t ttl_us, uint64_t most_us)
{
	if (ttl_us > most_us)
		ttl_us = most_us;
	return ttl_us < TTL_LEAST_US ? TTL_LEAST_US : ttl_us;
}

static void
name_take(struct name *name, struct resolved *now, uint64_t ttl_us)
{
	struct resolver *r = name->resolver;
	struct resolved *old = &name->answer;
	resolved_arrange(now);
	uint64_t failed_us[RESOLVE_ADDRESSES_MAX] = { 0 };
	int worked = -1;
	for (unsigned i = 0; i < now->count; i++) {
		int before = resolved_index(old, &now->at[i].address);
		failed_us[i] = before >= 0 ? name->failed_us[before] : 0;
		if (before >= 0 && before == name->worked)
			worked = (int)i;
	}
	if (name->before.count > 0 && now->count > 0 && !now->is_partial && !resolved_is_same(&name->before, now)) {
		char was[300], is[300];
		struct text was_text = TEXT_IN(was), is_text = TEXT_IN(is);
		resolved_text(&name->before, &was_text);
		resolved_text(now, &is_text);
		log_info("dns", "%s is %s now, and was %s", name->text, is, was);
		r->counters.changes++;
		name->is_changed = true;
	}
	if (old->count > 0 && now->count == 0)
		log_warning("dns", "%s has no address any more: %s", name->text, now->error);
	if (name->is_stale)
		log_info("dns", "%s can be looked up again", name->text);
	name->is_stale = false;
	name->answer = *now;
	memcpy(name->failed_us, failed_us, sizeof(failed_us));
	name->worked = worked;
	name->answered_us = clock_now_us();
	name->good_until_us = name->answered_us + ttl_us;
	if (now->count > 0)
		name->before = *now;
}

static void
tell_change(struct name *name)
{
	const struct resolver *r = name->resolver;
	if (!name->is_changed)
		return;
	name->is_changed = false;
	if (r->on_change)
		r->on_change(r->context, name->text, &name->before);
}

static void
name_is_unknown(struct name *name, const char *why)
{
	struct resolver *r = name->resolver;
	r->counters.failures++;
	name->answered_us = clock_now_us();
	if (name->answer.count == 0) {
		name->answer.error = why;
		name->good_until_us = name->answered_us + clamp_ttl(r->failure_ttl_us, BLIND_RETRY_US);
		return;
	}
	if (!name->is_stale)
		log_warning("dns", "%s can't be looked up (%s); its last addresses stay in use", name->text, why);
	name->is_stale = true;
	name->good_until_us = name->answered_us + clamp_ttl(r->failure_ttl_us, UINT64_MAX);
}

static void
name_is_found(struct name *name, const struct dns_report *report)
{
	uint64_t most_us = name->resolver->ttl_max_us;
	struct resolved now = { .is_partial = report->is_partial };
	for (unsigned i = 0; i < report->count; i++)
		resolved_add(&now, &report->address[i]);
	name_take(name, &now, clamp_ttl(report->is_from_file ? most_us : report->ttl_s * SECOND_US, most_us));
}

static void
name_on_report(void *context, const struct dns_report *report)
{
	struct name *name = context;
	struct resolver *r = name->resolver;
	name->is_asking = false;
	r->asking--;
	/* No address all of a sudden: more likely that only one of the two questions was answered. */
	bool is_doubtful = report->result == DNS_NO_ADDRESS && name->answer.count > 0;
	if (report->result == DNS_FOUND) {
		name_is_found(name, report);
	} else if (report->result == DNS_FAILED || is_doubtful) {
		name_is_unknown(name, report->why);
	} else {
		struct resolved none = { .error = report->why };
		r->counters.absences++;
		name_take(name, &none, clamp_ttl(r->failure_ttl_us, UINT64_MAX));
	}
	tell_change(name);
	answer_waiting(name, name->lookups);
}

/* ---- asking ---- */

static void
name_ask(struct name *name)
{
	struct resolver *r = name->resolver;
	if (!r->has_files)
		look_at_files(r);
	r->counters.lookups++;
	r->asking++;
	name->lookups++;
	name->asked_us = clock_now_us();
	name->is_asking = true;
	dns_ask(r->dns, name->text, name_on_report, name);
}

static struct name *
name_find(const struct resolver *r, const char *host)
{
	struct name *name;
	HASH_FIND_STR(r->names, host, name);
	return name;
}

static struct name *
name_get(struct resolver *r, const char *host)
{
	struct name *name = name_find(r, host);
	if (name)
		return name;
	name = heap_alloc(sizeof(*name));
	name->text = heap_string(host);
	name->resolver = r;
	name->worked = -1;
	list_init(&name->waiting);
	HASH_ADD_KEYPTR(hh, r->names, name->text, strlen(name->text), name);
	return name;
}

bool
resolve_unix(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *bytes)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/.s.PGSQL.%u", host, port);
	if (n < 0 || (size_t)n >= sizeof(a.sun_path))
		return false;
	*bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	if (host[0] == '@') {
		a.sun_path[0] = '\0';
		(*bytes)--;
	}
	memset(out, 0, sizeof(*out));
	memcpy(out, &a, sizeof(a));
	return true;
}

/* What needs no looking up. */
static bool
resolve_directly(const char *host, uint16_t port, struct resolved *out)
{
	if (host[0] == '/' || host[0] == '@') {
		if (resolve_unix(host, port, &out->at[0].address, &out->at[0].bytes))
			out->count = out->trusted = 1;
		else
			out->error = "Unix socket path is too long";
		return true;
	}
	struct addrinfo *number, hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	if (getaddrinfo(host, NULL, &hints, &number) != 0)
		return false;
	struct sockaddr_storage a = { 0 };
	memcpy(&a, number->ai_addr, number->ai_addrlen);
	freeaddrinfo(number);
	address_set_port(&a, port);
	resolved_add(out, &a);
	out->trusted = out->count;
	return true;
}

struct resolve_request *
resolve_name(struct resolver *r, const char *host, uint16_t port, resolve_fn *fn, void *context)
{
	struct resolved direct = { 0 };
	if (resolve_directly(host, port, &direct)) {
		fn(context, &direct);
		return NULL;
	}
	struct name *name = name_get(r, host);
	name->used_us = clock_now_us();
	bool is_due = name->good_until_us <= clock_now_us();
	if (is_due && !name->is_asking)
		name_ask(name);
	/* While name servers are out of reach, nobody waits for them to stay so. */
	if (!is_due || (name->is_stale && name->answer.count > 0)) {
		answer_from(name, port, fn, context);
		return NULL;
	}
	struct resolve_request *q = heap_alloc(sizeof(*q));
	*q = (struct resolve_request){ .number = name->lookups, .port = port, .fn = fn, .context = context };
	list_append(&name->waiting, &q->node);
	return q;
}

void
resolve_cancel(struct resolve_request *q)
{
	if (q == NULL)
		return;
	node_remove(&q->node);
	heap_free(q);
}

/* ---- how it went on ---- */

void
resolve_keep(struct resolver *r, const char *host)
{
	struct name *name = name_find(r, host);
	if (name)
		name->kept_us = name->used_us = clock_now_us();
}

void
resolve_worked(struct resolver *r, const char *host, const struct sockaddr_storage *address)
{
	struct name *name = name_find(r, host);
	int i = name ? resolved_index(&name->answer, address) : -1;
	if (i < 0)
		return;
	name->worked = i;
	name->failed_us[i] = 0;
}

void
resolve_failed(struct resolver *r, const char *host, const struct sockaddr_storage *address)
{
	struct name *name = name_find(r, host);
	int i = name ? resolved_index(&name->answer, address) : -1;
	if (i >= 0)
		name->failed_us[i] = clock_now_us();
}

bool
resolve_distrust(struct resolver *r, const char *host)
{
	struct name *name = name_find(r, host);
	if (name == NULL || clock_now_us() - name->answered_us < TTL_LEAST_US)
		return false;
	name->good_until_us = 0;
	return true;
}

void
resolver_tick(struct resolver *r)
{
	if (r->names == NULL)
		return;
	look_at_files(r);
	uint64_t now = clock_now_us();
	struct name *name, *after;
	HASH_ITER(hh, r->names, name, after)
	{
		tell_change(name);
		bool is_kept = name->kept_us && now - name->kept_us < IN_USE_US;
		if (name->is_asking && name->answer.count > 0 && now - name->asked_us >= STALE_AFTER_US)
			answer_waiting(name, name->lookups);
		else if (!name->is_asking && is_kept && name->good_until_us <= now)
			name_ask(name);
		else if (!name->is_asking && list_is_empty(&name->waiting) && now - name->used_us > FORGOTTEN_US)
			name_free(name);
	}
}

/* ---- for people ---- */

bool
resolver_next(const struct resolver *r, const void **at, struct remembered_name *out)
{
	const struct name *name = *at ? ((const struct name *)*at)->hh.next : r->names;
	if (name == NULL)
		return false;
	*at = name;
	*out = (struct remembered_name){
		.host = name->text,
		.answer = &name->answer,
		.good_until_us = name->good_until_us,
		.is_asking = name->is_asking,
	};
	return true;
}

const struct resolver_counters *
resolver_counters(const struct resolver *r)
{
	return &r->counters;
}

unsigned
resolver_asking(const struct resolver *r)
{
	return r->asking;
}
