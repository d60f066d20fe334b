/*
 * tests/auth/test_rules.c - every file in tests/auth/rules: good.*.hba, bad.*.hba, good.*.ident, bad.*.ident. A new case is
 * a new file.
 *
 * Comments at the head of a file say what is expected:
 *	# expect: TEXT                                bad: one mistake, as part of its line; as many of these as mistakes
 *	# ask: TYPE DATABASE USER [ADDRESS] = METHOD  good.*.hba: TYPE is local, host (in clear), hostssl or physical
 *	# ask: MAP SYSTEM-USER = USER yes|no          good.*.ident; MAP "-": none
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../suite.h"
#include "auth/hba.h"
#include "auth/ident.h"

enum { LINE_MAX_HERE = 1000, WORDS_MAX = 8 };

static int failures; /* of all files: one run shows them all */

#define fail_file(...)                                                                                                 \
	do {                                                                                                           \
		fprintf(stderr, __VA_ARGS__);                                                                          \
		fprintf(stderr, "\n");                                                                                 \
		failures++;                                                                                            \
	} while (0)

/* Words in place, parted by blanks; "..." may hold some. */
static int
split(char *line, char *words[WORDS_MAX])
{
	int n = 0;
	while (*line && n < WORDS_MAX) {
		char end = *line == '"' ? '"' : ' ';
		words[n++] = line += end == '"';
		line = strchr(line, end);
		if (line == NULL)
			break;
		*line++ = '\0';
		line += strspn(line, " ");
	}
	return n;
}

static void
check_hba(const char *file, const struct hba *h, char *ask)
{
	char *w[WORDS_MAX], shown[LINE_MAX_HERE];
	snprintf(shown, sizeof(shown), "%.900s", ask);
	int n = split(ask, w);
	struct hba_question q = { .database = w[1], .user = w[2] };
	q.is_tls = strcmp(w[0], "hostssl") == 0;
	q.is_replication = strcmp(w[0], "physical") == 0;
	if (strcmp(w[0], "local") != 0)
		ck_assert_msg(ip_address_read(w[3], &q.address), "%s: %s", file, shown);
	const struct hba_rule *rule = hba_match(h, &q);
	const char *is = rule ? hba_method_name(rule->method) : "none";
	if (strcmp(is, w[n - 1]) != 0)
		fail_file("%s: %s, but it is %s (line %zu)", file, shown, is, rule ? rule->line : 0);
}

static void
check_ident(const char *file, const struct ident *i, char *ask)
{
	char *w[WORDS_MAX], shown[LINE_MAX_HERE];
	snprintf(shown, sizeof(shown), "%.900s", ask);
	ck_assert_int_eq(split(ask, w), 5);
	bool is = ident_allows(i, strcmp(w[0], "-") == 0 ? NULL : w[0], w[1], w[3]);
	if (is != (strcmp(w[4], "yes") == 0))
		fail_file("%s: %s, but it is not so", file, shown);
}

static void
check_mistakes(const char *file, const char *why, char expected[][LINE_MAX_HERE], int count)
{
	int lines = 0;
	for (const char *at = why; *at; lines++) {
		size_t n = strcspn(at, "\n");
		int i = 0;
		while (i < count && !memmem(at, n, expected[i], strlen(expected[i])))
			i++;
		if (i == count)
			fail_file("%s: not expected: %.*s", file, (int)n, at);
		at += n + (at[n] == '\n');
	}
	for (int i = 0; i < count; i++)
		if (!strstr(why, expected[i]))
			fail_file("%s: no mistake has: %s", file, expected[i]);
	if (lines != count)
		fail_file("%s: %d mistakes, not %d", file, lines, count);
}

