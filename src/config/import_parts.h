/*
 * config/import_parts.h - what the parts of --import share: src/config/import.c decides, import_tell.c reports, import_write.c
 * writes.
 */
#ifndef CONFIG_IMPORT_PARTS_H
#define CONFIG_IMPORT_PARTS_H

#include "config/haproxy.h"
#include "config/import.h"
#include "config/ini.h"

enum { GROUPS_MAX = 32, DOORS_MAX = 128, GROUP_SERVERS_MAX = 64, GROUP_NAME_MAX = 40 };

/* Servers that belong together: a cluster, or a single server. */
struct group {
	char name[GROUP_NAME_MAX];
	bool is_patroni;  /* else the servers are asked for their roles */
	bool is_used;     /* by an entry of [databases] */
	bool is_pgbouncer; /* its servers are PgBouncers, with PostgreSQL beside each */
	const struct haproxy_server *server[GROUP_SERVERS_MAX];
	const struct haproxy_proxy *server_of[GROUP_SERVERS_MAX]; /* the section it stands in */
	int server_count;
	struct view lag;  /* of ?lag=, or empty */
};

/* A port of HAProxy that leads to PostgreSQL. */
struct door {
	const struct haproxy_proxy *proxy;
	const struct haproxy_bind *bind;
	const struct haproxy_proxy *backend;
	enum haproxy_role role; /* never HAPROXY_ANYBODY */
	int group;
	bool has_fallback; /* replicas, and the primary where there is none */
};

struct import {
	struct config_memory *memory;
	struct import_report *report;
	struct haproxy haproxy;
	const char *haproxy_name;   /* NULL: there is none */
	struct import_file pgbouncer; /* text.p NULL: there is none */
	const struct config *config;  /* what the pgbouncer.ini says; NULL: there is none */
	struct ini ini;               /* its lines */
	struct group groups[GROUPS_MAX];
	int group_count;
	struct door doors[DOORS_MAX];
	int door_count;
	const struct door *write_door, *read_door; /* the first ones; or NULL */
	const struct haproxy_proxy *stats;         /* the status page; or NULL */
	bool is_behind;   /* PgBouncer stands behind HAProxy: clients know HAProxy's ports */
};

/* What an entry of [databases] becomes. */
struct import_target {
	const struct group *group; /* cluster=NAME of it; NULL: as it is */
	const struct haproxy_server *server; /* or host= and port= of this one */
	const struct door *door;   /* that it went through; NULL: none */
};

struct import_target import_target_of(struct import *m, struct view host, int port);
bool import_is_local(struct view host); /* a PgBouncer's entry: the PostgreSQL beside it */
bool group_is_cluster(const struct group *g);
bool import_has_key(const struct import *m, const char *key); /* in the pgbouncer.ini */

int import_pgbouncer_port(const struct import *m); /* where the PgBouncer of this file listens */

void import_tell(struct import *m);
void import_write(struct import *m, struct buf *out);

#define done(m, ...) config_errors_add(&(m)->report->done, __VA_ARGS__)
#define left(m, ...) config_errors_add(&(m)->report->left, __VA_ARGS__)

static inline struct place
at_line(const struct import *m, int line)
{
	return (struct place){ m->haproxy_name, line };
}

#endif
