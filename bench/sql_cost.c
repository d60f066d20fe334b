/*
 * bench/sql_cost.c - what knowing what a statement does costs: nanoseconds a statement, and memory.
 *
 *	sql_cost [STATEMENTS]
 *
 * The claim: a glance costs less than a nanosecond a byte; a text that was seen costs a hash, one that differs in constants a scan more, and only a new one is parsed.
 * Each figure is the best of five rounds, in processor time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "sql/cache.h"
#include "sql/glance.h"

#define ROUNDS 5

static const struct {
	const char *name, *format; /* with one number in it, or none: then always the same */
} statements[] = {
	{ "short", "SELECT abalance FROM pgbench_accounts WHERE aid = %d" },
	{ "parameter", "SELECT abalance FROM pgbench_accounts WHERE aid = $1" },
	{ "begin", "BEGIN" },
	{ "comment", "SELECT abalance FROM pgbench_accounts WHERE aid = $1 /* request %d */" },
	{ "insert", "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (%d, 2, 3, 4, CURRENT_TIMESTAMP)" },
	{ "join", "SELECT o.id, o.total, c.name, count(*) FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN "
	          "lines l ON l.order_id = o.id WHERE o.created > now() - interval '7 days' AND c.country IN ('DE', 'FR', 'US') "
	          "AND o.id > %d GROUP BY o.id, o.total, c.name HAVING count(*) > 3 ORDER BY o.total DESC LIMIT 20 OFFSET 40" },
	{ "set", "SET application_name = 'client %d'" },
};

static double
nanoseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double
best(double a, double b)
{
	return a == 0 || b < a ? b : a;
}

/* The same text again and again, or each time with another number; entries 0: nothing is kept. */
static double
cost(const char *format, uint32_t entries, bool is_same, int count)
{
	double found = 0;
	char text[1000];

	for (int round = 0; round < ROUNDS; round++) {
		struct sql_cache_limits limits = SQL_CACHE_LIMITS;
		limits.entries = entries;
		struct sql_cache *cache = sql_cache_new(limits);
		snprintf(text, sizeof(text), format, 1000000);
		sql_facts_of(cache, view_of_string(text));
		double spent = 0;
		for (int i = 0; i < count; i++) {
			size_t n = (size_t)snprintf(text, sizeof(text), format, 1000000 + (is_same ? 0 : i));
			double from = nanoseconds();
			for (int again = 0; again < (is_same ? 100 : 1); again++)
				sql_facts_of(cache, view_of(text, n));
			spent += nanoseconds() - from;
		}
		found = best(found, spent / count / (is_same ? 100 : 1));
		sql_cache_free(cache);
	}
	return found;
}

/* A glance at it. */
static double
cost_of_glance(const char *format, int count)
{
	double found = 0;
	char text[1000];
	size_t n = (size_t)snprintf(text, sizeof(text), format, 1000000);
	uint32_t shapes = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double from = nanoseconds();
		for (int i = 0; i < count; i++)
			shapes += glance_at(view_of(text, n)).shape;
		found = best(found, (nanoseconds() - from) / count);
	}
	return shapes ? found : 0; /* so that it is not left out */
}

/* Asking the clock, which is part of the figures for one call. */
static double
cost_of_clock(void)
{
	double found = 0;
	for (int round = 0; round < 100; round++) {
		double from = nanoseconds();
		found = best(found, nanoseconds() - from);
	}
	return found;
}

static void
cost_of_large(const char *name, const char *before, const char *part, const char *after)
{
	struct buf text = { 0 };
	buf_add(&text, view_of_string(before));
	while (text.n + strlen(part) + strlen(after) <= SQL_TEXT_MAX)
		buf_add(&text, view_of_string(part));
	buf_add(&text, view_of_string(after));
	double found = 0;
	for (int round = 0; round < ROUNDS; round++) {
		double from = nanoseconds();
		sql_facts_unref(sql_facts_read(buf_view(&text)));
		found = best(found, nanoseconds() - from);
	}
	printf("%-28s %8.2f ms\n", name, found / 1e6);
	buf_free(&text);
}

static long
resident_kb(const char *what)
{
	char line[200];
	long kb = 0;
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, what, strlen(what)) == 0)
			kb = strtol(line + strlen(what), NULL, 10);
	if (f)
		fclose(f);
	return kb;
}

static void
show_memory(const char *when)
{
	printf("%-28s %6ld kB resident, %ld kB of them its own\n", when, resident_kb("Rss:"), resident_kb("Private_Dirty:"));
}

int
main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 3000;
	double clock = cost_of_clock();

	show_memory("before the first statement");
	struct sql_cache *cache = sql_cache_new(SQL_CACHE_LIMITS);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		sql_facts_of(cache, view_of_string(statements[i].format));
	show_memory("after a few statements");
	char text[200];
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "SELECT a%d, b%d, lower(c%d) FROM t%d WHERE id = $1 AND x = $2", i, i, i, i);
		sql_facts_of(cache, view_of_string(text));
	}
	printf("%-28s %6lu kB in %u entries\n", "5000 statements in the cache", (unsigned long)sql_cache_counts(cache).bytes / 1024,
	       sql_cache_counts(cache).entries);
	show_memory("with these");
	sql_cache_free(cache);

	printf("\n%-10s %6s %12s %12s %12s %12s   ns a statement\n", "", "bytes", "a glance", "the same", "alike", "parsed");
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		const char *format = statements[i].format;
		printf("%-10s %6zu %12.0f %12.0f %12.0f %12.0f\n", statements[i].name, strlen(format),
		       cost_of_glance(format, count * 10), cost(format, 1000, true, count / 100), cost(format, 1000, false, count) - clock, cost(format, 0, false, count) - clock);
	}
	printf("\nthe worst that 64 kB can be\n");
	cost_of_large("1+1+1+...", "SELECT ", "1+", "1");
	cost_of_large("a::b::b::...", "SELECT a", "::b", "");
	cost_of_large("(1),(2),...", "INSERT INTO t VALUES (1)", ",(1,'abc',2.5,now())", "");
	cost_of_large("1,1,1,...", "SELECT 1", ",1", "");
	cost_of_large("SELECT 1;...", "", "SELECT 1;", "");
	cost_of_large("+++++...", "SELECT ", "+", "1");
	return 0;
}