static void
check_file(const char *file)
{
	static char expected[50][LINE_MAX_HERE], asks[100][LINE_MAX_HERE];
	char line[LINE_MAX_HERE], reason[16384];
	struct text why = TEXT_IN(reason);
	bool is_hba = strcmp(strrchr(file, '.'), ".hba") == 0;
	int expects = 0, questions = 0;
	FILE *f = fopen(file, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "# expect: ", 10) == 0)
			strcpy(expected[expects++], line + 10);
		else if (strncmp(line, "# ask: ", 7) == 0)
			strcpy(asks[questions++], line + 7);
	}
	fclose(f);
	struct hba *h = is_hba ? hba_load(file, &why) : NULL;
	struct ident *ident = is_hba ? NULL : ident_load(file, &why);
	ck_assert((h || ident) == (reason[0] == '\0'));
	check_mistakes(file, reason, expected, expects);
	if ((h || ident) != (strncmp(file, "good.", 5) == 0))
		fail_file("%s was %s", file, h || ident ? "taken" : "refused");
	for (int i = 0; i < questions && h; i++)
		check_hba(file, h, asks[i]);
	for (int i = 0; i < questions && ident; i++)
		check_ident(file, ident, asks[i]);
	hba_free(h);
	ident_free(ident);
}

START_TEST(files_mean_what_they_say)
{
	int count = 0;
	ck_assert_int_eq(chdir(RULES_DIR), 0);
	DIR *dir = opendir(".");
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (strncmp(entry->d_name, "good.", 5) != 0 && strncmp(entry->d_name, "bad.", 4) != 0)
			continue;
		check_file(entry->d_name);
		count++;
	}
	closedir(dir);
	ck_assert_int_ge(count, 9);
	ck_assert_int_eq(failures, 0);
}
END_TEST

/* ---- what is better written here than in files ---- */

static char why_text[16384];

static struct hba *
parse(struct view text)
{
	struct text why = TEXT_IN(why_text);
	return hba_parse(text, "x", &why);
}

static enum hba_method
method_of(const struct hba *h, const char *database, const char *user, const char *address, bool is_tls)
{
	struct hba_question q = { .database = database, .user = user, .is_tls = is_tls };
	if (address)
		ck_assert(ip_address_read(address, &q.address));
	const struct hba_rule *rule = hba_match(h, &q);
	return rule ? rule->method : HBA_REJECT;
}

START_TEST(a_mistake_anywhere_refuses_the_whole_file)
{
	static const char *const lines[] = { "local all all trust", "host all all all md5", "host all all all what" };
	for (int i = 0; i < 3; i++) {
		char text[200];
		snprintf(text, sizeof(text), "%s\n%s\n%s\n", lines[i], lines[(i + 1) % 3], lines[(i + 2) % 3]);
		ck_assert_ptr_null(parse(view_of_string(text)));
		ck_assert_ptr_nonnull(strstr(why_text, "method \"what\" is unknown"));
	}
}
END_TEST

START_TEST(no_byte_is_read_as_something_else)
{
	ck_assert_ptr_null(parse(VIEW("local all a\0b trust\n")));
	ck_assert_str_eq(why_text, "x:1: it contains a zero byte");
	ck_assert_ptr_null(parse(VIEW("\n\n\xff\xfelocal all all trust")));
	ck_assert_ptr_nonnull(strstr(why_text, "x:3: connection type"));
	struct hba *h = parse(VIEW("local all all trust\r\n\r\nlocal x \\\r\ny md5\r\n \\\n \\\nlocal y y reject\\")); /* no end */
	ck_assert_ptr_nonnull(h);
	ck_assert_uint_eq(hba_count(h), 3);
	ck_assert_uint_eq(hba_rule(h, 1)->line, 3);
	ck_assert_uint_eq(hba_rule(h, 2)->line, 5);
	ck_assert_ptr_null(hba_rule(h, 3));
	hba_free(h);
}
END_TEST

START_TEST(quotes_take_the_meaning_from_words)
{
	/* As PostgreSQL: what counts is whether the word begins with a quote. */
	struct hba *h = parse(VIEW("local a\"ll\" \"\"all md5\nlocal \"a\"\"b\" all trust\nlocal \"\" \"\" peer\n"));
	ck_assert_ptr_nonnull(h);
	ck_assert_int_eq(method_of(h, "x", "all", NULL, false), HBA_MD5);
	ck_assert_int_eq(method_of(h, "x", "y", NULL, false), HBA_REJECT);
	ck_assert_int_eq(method_of(h, "a\"b", "y", NULL, false), HBA_TRUST);
	ck_assert_int_eq(method_of(h, "", "", NULL, false), HBA_PEER);
	hba_free(h);
}
END_TEST

