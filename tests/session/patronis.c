/* tests/session/patronis.c - see the header. */
#include "patronis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake/net.h"

enum { MEMBERS_MAX = 9 };
enum mood { ABSENT, WAITS, REFUSES, ANSWERS };

static struct patroni {
	enum mood mood;
	int status;
	char role[WORD_MAX], state[WORD_MAX];
	int timeline;
	bool is_unlocked;
} patroni[MEMBERS_MAX];

static int order_status; /* 0: not answered */
static char order_words[WORD_MAX];

void
patronis_reset(void)
{
	memset(patroni, 0, sizeof(patroni));
	order_status = 0;
}

bool
patronis_act(const struct words *w)
{
	const char *who = w->at[1];
	if (strcmp(who, "order") == 0 && w->n == 4) {
		order_status = atoi(w->at[2]);
		snprintf(order_words, sizeof(order_words), "%s", w->at[3]);
		return true;
	}
	int i = atoi(who + 1) - 1;
	if (w->n < 3 || who[0] != 'n' || i < 0 || i >= MEMBERS_MAX)
		return false;
	struct patroni *p = &patroni[i];
	const char *what = w->at[2];
	if (strcmp(what, "waits") == 0 || strcmp(what, "refuses") == 0) {
		p->mood = what[0] == 'w' ? WAITS : REFUSES;
		return w->n == 3;
	}
	if (w->n < 6)
		return false;
	p->mood = ANSWERS;
	p->status = atoi(what);
	snprintf(p->role, sizeof(p->role), "%s", w->at[3]);
	snprintf(p->state, sizeof(p->state), "%s", w->at[4]);
	p->timeline = atoi(w->at[5]);
	p->is_unlocked = w->n > 6;
	return true;
}

static void
add_status(const struct patroni *p, char *out, size_t room)
{
	bool is_replica = strcmp(p->role, "replica") == 0;
	snprintf(out, room,
	         "{\"state\": \"%s\", \"role\": \"%s\", \"timeline\": %d, \"xlog\": {\"%s\": 1000%s},%s"
	         " \"database_system_identifier\": \"77\", \"patroni\": {\"scope\": \"test\", \"name\": \"n%d\"}}",
	         p->state, p->role, p->timeline, is_replica ? "received_location" : "location",
	         is_replica ? ", \"replayed_location\": 1000" : "", p->is_unlocked ? " \"cluster_unlocked\": true," : "",
	         (int)(p - patroni) + 1);
}

static void
add_list(char *out, size_t room)
{
	size_t n = (size_t)snprintf(out, room, "{\"members\": [");
	const char *comma = "";
	for (int i = 0; i < MEMBERS_MAX; i++) {
		if (patroni[i].mood == ABSENT)
			continue;
		n += (size_t)snprintf(out + n, room - n,
		                      "%s{\"name\": \"n%d\", \"role\": \"replica\", \"state\": \"running\", \"host\": \"127.0.0.1\","
		                      " \"port\": %d, \"api_url\": \"http://127.0.0.1:%d/patroni\", \"timeline\": 1}",
		                      comma, i + 1, 7001 + i, 8001 + i);
		comma = ", ";
	}
	snprintf(out + n, room - n, "], \"scope\": \"test\"}");
}

static bool
answer(struct fetch *fetch)
{
	char body[8000];
	const char *url = fake_fetch_url(fetch), *port = strrchr(url, ':');
	int i = port ? atoi(port + 1) - 8001 : -1;
	if (i < 0 || i >= MEMBERS_MAX)
		return false;
	const struct patroni *p = &patroni[i];
	if (strstr(url, "/switchover")) {
		if (order_status == 0)
			return false;
		fake_fetched(fetch, FETCH_OK, order_status, order_words);
		order_status = 0;
	} else if (p->mood == REFUSES || p->mood == ABSENT) {
		fake_fetched(fetch, FETCH_REFUSED, 0, "");
	} else if (fake_fetch_is_late(fetch)) {
		fake_fetched(fetch, FETCH_TIMEOUT, 0, "");
	} else if (p->mood == WAITS) {
		return false;
	} else {
		bool is_list = strstr(url, "/cluster") != NULL;
		if (is_list)
			add_list(body, sizeof(body));
		else
			add_status(p, body, sizeof(body));
		fake_fetched(fetch, FETCH_OK, is_list ? 200 : p->status, body);
	}
	return true;
}

bool
patronis_on_turn(void)
{
	for (struct fetch *fetch = fake_fetch(NULL); fetch; fetch = fake_fetch(fetch))
		if (answer(fetch))
			return true;
	return false;
}
