/*
 * src/sql/nodes.h - readers of nodes: what the rows in nodes.c call for a node that says more than its row.
 *
 * Each gets the node's fields, the members of the object at `at`, and answers whether its children are to be walked too.
 */
#ifndef SQL_NODES_H
#define SQL_NODES_H

#include "reader.h"

typedef bool node_reader(struct reader *r, uint32_t at);

/* Fields by name; missing: 0, "", false. */
uint32_t node_field(const struct reader *r, uint32_t at, const char *key);
const char *node_string(struct reader *r, uint32_t at, const char *key);
bool node_is(const struct reader *r, uint32_t at, const char *key, const char *value);
bool node_is_true(const struct reader *r, uint32_t at, const char *key);
void node_walk(struct reader *r, uint32_t at, const char *key);

/* expressions.c */
void read_relation(struct reader *r, uint32_t at); /* a RangeVar, known by its field relname */
bool node_is_temporary(const char *schema);
void node_note_temporary(struct reader *r, const char *name, bool is_local);
node_reader read_target, read_column, read_indirection, read_type, read_cte;
node_reader read_expression, read_operator, read_case, read_join, read_function;
node_reader read_sample;

/* statements.c */
node_reader read_transaction, read_set, read_show, read_prepare, read_execute;
node_reader read_deallocate, read_declare, read_fetch, read_current_of, read_close;
node_reader read_listen, read_unlisten, read_notify, read_discard, read_load;
node_reader read_create_table, read_into, read_create_view, read_create_sequence, read_string_node;
node_reader read_explain, read_copy, read_vacuum, read_reindex, read_cluster;
node_reader read_concurrent;

#endif
