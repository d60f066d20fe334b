/* tests/session/test_channels.c - session/channels: who is told what, and from when on. */
#include "session/channels.h"

#include <stdio.h>
#include <string.h>

#include "../suite.h"
#include "base/bytes.h"
#include "wire/reply.h"

static struct hub hub;

#define NAMES(literal) view_of(literal "\0", sizeof(literal))

/* All of these are listened to, as their server has answered. "+a -b": what was asked. */
static const char *
changes(void)
{
	static char text[200];
	static uint64_t number;
	bool is_listen;
	struct channel *ch;
	text[0] = '\0';
	number++;
	while ((ch = hub_next_change(&hub, number, &is_listen)) != NULL)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%c%s", text[0] ? " " : "", is_listen ? '+' : '-', ch->name);
	hub_listens(&hub, number);
	return text;
}

static void
hear(uint32_t pid, const char *channel, const char *payload)
{
	hub_hear(&hub, &(struct notification){ .pid = pid, .channel = channel, .payload = payload });
}

/* "7 a:x, 7 a:y", and "!" for what is no notification. */
static const char *
told(struct ear *e)
{
	static char text[1000];
	struct buf b = { 0 };
	size_t at = 0;
	text[0] = '\0';
	ear_take(e, &b);
	while (at < b.n) {
		struct frame f;
		struct notification n;
		char one[200] = "!";
		ck_assert_int_eq(frame_peek(view_from(buf_view(&b), at), UINT32_MAX, &f), FRAME_OK);
		if (f.type == BE_NOTIFICATION_RESPONSE) {
			ck_assert(notification_read(f.body, &n));
			snprintf(one, sizeof(one), "%u %s:%s", n.pid, n.channel, n.payload);
		}
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", text[0] ? ", " : "", one);
		at += f.size;
	}
	buf_free(&b);
	return text;
}

/* It listens to these, and all of it is heard here. */
static void
listens(struct ear *e, struct view names)
{
	ear_is(e, names);
	changes();
	ear_is_here(e);
}

START_TEST(what_is_heard_goes_to_those_who_listen_in_order)
{
	struct ear one, other;
	hub_init(&hub);
	ear_open(&one, &hub, NULL);
	ear_open(&other, &hub, NULL);
	listens(&one, NAMES("a\0b"));
	listens(&other, NAMES("b"));
	hear(7, "a", "1");
	hear(8, "b", "2");
	hear(7, "c", "3");
	hear(7, "a", "4");
	ck_assert_uint_eq(hub.ready.count, 2);
	ck_assert_str_eq(told(&one), "7 a:1, 8 b:2, 7 a:4");
	ck_assert_str_eq(told(&other), "8 b:2");
	ck_assert_str_eq(told(&other), "");
	ck_assert_uint_eq(hub.ready.count, 0);
	ck_assert_uint_eq(hub.heard, 4);
	ck_assert_uint_eq(hub.told, 4);
	ear_close(&one);
	ear_close(&other);
	hub_fini(&hub);
}
END_TEST

START_TEST(each_channel_is_asked_for_once_and_given_up_with_its_last_ear)
{
	struct ear one, other;
	hub_init(&hub);
	ear_open(&one, &hub, NULL);
	ear_open(&other, &hub, NULL);
	ck_assert(ear_is(&one, NAMES("a\0b")));
	ck_assert(ear_is(&other, NAMES("b\0c")));
	ck_assert(!ear_is(&other, NAMES("c\0b")));
	ck_assert_str_eq(changes(), "+a +b +c");
	ck_assert_str_eq(changes(), "");
	ear_is(&one, NAMES("b"));
	ck_assert_str_eq(changes(), "-a");
	ck_assert(!ear_is(&one, (struct view){ 0 }));
	ck_assert_str_eq(changes(), "");
	ear_close(&other);
	ck_assert(ear_adds(&one, NAMES("b"))); /* in the same turn */
	ck_assert_str_eq(changes(), "-c");
	hub_lost(&hub);
	ck_assert_str_eq(changes(), "+b");
	ear_is(&one, NAMES("d"));
	ear_is(&one, (struct view){ 0 });
	ck_assert_str_eq(changes(), "-b");
	ck_assert_uint_eq(HASH_COUNT(hub.channels), 0);
	ear_close(&one);
	hub_fini(&hub);
}
END_TEST

