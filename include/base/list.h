/*
 * base/list.h - a doubly linked list through its members: a struct node inside each object, a struct list at the head.
 *
 * A node is in one list at most; node_is_in() tells. A node of zeroes is in none. The list counts its members.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

struct list;

struct node {
	struct node *next, *prev;
	struct list *in; /* NULL: in no list */
};

struct list {
	struct node head; /* head.next is the first, head.prev the last */
	uint32_t    count;
};

/* The object of type `type` whose member `member` is the node n. */
#define node_owner(n, type, member) ((type *)(void *)((char *)(n)-offsetof(type, member)))

static inline void
list_init(struct list *l)
{
	l->head.next = l->head.prev = &l->head;
	l->head.in = l;
	l->count = 0;
}

static inline bool
list_is_empty(const struct list *l)
{
	return l->count == 0;
}

static inline bool
node_is_in(const struct node *n)
{
	return n->in != NULL;
}

static inline void
list_insert_before(struct list *l, struct node *at, struct node *n)
{
	must(n->in == NULL);
	n->next = at;
	n->prev = at->prev;
	at->prev->next = n;
	at->prev = n;
	n->in = l;
	l->count++;
}

static inline void
list_append(struct list *l, struct node *n)
{
	list_insert_before(l, &l->head, n);
}

static inline void
list_prepend(struct list *l, struct node *n)
{
	list_insert_before(l, l->head.next, n);
}

/* Take n out of whichever list it is in; none is fine. */
static inline void
node_remove(struct node *n)
{
	if (n->in == NULL)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->in->count--;
	n->next = n->prev = NULL;
	n->in = NULL;
}

/* First, last, next: NULL at the end. */
static inline struct node *
list_first(const struct list *l)
{
	return l->count ? l->head.next : NULL;
}

static inline struct node *
list_last(const struct list *l)
{
	return l->count ? l->head.prev : NULL;
}

static inline struct node *
list_next(const struct list *l, const struct node *n)
{
	return n->next == &l->head ? NULL : n->next;
}

/* Where a walk goes on whose next step was to be `after`: from the start, if that was removed meanwhile. */
static inline struct node *
list_step(const struct list *l, struct node *after)
{
	return after == NULL || after->in == l ? after : list_first(l);
}

/*
 * Walk with n. The body may remove any member, but not free the one that comes next. If it removes just that one, the
 * walk begins again, so that members may be met twice.
 */
#define list_each(l, n, after)                                                                                         \
	for (struct node *n = list_first(l), *after = n ? list_next(l, n) : NULL; n;                                    \
	     n = list_step(l, after), after = n ? list_next(l, n) : NULL)

#endif
