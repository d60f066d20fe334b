/*
 * cluster/patroni.c - Patroni's JSON to plain structs, by jansson.
 *
 * Never: trusts a type, a length or a count; keeps a pointer into the body. jansson refuses what is not UTF-8, NUL in
 * strings, anything behind the document, and nesting beyond 2048.
 * Source: Patroni 4.1 documentation, "Patroni REST API"; api.py, utils.py (cluster_as_json) of 2.1 to 4.1.
 */
#include "cluster/patroni.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *word;
	enum member_state state;
} state_words[] = {
	{ "running", MEMBER_RUNNING },
	{ "streaming", MEMBER_STREAMING },
	{ "in archive recovery", MEMBER_IN_ARCHIVE_RECOVERY },
	{ "starting", MEMBER_STARTING },
	{ "restarting", MEMBER_STARTING },
	{ "starting after custom bootstrap", MEMBER_STARTING },
	{ "stopping", MEMBER_STOPPING },
	{ "stopped", MEMBER_STOPPED },
	{ "crashed", MEMBER_CRASHED },
	{ "start failed", MEMBER_FAILED },
	{ "stop failed", MEMBER_FAILED },
	{ "restart failed", MEMBER_FAILED },
	{ "initdb failed", MEMBER_FAILED },
	{ "custom bootstrap failed", MEMBER_FAILED },
	{ "creating replica", MEMBER_CREATING },
	{ "initializing new cluster", MEMBER_CREATING },
	{ "running custom bootstrap script", MEMBER_CREATING },
};

enum member_state
patroni_state(const char *word)
{
	for (size_t i = 0; i < sizeof(state_words) / sizeof(state_words[0]); i++)
		if (strcmp(state_words[i].word, word) == 0)
			return state_words[i].state;
	return MEMBER_STATE_UNKNOWN;
}

/* "promoted" is what Patroni wishes, not what the server said: as good as nothing, like "demoted". */
static const struct {
	const char *word;
	enum member_role role;
} role_words[] = {
	{ "master", MEMBER_LEADER }, /* before 4.0 */
	{ "primary", MEMBER_LEADER },
	{ "replica", MEMBER_REPLICA },
	{ "standby_leader", MEMBER_REPLICA },
};

enum member_role
patroni_role(const char *word)
{
	for (size_t i = 0; i < sizeof(role_words) / sizeof(role_words[0]); i++)
		if (strcmp(role_words[i].word, word) == 0)
			return role_words[i].role;
	return MEMBER_OTHER;
}

/* A string that fits into an array and has no control characters, copied there; else false and "". */
static bool
copy_string(const json_t *from, char *to, size_t room)
{
	to[0] = '\0';
	const char *s = json_string_value(from);
	if (s == NULL)
		return false;
	size_t n = json_string_length(from);
	if (n >= room)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	memcpy(to, s, n + 1);
	return true;
}