/* Of every notification in the queue, whichever connection is the quicker. */
START_TEST(a_hand_over_by_a_mark_loses_nothing_and_tells_nothing_twice)
{
	struct ear e;
	hub_init(&hub);
	ear_open(&e, &hub, NULL);
	ear_is(&e, NAMES("a"));
	ck_assert(ear_waits(&e) && !ear_may_mark(&e));
	changes();
	ck_assert(ear_may_mark(&e));
	hear(7, "a", "said there");
	ck_assert_str_eq(told(&e), "");
	ck_assert(ear_is_told_by_server(&e, "a"));
	ear_mark(&e, 1);
	ear_mark_heard(&e, 1); /* the listener is quicker */
	hear(7, "a", "behind");
	ck_assert(!ear_may_take(&e) && ear_is_told_by_server(&e, "a"));
	ck_assert_str_eq(told(&e), "");
	ear_mark_said(&e, 1);
	ck_assert(ear_may_take(&e) && !ear_waits(&e) && !ear_is_told_by_server(&e, "a"));
	ck_assert_str_eq(told(&e), "7 a:behind");

	ear_is(&e, NAMES("a\0b"));
	changes();
	ck_assert(ear_waits(&e) && ear_is_told_by_server(&e, "b") && !ear_is_told_by_server(&e, "a"));
	ear_mark(&e, 2);
	ear_mark_said(&e, 2); /* the server is quicker */
	hear(7, "b", "in front");
	hear(7, "a", "as before");
	ear_mark_heard(&e, 1);
	hear(7, "b", "in front, too");
	ear_mark_heard(&e, 2);
	hear(7, "b", "behind");
	ck_assert_str_eq(told(&e), "7 a:as before, 7 b:behind");

	ear_is(&e, NAMES("a\0b\0c"));
	changes();
	hear(7, "a", "1");
	hear(7, "b", "2");
	ear_mark(&e, 3);
	ear_mark_heard(&e, 3);
	hear(7, "c", "3");
	ear_is(&e, NAMES("b\0c"));
	ck_assert_str_eq(told(&e), "7 b:2"); /* in front of the mark; the rest when the server has said it */
	hear(7, "b", "4");
	ck_assert_str_eq(told(&e), "");
	struct buf said = { 0 };
	reply_notification(&said, 9, "c", "said");
	ear_tell_said(&e, buf_view(&said));
	ear_tell_said(&e, buf_view(&said));
	buf_free(&said);
	ck_assert_str_eq(told(&e), "9 c:said, 9 c:said");
	ear_mark_said(&e, 3);
	ck_assert_str_eq(told(&e), "7 c:3, 7 b:4");
	ear_close(&e);
	hub_fini(&hub);
}
END_TEST

START_TEST(a_lost_listener_ends_what_waits_for_its_mark_only)
{
	struct ear e;
	hub_init(&hub);
	ear_open(&e, &hub, NULL);
	ear_is(&e, NAMES("a"));
	changes();
	ear_mark(&e, 1);
	ear_mark_said(&e, 1);
	ear_adds(&e, NAMES("b"));
	hub_lost(&hub);
	ear_crosses(&e);
	ck_assert_uint_eq(strlen(changes()), 5); /* both */
	hear(7, "a", "x");
	hear(7, "b", "x");
	ck_assert_str_eq(told(&e), "7 a:x");
	ck_assert(ear_is_here(&e) && !ear_is_here(&e));
	ear_close(&e);
	hub_fini(&hub);
}
END_TEST

START_TEST(what_is_not_listened_to_any_more_is_not_told)
{
	struct ear e;
	hub_init(&hub);
	ear_open(&e, &hub, NULL);
	listens(&e, NAMES("a\0b"));
	hear(7, "a", "1");
	ear_tell(&e, VIEW("N\0\0\0\5\0"), false);
	hear(7, "b", "2");
	ear_is(&e, NAMES("b"));
	ck_assert_str_eq(told(&e), "!, 7 b:2");
	hear(7, "a", "gone");
	hear(7, "b", "is due");
	ear_owes_queued(&e);
	hear(7, "b", "is not");
	ear_is(&e, (struct view){ 0 });
	ck_assert_str_eq(told(&e), "7 b:is due");
	listens(&e, NAMES("b"));
	hear(7, "b", "3");
	ear_is(&e, (struct view){ 0 });
	ck_assert_uint_eq(hub.ready.count, 0);
	ck_assert_uint_eq(e.queue_bytes, 0);
	ck_assert_str_eq(told(&e), "");
	ear_close(&e);
	hub_fini(&hub);
}
END_TEST

START_TEST(its_own_notifications_carry_the_process_that_it_knows)
{
	struct ear one, other;
	hub_init(&hub);
	ear_open(&one, &hub, NULL);
	ear_open(&other, &hub, NULL);
	listens(&one, NAMES("a"));
	listens(&other, NAMES("a"));
	one.own_pid = 7;
	one.shown_pid = 4711;
	hear(7, "a", "1");
	hear(8, "a", "2");
	one.own_pid = 0;
	hear(7, "a", "3");
	hear(0, "a", "4");
	ck_assert_str_eq(told(&one), "4711 a:1, 8 a:2, 7 a:3, 0 a:4");
	ck_assert_str_eq(told(&other), "7 a:1, 8 a:2, 7 a:3, 0 a:4");
	ear_close(&one);
	ear_close(&other);
	hub_fini(&hub);
}
END_TEST

START_TEST(names_are_identifiers_of_any_bytes)
{
	struct buf b = { 0 };
	channel_add_sql(&b, "LISTEN", "a\"b\\'\xff");
	ck_assert(view_is(buf_view(&b), "LISTEN \"a\"\"b\\'\xff\"; "));
	buf_free(&b);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { what_is_heard_goes_to_those_who_listen_in_order,
		                       each_channel_is_asked_for_once_and_given_up_with_its_last_ear,
		                       a_hand_over_by_a_mark_loses_nothing_and_tells_nothing_twice,
		                       a_lost_listener_ends_what_waits_for_its_mark_only,
		                       what_is_not_listened_to_any_more_is_not_told,
		                       its_own_notifications_carry_the_process_that_it_knows,
		                       names_are_identifiers_of_any_bytes };
	return suite_run("session/channels", rules, sizeof(rules) / sizeof(rules[0]));
}
