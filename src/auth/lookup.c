/* auth/lookup.c - see the header. A question without askers, answer and flight is freed at once. */
#include "auth/lookup.h"

#include <string.h>

#include "base/heap.h"

void
lookup_init(struct lookup *l)
{
	*l = (struct lookup){ 0 };
	list_init(&l->queue);
	list_init(&l->kept);
}

static void
question_free(struct lookup *l, struct lookup_question *q)
{
	must(list_is_empty(&q->next) && list_is_empty(&q->now) && !q->is_running);
	node_remove(&q->queued);
	HASH_DEL(l->questions, q);
	secret_free(&q->secret);
	heap_free(q);
}

void
lookup_fini(struct lookup *l)
{
	struct lookup_question *q, *after;
	HASH_ITER(hh, l->questions, q, after)
	{
		q->is_running = false;
		question_free(l, q);
	}
}

static struct lookup_question *
question_get(struct lookup *l, const char *user)
{
	struct lookup_question *q;
	HASH_FIND_STR(l->questions, user, q);
	if (q)
		return q;
	size_t n = strlen(user);
	q = heap_alloc(sizeof(*q) + n + 1);
	memcpy(q->user, user, n + 1);
	list_init(&q->next);
	list_init(&q->now);
	HASH_ADD_KEYPTR(hh, l->questions, q->user, n, q);
	return q;
}

static bool
counts(const struct lookup_limits *limits, uint64_t sent_us, uint64_t now_us)
{
	return limits->ttl_us > 0 && now_us - sent_us < limits->ttl_us;
}

static void
forget_answer(struct lookup_question *q)
{
	q->has_answer = q->is_known = false;
	secret_free(&q->secret);
}

/* It is in the list where it belongs, or nowhere: then it is gone. */
static void
question_settle(struct lookup *l, struct lookup_question *q)
{
	if (!list_is_empty(&q->next) && !q->is_running) {
		if (q->queued.in == &l->kept)
			node_remove(&q->queued);
		if (!node_is_in(&q->queued))
			list_append(&l->queue, &q->queued);
		return;
	}
	node_remove(&q->queued);
	if (q->is_running)
		return;
	if (q->has_answer)
		list_append(&l->kept, &q->queued);
	else
		question_free(l, q);
}

enum lookup_result
lookup_want(struct lookup *l, const struct lookup_limits *limits, const char *user, struct lookup_asker *asker,
            uint64_t now_us, const struct secret **secret)
{
	must(!node_is_in(&asker->node));
	struct lookup_question *q;
	HASH_FIND_STR(l->questions, user, q);
	if (q && q->has_answer && counts(limits, q->answer_us, now_us)) {
		l->cached++;
		*secret = &q->secret;
		return q->is_known ? LOOKUP_KNOWN : LOOKUP_UNKNOWN;
	}
	bool is_waited_for = q && (q->is_running || !list_is_empty(&q->next));
	if (!is_waited_for && l->running + l->queue.count >= limits->questions_max)
		return LOOKUP_FULL;
	if (is_waited_for)
		l->joined++;
	q = question_get(l, user);
	asker->of = q;
	list_append(q->is_running && counts(limits, q->sent_us, now_us) ? &q->now : &q->next, &asker->node);
	question_settle(l, q);
	return LOOKUP_WAIT;
}

void
lookup_leave(struct lookup *l, struct lookup_asker *asker)
{
	struct lookup_question *q = asker->of;
	node_remove(&asker->node);
	asker->of = NULL;
	if (q)
		question_settle(l, q);
}

struct lookup_question *
lookup_first(struct lookup *l, const struct lookup_limits *limits)
{
	struct node *n = list_first(&l->queue);
	return n && l->running < limits->running_max ? node_owner(n, struct lookup_question, queued) : NULL;
}

static void
move_all(struct list *from, struct list *to)
{
	struct node *n;
	while ((n = list_first(from)) != NULL) {
		node_remove(n);
		list_append(to, n);
	}
}

void
lookup_send(struct lookup *l, struct lookup_question *q, uint64_t now_us)
{
	must(!q->is_running && q->queued.in == &l->queue);
	node_remove(&q->queued);
	forget_answer(q);
	move_all(&q->next, &q->now);
	q->is_running = true;
	q->sent_us = now_us;
	l->running++;
	l->asked++;
}

static void
is_over(struct lookup *l, struct lookup_question *q)
{
	must(q->is_running);
	q->is_running = false;
	l->running--;
}

void
lookup_again(struct lookup *l, struct lookup_question *q)
{
	is_over(l, q);
	move_all(&q->next, &q->now); /* those who came first stay first */
	move_all(&q->now, &q->next);
	if (list_is_empty(&q->next))
		question_settle(l, q);
	else
		list_prepend(&l->queue, &q->queued);
}

static void
take_out(struct list *from, struct list *to)
{
	struct node *n;
	while ((n = list_first(from)) != NULL) {
		node_owner(n, struct lookup_asker, node)->of = NULL;
		node_remove(n);
		list_append(to, n);
	}
}

static void
drop_oldest(struct lookup *l)
{
	struct node *n = list_first(&l->kept);
	struct lookup_question *q = node_owner(n, struct lookup_question, queued);
	forget_answer(q);
	question_free(l, q);
}

void
lookup_answer(struct lookup *l, const struct lookup_limits *limits, struct lookup_question *q, const struct secret *secret,
              uint64_t now_us, struct list *told)
{
	is_over(l, q);
	take_out(&q->now, told);
	q->tried = 0;
	forget_answer(q);
	if (counts(limits, q->sent_us, now_us)) {
		q->has_answer = true;
		q->answer_us = q->sent_us;
		q->is_known = secret != NULL;
		if (secret)
			secret_copy(secret, &q->secret);
	}
	question_settle(l, q);
	while (l->kept.count > limits->kept_max)
		drop_oldest(l);
}

void
lookup_fail(struct lookup *l, struct lookup_question *q, struct list *told)
{
	if (q->is_running)
		is_over(l, q);
	else
		take_out(&q->next, told);
	take_out(&q->now, told);
	q->tried = 0;
	question_settle(l, q);
}

void
lookup_forget(struct lookup *l, const char *user)
{
	struct lookup_question *q;
	HASH_FIND_STR(l->questions, user, q);
	if (q == NULL || !q->has_answer)
		return;
	forget_answer(q);
	question_settle(l, q);
}

void
lookup_expire(struct lookup *l, const struct lookup_limits *limits, uint64_t now_us)
{
	struct node *n;
	while ((n = list_first(&l->kept)) != NULL &&
	       !counts(limits, node_owner(n, struct lookup_question, queued)->answer_us, now_us))
		drop_oldest(l);
}

void
lookup_take_all(struct lookup *l, struct list *askers)
{
	struct lookup_question *q, *after;
	HASH_ITER(hh, l->questions, q, after)
	{
		take_out(&q->now, askers);
		take_out(&q->next, askers);
		question_settle(l, q);
	}
}