static bool
is_true(const json_t *v)
{
	static const char *const words[] = { "true", "yes", "on", "1" }; /* tags come from YAML, perhaps quoted */
	if (json_is_true(v))
		return true;
	if (json_is_integer(v))
		return json_integer_value(v) != 0;
	const char *s = json_string_value(v);
	for (size_t i = 0; s && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	return false;
}

/* An integer from 0 to most, as a number or in a string; else false. */
static bool
read_uint(const json_t *v, uint64_t most, uint64_t *out)
{
	if (json_is_integer(v)) {
		json_int_t n = json_integer_value(v);
		*out = (uint64_t)n;
		return n >= 0 && (uint64_t)n <= most;
	}
	if (json_is_real(v)) {
		double d = json_real_value(v);
		if (!(d >= 0 && d <= 1e15))
			return false;
		*out = (uint64_t)d;
		return (double)*out == d && *out <= most;
	}
	const char *s = json_string_value(v);
	size_t n = s ? strlen(s) : 0;
	if (n < 1 || n > 15 || strspn(s, "0123456789") != n)
		return false;
	*out = strtoull(s, NULL, 10);
	return *out <= most;
}

static uint64_t
uint_or(const json_t *v, uint64_t most, uint64_t otherwise)
{
	uint64_t n;
	return read_uint(v, most, &n) ? n : otherwise;
}

static void
read_tags(const json_t *tags, struct patroni_tags *out)
{
	out->no_loadbalance = is_true(json_object_get(tags, "noloadbalance"));
	out->no_failover = is_true(json_object_get(tags, "nofailover"));
	uint64_t weight;
	out->has_weight = read_uint(json_object_get(tags, "weight"), 10000, &weight);
	out->weight = out->has_weight ? (uint32_t)weight : 0;
}

/* The document, an object, or NULL and one clause in *why. The caller frees it with json_decref(). */
static json_t *
load_object(struct view body, struct text *why)
{
	if (body.n == 0) {
		text_add(why, "the answer is empty");
		return NULL;
	}
	if (body.n > PATRONI_BODY_MAX) {
		text_addf(why, "the answer is longer than %d bytes", PATRONI_BODY_MAX);
		return NULL;
	}
	json_error_t error;
	json_t *document = json_loadb((const char *)body.p, body.n, 0, &error);
	if (document == NULL) {
		text_addf(why, "not JSON at byte %d: ", error.position);
		text_add_view(why, view_of_string(error.text));
		return NULL;
	}
	if (!json_is_object(document)) {
		text_add(why, "JSON, but not an object");
		json_decref(document);
		return NULL;
	}
	return document;
}

static void
read_status(const json_t *document, struct patroni_status *out)
{
	const char *role = json_string_value(json_object_get(document, "role"));
	out->state = patroni_state(json_string_value(json_object_get(document, "state")));
	out->role = patroni_role(role);
	out->is_standby_leader = strcmp(role, "standby_leader") == 0;
	out->timeline = (uint32_t)uint_or(json_object_get(document, "timeline"), UINT32_MAX, 0);

	const json_t *xlog = json_object_get(document, "xlog");
	out->location = uint_or(json_object_get(xlog, "location"), INT64_MAX, 0);
	out->received_location = uint_or(json_object_get(xlog, "received_location"), INT64_MAX, 0);
	out->replayed_location = uint_or(json_object_get(xlog, "replayed_location"), INT64_MAX, 0);
	out->is_replay_paused = is_true(json_object_get(xlog, "paused"));

	out->is_unlocked = is_true(json_object_get(document, "cluster_unlocked"));
	out->is_paused = is_true(json_object_get(document, "pause"));
	out->is_sync = is_true(json_object_get(document, "sync_standby")) || is_true(json_object_get(document, "quorum_standby"));
	out->is_failsafe = is_true(json_object_get(document, "failsafe_mode_is_active"));
	out->server_version = (uint32_t)uint_or(json_object_get(document, "server_version"), UINT32_MAX, 0);
	out->dcs_last_seen = uint_or(json_object_get(document, "dcs_last_seen"), INT64_MAX, 0);
	read_tags(json_object_get(document, "tags"), &out->tags);
	copy_string(json_object_get(document, "database_system_identifier"), out->identifier, sizeof(out->identifier));

	const json_t *patroni = json_object_get(document, "patroni");
	copy_string(json_object_get(patroni, "name"), out->name, sizeof(out->name));
	copy_string(json_object_get(patroni, "scope"), out->scope, sizeof(out->scope));
	copy_string(json_object_get(patroni, "version"), out->version, sizeof(out->version));
}

enum patroni_result
patroni_parse_status(struct view body, struct patroni_status *out, struct text *why)
{
	memset(out, 0, sizeof(*out));
	json_t *document = load_object(body, why);
	if (document == NULL)
		return PATRONI_BAD_JSON;
	bool is_status = json_is_string(json_object_get(document, "state")) &&
	                 json_is_string(json_object_get(document, "role"));
	if (is_status)
		read_status(document, out);
	else
		text_add(why, "JSON without \"state\" and \"role\"");
	json_decref(document);
	return is_status ? PATRONI_OK : PATRONI_BAD_JSON;
}

/* "http://10.0.0.1:8008/patroni" to "http://10.0.0.1:8008". False, and "", for what is no plain URL of that kind. */
static bool
copy_url(const json_t *from, char *to, size_t room)
{
	to[0] = '\0';
	const char *url = json_string_value(from);
	if (url == NULL)
		return false;
	size_t scheme = strncasecmp(url, "http://", 7) == 0 ? 7 : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;
	size_t authority = scheme ? strcspn(url + scheme, "/?#") : 0;
	if (authority == 0 || scheme + authority >= room)
		return false;
	for (size_t i = scheme; i < scheme + authority; i++)
		if ((unsigned char)url[i] <= 0x20 || url[i] == 0x7f || url[i] == '@' || url[i] == '\\')
			return false;
	memcpy(to, url, scheme + authority);
	to[scheme + authority] = '\0';
	return true;
}

static bool
read_member(const json_t *row, struct patroni_member *out)
{
	memset(out, 0, sizeof(*out));
	uint64_t port = 5432;
	const json_t *port_value = json_object_get(row, "port");
	if (!copy_string(json_object_get(row, "name"), out->name, sizeof(out->name)) || out->name[0] == '\0' ||
	    !copy_string(json_object_get(row, "host"), out->host, sizeof(out->host)) || out->host[0] == '\0' ||
	    (port_value && !json_is_null(port_value) && !read_uint(port_value, UINT16_MAX, &port)) || port == 0)
		return false;
	out->port = (uint16_t)port;
	copy_url(json_object_get(row, "api_url"), out->url, sizeof(out->url));

	const char *role = json_string_value(json_object_get(row, "role"));
	out->is_leader = role && (strcmp(role, "leader") == 0 || strcmp(role, "standby_leader") == 0);
	const char *state = json_string_value(json_object_get(row, "state"));
	out->state = state ? patroni_state(state) : MEMBER_STATE_UNKNOWN;
	out->timeline = (uint32_t)uint_or(json_object_get(row, "timeline"), UINT32_MAX, 0);
	out->lag_bytes = uint_or(json_object_get(row, "lag"), INT64_MAX, LAG_UNKNOWN);
	read_tags(json_object_get(row, "tags"), &out->tags);
	return true;
}

static bool
is_listed(const struct patroni_members *list, const char *name)
{
	for (uint16_t i = 0; i < list->count; i++)
		if (strcmp(list->member[i].name, name) == 0)
			return true;
	return false;
}

static void
read_members(const json_t *rows, struct patroni_members *out)
{
	size_t at;
	json_t *row;
	json_array_foreach(rows, at, row) {
		if (out->count < CLUSTER_MEMBERS_MAX) {
			struct patroni_member *m = &out->member[out->count];
			if (read_member(row, m) && !is_listed(out, m->name)) {
				out->count++;
				continue;
			}
			memset(m, 0, sizeof(*m));
		}
		if (out->skipped < UINT16_MAX)
			out->skipped++;
	}
}

static void
read_switchover(const json_t *planned, struct patroni_members *out)
{
	out->has_switchover = json_is_object(planned);
	copy_string(json_object_get(planned, "at"), out->switchover_at, sizeof(out->switchover_at));
	copy_string(json_object_get(planned, "from"), out->switchover_from, sizeof(out->switchover_from));
	copy_string(json_object_get(planned, "to"), out->switchover_to, sizeof(out->switchover_to));
}

enum patroni_result
patroni_parse_cluster(struct view body, struct patroni_members *out, struct text *why)
{
	memset(out, 0, sizeof(*out));
	json_t *document = load_object(body, why);
	if (document == NULL)
		return PATRONI_BAD_JSON;
	const json_t *rows = json_object_get(document, "members");
	enum patroni_result result = PATRONI_OK;
	if (!json_is_array(rows)) {
		text_add(why, "JSON without an array \"members\"");
		result = PATRONI_BAD_JSON;
	} else {
		read_members(rows, out);
		out->is_paused = is_true(json_object_get(document, "pause"));
		read_switchover(json_object_get(document, "scheduled_switchover"), out);
		if (out->count == 0) {
			text_addf(why, "no usable member among %zu", json_array_size(rows));
			result = PATRONI_NO_MEMBERS;
		}
	}
	json_decref(document);
	return result;
}
