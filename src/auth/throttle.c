/* auth/throttle.c - see the header. */
#include "auth/throttle.h"

#include <string.h>

#include "auth/digest.h"
#include "base/bytes.h"
#include "base/heap.h"

enum {
	SETS = 512, /* chosen by the key */
	WAYS = 8,   /* entries of a set */
	TAG_BYTES = 16,
};

#define GOOD_US ((uint64_t)86400 * 1000000) /* how long a login counts for */

struct entry {
	uint8_t  tag[TAG_BYTES];
	uint64_t until_us;      /* end of the window; 0: no failures */
	uint64_t good_until_us; /* logged in, not long ago; 0: never */
	uint32_t failures;
	bool     is_told;
};

struct throttle {
	uint8_t       key[DIGEST_BYTES];
	struct entry *all; /* NULL: nothing was noted yet */
	uint64_t      failing_until_us; /* no window ends later: most of the time nobody fails */
};

/* Of an address, or of a name from there. */
struct place {
	uint32_t set;
	uint8_t  tag[TAG_BYTES];
};

static struct place
place_of(const struct throttle *t, const struct ip_address *from, const char *user)
{
	uint8_t digest[DIGEST_BYTES];
	struct view parts[] = {
		user ? VIEW("user") : VIEW("host"), { from->bytes, from->size == 16 ? 8 : from->size }, view_of_string(user),
	};
	struct place p;
	digest_hmac(view_of(t->key, DIGEST_BYTES), parts, 3, digest);
	p.set = load_be32(digest) % SETS;
	memcpy(p.tag, digest + 4, TAG_BYTES);
	return p;
}

static void
expire(struct entry *e, uint64_t now_us)
{
	if (e->until_us <= now_us)
		e->until_us = e->failures = e->is_told = 0;
	if (e->good_until_us <= now_us)
		e->good_until_us = 0;
}

static bool
is_free(const struct entry *e)
{
	return e->until_us == 0 && e->good_until_us == 0;
}

static struct entry *
find(struct throttle *t, const struct place *p, uint64_t now_us)
{
	if (t->all == NULL)
		return NULL;
	for (struct entry *e = t->all + (size_t)p->set * WAYS, *end = e + WAYS; e < end; e++) {
		expire(e, now_us);
		if (!is_free(e) && memcmp(e->tag, p->tag, TAG_BYTES) == 0)
			return e;
	}
	return NULL;
}

/* Which of two is missed less? */
static bool
is_less(const struct entry *a, const struct entry *b)
{
	if (is_free(a) != is_free(b))
		return is_free(a);
	if (a->failures != b->failures)
		return a->failures < b->failures;
	if (a->good_until_us != b->good_until_us)
		return a->good_until_us < b->good_until_us;
	return a->until_us < b->until_us;
}

static struct entry *
find_or_make(struct throttle *t, const struct place *p, uint64_t now_us)
{
	if (t->all == NULL)
		t->all = heap_alloc(sizeof(*t->all) * SETS * WAYS);
	struct entry *e = find(t, p, now_us);
	if (e)
		return e;
	e = t->all + (size_t)p->set * WAYS;
	for (struct entry *other = e + 1, *end = e + WAYS; other < end; other++)
		if (is_less(other, e))
			e = other;
	*e = (struct entry){ 0 };
	memcpy(e->tag, p->tag, TAG_BYTES);
	return e;
}

static unsigned
limit_of_user(const struct throttle_rules *rules)
{
	return (rules->limit + 1) / 2;
}

struct throttle *
throttle_new(void)
{
	struct throttle *t = heap_alloc(sizeof(*t));
	digest_random(t->key, sizeof(t->key));
	return t;
}

void
throttle_free(struct throttle *t)
{
	if (t == NULL)
		return;
	heap_free(t->all);
	heap_free(t);
}

static bool
is_off(const struct throttle_rules *rules, const struct ip_address *from)
{
	return rules->limit == 0 || from->size == 0;
}

struct throttle_verdict
throttle_ask(struct throttle *t, const struct throttle_rules *rules, const struct ip_address *from, const char *user,
             uint64_t now_us)
{
	if (is_off(rules, from) || t->failing_until_us <= now_us)
		return (struct throttle_verdict){ 0 };
	struct place at_user = place_of(t, from, user), at_host = place_of(t, from, NULL);
	struct entry *of_user = find(t, &at_user, now_us), *of_host = find(t, &at_host, now_us), *why = NULL;
	if (of_user && of_user->failures >= limit_of_user(rules))
		why = of_user;
	else if (of_host && of_host->failures >= rules->limit && !(of_user && of_user->good_until_us))
		why = of_host;
	if (why == NULL)
		return (struct throttle_verdict){ 0 };
	struct throttle_verdict v = { .is_refused = true, .is_news = !why->is_told, .is_user = why == of_user,
		                      .until_us = why->until_us };
	why->is_told = true;
	return v;
}

static void
count(struct entry *e, const struct throttle_rules *rules, uint64_t now_us)
{
	if (e->until_us == 0)
		e->until_us = now_us + rules->window_us;
	if (e->failures < UINT32_MAX)
		e->failures++;
}

void
throttle_failed(struct throttle *t, const struct throttle_rules *rules, const struct ip_address *from, const char *user,
                uint64_t now_us)
{
	if (is_off(rules, from))
		return;
	struct place at_user = place_of(t, from, user), at_host = place_of(t, from, NULL);
	if (t->failing_until_us < now_us + rules->window_us)
		t->failing_until_us = now_us + rules->window_us;
	count(find_or_make(t, &at_host, now_us), rules, now_us);
	count(find_or_make(t, &at_user, now_us), rules, now_us);
}

void
throttle_succeeded(struct throttle *t, const struct throttle_rules *rules, const struct ip_address *from,
                   const char *user, uint64_t now_us)
{
	if (is_off(rules, from))
		return;
	struct place at_user = place_of(t, from, user), at_host;
	struct entry *of_user = find_or_make(t, &at_user, now_us), *of_host = NULL;
	if (of_user->failures > 0) {
		at_host = place_of(t, from, NULL);
		of_host = find(t, &at_host, now_us);
	}
	if (of_host)
		of_host->failures -= of_user->failures < of_host->failures ? of_user->failures : of_host->failures;
	of_user->until_us = of_user->failures = of_user->is_told = 0;
	of_user->good_until_us = now_us + GOOD_US;
}

size_t
throttle_room(const struct throttle *t)
{
	return t->all ? SETS * WAYS : 0;
}

size_t
throttle_count(const struct throttle *t, uint64_t now_us)
{
	size_t n = 0;
	for (size_t i = 0; i < throttle_room(t); i++)
		n += t->all[i].until_us > now_us || t->all[i].good_until_us > now_us;
	return n;
}