START_TEST(commas_join_words_to_fields)
{
	/* Blanks before a comma end the field, blanks behind it don't. */
	struct hba *h = parse(VIEW("local a,b, c x md5\nlocal d ,e md5\n"));
	ck_assert_ptr_nonnull(h);
	ck_assert_int_eq(method_of(h, "c", "x", NULL, false), HBA_MD5);
	ck_assert_int_eq(method_of(h, "d", "e", NULL, false), HBA_MD5);
	ck_assert_int_eq(method_of(h, "e", "e", NULL, false), HBA_REJECT);
	hba_free(h);
}
END_TEST

START_TEST(every_length_of_a_network_counts_its_bits)
{
	for (unsigned bits = 0; bits <= 32; bits++) {
		char text[100];
		snprintf(text, sizeof(text), "host all all 255.255.255.255/%u trust", bits);
		struct hba *h = parse(view_of_string(text));
		ck_assert_ptr_nonnull(h);
		for (unsigned bit = 0; bit < 32; bit++) {
			struct hba_question q = { .database = "x", .user = "x", .address = { 4, { 255, 255, 255, 255 } } };
			q.address.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
			ck_assert_int_eq(hba_match(h, &q) != NULL, bit >= bits);
		}
		hba_free(h);
	}
}
END_TEST

START_TEST(an_address_of_the_other_kind_never_fits)
{
	struct hba *h = parse(VIEW("host all all 0.0.0.0/0 trust\n"));
	ck_assert_int_eq(method_of(h, "x", "x", "1.2.3.4", false), HBA_TRUST);
	ck_assert_int_eq(method_of(h, "x", "x", "::1", false), HBA_REJECT);
	ck_assert_int_eq(method_of(h, "x", "x", NULL, false), HBA_REJECT);
	hba_free(h);
	h = parse(VIEW("host all all ::/0 trust\nlocal all all md5"));
	ck_assert_int_eq(method_of(h, "x", "x", "1.2.3.4", false), HBA_REJECT);
	ck_assert_int_eq(method_of(h, "x", "x", "::1", true), HBA_TRUST);
	ck_assert_int_eq(method_of(h, "x", "x", NULL, false), HBA_MD5);
	hba_free(h);
}
END_TEST

START_TEST(samehost_is_this_host_and_samenet_its_networks)
{
	struct hba *h = parse(VIEW("host all all samehost trust\nhost all all samenet md5"));
	ck_assert_ptr_nonnull(h);
	ck_assert_int_eq(method_of(h, "x", "x", "127.0.0.1", false), HBA_TRUST);
	ck_assert_int_eq(method_of(h, "x", "x", "127.0.0.2", false), HBA_MD5);
	ck_assert_int_eq(method_of(h, "x", "x", "203.0.113.200", false), HBA_REJECT);
	hba_free(h);
}
END_TEST

START_TEST(the_options_of_a_rule_are_kept)
{
	struct hba *h = parse(VIEW("hostssl all all all md5 clientcert=verify-ca\nhostssl all all all cert map=m clientname=DN\n"
	                           "local all all peer map=\nlocal all all trust"));
	ck_assert_ptr_nonnull(h);
	ck_assert(hba_wants_certificates(h));
	ck_assert_int_eq(hba_rule(h, 0)->certificate, HBA_CERTIFICATE_GOOD);
	ck_assert_int_eq(hba_rule(h, 1)->certificate, HBA_CERTIFICATE_NAME);
	ck_assert(hba_rule(h, 1)->is_by_dn && !hba_rule(h, 0)->is_by_dn);
	ck_assert_str_eq(hba_rule(h, 1)->map, "m");
	ck_assert_ptr_null(hba_rule(h, 2)->map);
	ck_assert_int_eq(hba_rule(h, 3)->certificate, HBA_CERTIFICATE_ANY);
	hba_free(h);
	h = parse(VIEW("local all all trust"));
	ck_assert(!hba_wants_certificates(h));
	hba_free(h);
}
END_TEST

