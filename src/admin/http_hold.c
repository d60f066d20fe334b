/*
 * admin/http_hold.c - POST /hold and POST /release: somebody who is about to stop the leader says so beforehand.
 *
 *   POST /hold?member=n1&ttl=30      Authorization: Bearer <http_token>
 *
 * If that member leads, or led last and nobody does, writes are held until another one leads, it has gone and come back, /release,
 * or ttl seconds have passed. The answer says how many transactions still run on it: ask again until there are none. Of no effect
 * for other members, so that every member may run the same script (contrib/patroni/before_stop).
 */
#include "admin/http_hold.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/log.h"
#include "session/hold.h"
#include "session/proxy.h"

#define TTL_PRESET_S 30
#define TTL_MOST_S   3600

bool
http_hold_has(const char *path)
{
	return path && (strcmp(path, "/hold") == 0 || strcmp(path, "/release") == 0);
}

static bool
is_token(const char *authorization, const char *token)
{
	static const char scheme[] = "Bearer ";
	size_t n = strlen(token);
	if (authorization == NULL || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return false;
	authorization += strlen(scheme);
	return strlen(authorization) == n && CRYPTO_memcmp(authorization, token, n) == 0;
}

/* The cluster in which this member leads, or led last. */
static struct hold *
find_led_by(struct proxy *x, const char *cluster, const char *member)
{
	list_each(&x->loads, n, after)
	{
		struct cluster_load *load = node_owner(n, struct cluster_load, node);
		bool is_named = cluster == NULL || strcmp(load->topology->cluster, cluster) == 0;
		if (is_named && !load->topology->is_plain && hold_is_led_by(load->hold, member))
			return load->hold;
	}
	return NULL;
}

/* 0: none that is allowed. */
static unsigned long
read_ttl(const char *text)
{
	if (text == NULL)
		return TTL_PRESET_S;
	char *end;
	unsigned long ttl = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
	return ttl > 0 && ttl <= TTL_MOST_S && *end == '\0' ? ttl : 0;
}

static int
answer(struct proxy *x, const char *path, const struct evkeyvalq *given, struct buf *out)
{
	const char *member = evhttp_find_header(given, "member");
	unsigned long ttl = read_ttl(evhttp_find_header(given, "ttl"));
	if (member == NULL || ttl == 0) {
		buf_addf(out, "member=<name of the member>, and perhaps ttl=<1 to %d seconds> and cluster=<name>, are wanted\n", TTL_MOST_S);
		return 400;
	}
	struct hold *h = find_led_by(x, evhttp_find_header(given, "cluster"), member);
	if (strcmp(path, "/release") == 0) {
		if (h)
			hold_release(h);
		buf_addf(out, "released\n");
		return 200;
	}
	if (h == NULL) {
		buf_addf(out, "busy 0: it does not lead\n");
		return 200;
	}
	hold_ask(h, ttl * SECOND_US, "POST /hold");
	buf_addf(out, "busy %u\n", hold_busy(h));
	return 200;
}

int
http_hold(struct proxy *x, const char *path, const char *query, const char *authorization, struct buf *out)
{
	const char *token = x->config->settings.http_token;
	if (token[0] == '\0') {
		buf_addf(out, "http_token is not set\n");
		return 403;
	}
	if (!is_token(authorization, token)) {
		buf_addf(out, "a header \"Authorization: Bearer <http_token>\" is wanted\n");
		return 401;
	}
	struct evkeyvalq given;
	if (evhttp_parse_query_str(query ? query : "", &given) != 0) {
		buf_addf(out, "what stands behind ? can't be read\n");
		return 400;
	}
	int status = answer(x, path, &given, out);
	evhttp_clear_headers(&given);
	return status;
}
