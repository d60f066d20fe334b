/* tests/base/test_list.c - base/list. */
#include "base/list.h"

#include "../suite.h"

struct item {
	struct node node;
	int n;
};

static struct list list;
static struct item items[6];

static void
begin(int count)
{
	list_init(&list);
	for (int i = 0; i < count; i++) {
		items[i] = (struct item){ .n = i };
		list_append(&list, &items[i].node);
	}
}

static struct item *
item(struct node *n)
{
	return node_owner(n, struct item, node);
}

START_TEST(members_stand_in_the_order_in_which_they_were_put)
{
	begin(2);
	items[2] = (struct item){ .n = 2 };
	list_prepend(&list, &items[2].node);
	items[3] = (struct item){ .n = 3 };
	list_insert_before(&list, &items[1].node, &items[3].node);
	static const int order[] = { 2, 0, 3, 1 };
	int i = 0;
	list_each(&list, n, after)
		ck_assert_int_eq(item(n)->n, order[i++]);
	ck_assert_int_eq(i, 4);
	ck_assert_uint_eq(list.count, 4);
	ck_assert_ptr_eq(list_first(&list), &items[2].node);
	ck_assert_ptr_eq(list_last(&list), &items[1].node);
	ck_assert_ptr_null(list_next(&list, &items[1].node));
}
END_TEST

START_TEST(a_member_can_be_taken_out_once_or_more)
{
	begin(3);
	ck_assert(node_is_in(&items[1].node));
	node_remove(&items[1].node);
	node_remove(&items[1].node);
	ck_assert(!node_is_in(&items[1].node));
	ck_assert_uint_eq(list.count, 2);
	node_remove(&items[0].node);
	node_remove(&items[2].node);
	ck_assert(list_is_empty(&list));
	ck_assert_ptr_null(list_first(&list));
	ck_assert_ptr_null(list_last(&list));
	list_each(&list, n, after)
		ck_abort_msg("an empty list has no members");
}
END_TEST

START_TEST(a_walk_may_remove_each_it_meets)
{
	begin(6);
	int met = 0;
	list_each(&list, n, after)
	{
		node_remove(n);
		met++;
	}
	ck_assert_int_eq(met, 6);
	ck_assert(list_is_empty(&list));
}
END_TEST

START_TEST(a_walk_may_remove_others_even_the_next_one)
{
	struct list closed;
	begin(6);
	list_init(&closed);
	unsigned met = 0;
	list_each(&list, n, after)
	{
		int i = item(n)->n;
		met |= 1u << i;
		if (i % 2 == 0) { /* it takes its neighbours along, and they go into another list */
			node_remove(n);
			list_append(&closed, n);
			node_remove(&items[i + 1].node);
			list_append(&closed, &items[i + 1].node);
		}
	}
	ck_assert_uint_eq(met, 1 | 4 | 16);
	ck_assert(list_is_empty(&list));
	ck_assert_uint_eq(closed.count, 6);
}
END_TEST

START_TEST(a_walk_begins_again_when_it_loses_its_next)
{
	begin(4);
	int calls = 0;
	unsigned met = 0;
	list_each(&list, n, after)
	{
		met |= 1u << item(n)->n;
		if (calls++ == 1)
			node_remove(&items[2].node);
	}
	ck_assert_uint_eq(met, 1 | 2 | 8);
	ck_assert_int_eq(calls, 5); /* 0 1, and 0 1 3 */
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		members_stand_in_the_order_in_which_they_were_put,
		a_member_can_be_taken_out_once_or_more,
		a_walk_may_remove_each_it_meets,
		a_walk_may_remove_others_even_the_next_one,
		a_walk_begins_again_when_it_loses_its_next,
	};
	return suite_run("base/list", rules, sizeof(rules) / sizeof(rules[0]));
}