START_TEST(files_within_files_have_an_end)
{
	char directory[] = "/tmp/pgsluice-rules-XXXXXX", path[100];
	ck_assert_ptr_nonnull(mkdtemp(directory));
	for (int i = 0; i < 13; i++) { /* each includes the next twice: 2^13 files if nobody stopped it */
		snprintf(path, sizeof(path), "%s/%d", directory, i);
		FILE *f = fopen(path, "w");
		fprintf(f, "local all u%d trust\ninclude %d\ninclude %d\n", i, i + 1, i + 1);
		fclose(f);
	}
	struct text why = TEXT_IN(why_text);
	snprintf(path, sizeof(path), "%s/0", directory);
	ck_assert_ptr_null(hba_load(path, &why));
	ck_assert_ptr_nonnull(strstr(why_text, "too deep; at most 10 files within files and 1000 in all"));
	snprintf(path, sizeof(path), "%s/fifo", directory);
	why = TEXT_IN(why_text);
	ck_assert_ptr_null(hba_load(directory, &why));
	ck_assert_ptr_nonnull(strstr(why_text, ": can't read \"/tmp/pgsluice-rules-"));
	ck_assert_ptr_nonnull(strstr(why_text, "it is not a regular file"));
	for (int i = 0; i < 13; i++) {
		snprintf(path, sizeof(path), "%s/%d", directory, i);
		unlink(path);
	}
	rmdir(directory);
}
END_TEST

START_TEST(ipv4_within_ipv6_is_ipv4)
{
	struct hba *h = parse(VIEW("host all all 192.0.2.1/32 trust"));
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr), 1);
	struct hba_question q = { .database = "x", .user = "x", .address = ip_address_of((struct sockaddr *)&in6) };
	ck_assert_uint_eq(q.address.size, 4);
	ck_assert_ptr_nonnull(hba_match(h, &q));
	q.address = ip_address_of(&(struct sockaddr){ .sa_family = AF_UNIX });
	ck_assert_uint_eq(q.address.size, 0);
	hba_free(h);
}
END_TEST

/* Of 340 kB for each name, but for ours: what the library makes of a pattern is let go of. */
START_TEST(names_that_knock_do_not_fill_the_memory)
{
	struct hba *h = parse(VIEW("local all /^[a_]+_[a_]{16}$ trust\n"));
	ck_assert_ptr_nonnull(h);
	char name[120] = "";
	uint32_t bits = 1;
	size_t before = mallinfo2().uordblks;
	for (int i = 0; i < 400; i++) {
		for (size_t k = 0; k < sizeof(name) - 1; k++) {
			bits = bits * 1664525 + 1013904223;
			name[k] = bits >> 31 ? 'a' : '_';
		}
		name[sizeof(name) - 18] = '_';
		ck_assert_int_eq(method_of(h, "x", name, NULL, false), HBA_TRUST);
		name[sizeof(name) - 18] = 'a';
		ck_assert_int_eq(method_of(h, "x", name, NULL, false), HBA_REJECT);
	}
	ck_assert_uint_lt(mallinfo2().uordblks, before + (32u << 20));
	hba_free(h);
}
END_TEST

START_TEST(a_map_that_is_not_there_allows_nobody)
{
	struct text why = TEXT_IN(why_text);
	struct ident *i = ident_parse(VIEW("m a b\n"), "x", &why);
	ck_assert(ident_has(i, "m") && !ident_has(i, "M") && !ident_has(NULL, "m"));
	ck_assert(ident_allows(i, "m", "a", "b") && !ident_allows(i, "M", "a", "b") && !ident_allows(NULL, "m", "a", "b"));
	ck_assert(!ident_allows(i, "m", "b", "b")); /* equal names are not enough with a map */
	ck_assert(ident_allows(NULL, NULL, "a", "a") && !ident_allows(NULL, NULL, "a", "A"));
	ident_free(i);
	i = ident_parse(VIEW("# nothing\n"), "x", &why);
	ck_assert_ptr_nonnull(i);
	ident_free(i);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		files_mean_what_they_say,
		a_mistake_anywhere_refuses_the_whole_file,
		no_byte_is_read_as_something_else,
		quotes_take_the_meaning_from_words,
		commas_join_words_to_fields,
		every_length_of_a_network_counts_its_bits,
		an_address_of_the_other_kind_never_fits,
		samehost_is_this_host_and_samenet_its_networks,
		the_options_of_a_rule_are_kept,
		files_within_files_have_an_end,
		ipv4_within_ipv6_is_ipv4,
		names_that_knock_do_not_fill_the_memory,
		a_map_that_is_not_there_allows_nobody,
	};
	return suite_run("auth/rules", rules, sizeof(rules) / sizeof(rules[0]));
}
