/* net/resolv_conf.c - resolv.conf and hosts; see the header. */
#include "net/resolv_conf.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/address.h"

enum { NDOTS_MAX = 15, TIMEOUT_MAX_S = 30, ATTEMPTS_MAX = 5, PORT_DNS = 53 };

/* ---- lines and words ---- */

static bool
next_line(struct view *text, struct view *line)
{
	if (text->n == 0)
		return false;
	const uint8_t *end = memchr(text->p, '\n', text->n);
	*line = view_part(*text, 0, end ? (size_t)(end - text->p) : text->n);
	*text = view_from(*text, line->n + 1);
	return true;
}

/* The next word, NUL-terminated; "" at the end of the line. One that does not fit is cut, and then fits nothing. */
static const char *
next_word(struct view *line, char *room, size_t size)
{
	size_t at = 0, n = 0;
	while (at < line->n && (line->p[at] == ' ' || line->p[at] == '\t' || line->p[at] == '\r'))
		at++;
	for (; at < line->n && strchr(" \t\r", line->p[at]) == NULL; at++)
		if (n + 1 < size)
			room[n++] = (char)line->p[at];
	room[n] = '\0';
	*line = view_from(*line, at);
	return room;
}

/* ---- addresses ---- */

bool
address_of_number(const char *text, struct sockaddr_storage *out)
{
	uint8_t bytes[16];
	if (inet_pton(AF_INET, text, bytes) == 1) {
		address_make(out, AF_INET, bytes, 0, 0);
		return true;
	}
	char bare[INET6_ADDRSTRLEN];
	size_t n = strcspn(text, "%");
	if (n >= sizeof(bare))
		return false;
	memcpy(bare, text, n);
	bare[n] = '\0';
	if (inet_pton(AF_INET6, bare, bytes) != 1)
		return false;
	uint32_t scope = 0;
	if (text[n] == '%') {
		char *end;
		unsigned long number = strtoul(text + n + 1, &end, 10);
		scope = *end || end == text + n + 1 ? if_nametoindex(text + n + 1) : (uint32_t)number;
		if (scope == 0)
			return false;
	}
	address_make(out, AF_INET6, bytes, scope, 0);
	return true;
}

/* As above, or "127.0.0.1:5353", or "[::1]:5353". */
static bool
server_of(const char *text, struct sockaddr_storage *out)
{
	char bare[80];
	const char *colon = strrchr(text, ':');
	if (address_of_number(text, out)) {
		address_set_port(out, PORT_DNS);
		return true;
	}
	if (colon == NULL || (size_t)(colon - text) >= sizeof(bare))
		return false;
	size_t n = (size_t)(colon - text);
	bool has_brackets = n >= 2 && text[0] == '[' && text[n - 1] == ']';
	snprintf(bare, sizeof(bare), "%.*s", (int)(has_brackets ? n - 2 : n), text + has_brackets);
	char *end;
	unsigned long port = strtoul(colon + 1, &end, 10);
	if (*end || port == 0 || port > UINT16_MAX || !address_of_number(bare, out))
		return false;
	if (out->ss_family == AF_INET6 && !has_brackets)
		return false;
	address_set_port(out, (uint16_t)port);
	return true;
}

/* ---- resolv.conf ---- */

static void
add_search(struct resolv_conf *out, const char *domain)
{
	while (*domain == '.')
		domain++;
	if (out->search_count < RESOLV_SEARCH_MAX && dns_name_of(&out->search[out->search_count], domain))
		out->search_count++;
}

static unsigned
number_at(const char *text, unsigned most)
{
	unsigned long n = *text >= '0' && *text <= '9' ? strtoul(text, NULL, 10) : 0;
	return n > most ? most : (unsigned)n;
}

static void
read_option(struct resolv_conf *out, const char *word)
{
	if (strncmp(word, "ndots:", 6) == 0)
		out->ndots = number_at(word + 6, NDOTS_MAX);
	else if (strncmp(word, "timeout:", 8) == 0)
		out->timeout_s = number_at(word + 8, TIMEOUT_MAX_S);
	else if (strncmp(word, "attempts:", 9) == 0)
		out->attempts = number_at(word + 9, ATTEMPTS_MAX);
	else if (strcmp(word, "rotate") == 0)
		out->rotate = true;
	else if (strcmp(word, "no-aaaa") == 0)
		out->no_aaaa = true;
}

void
resolv_conf_read(struct view text, const char *hostname, struct resolv_conf *out)
{
	*out = (struct resolv_conf){ .ndots = 1 };
	struct view line;
	char room[DNS_NAME_MAX + 1];
	bool has_search = false;
	while (next_line(&text, &line)) {
		const char *word = next_word(&line, room, sizeof(room));
		if (strcmp(word, "nameserver") == 0) {
			if (out->server_count < RESOLV_SERVERS_MAX &&
			    server_of(next_word(&line, room, sizeof(room)), &out->server[out->server_count]))
				out->server_count++;
		} else if (strcmp(word, "search") == 0 || strcmp(word, "domain") == 0) {
			has_search = true;
			out->search_count = 0; /* the last line counts */
			while (*next_word(&line, room, sizeof(room)))
				add_search(out, room);
		} else if (strcmp(word, "options") == 0) {
			while (*next_word(&line, room, sizeof(room)))
				read_option(out, room);
		}
	}
	if (out->server_count == 0)
		server_of("127.0.0.1", &out->server[out->server_count++]);
	const char *dot = has_search ? NULL : strchr(hostname, '.');
	if (dot)
		add_search(out, dot + 1);
}

/* ---- hosts ---- */

unsigned
hosts_find(struct view text, const char *name, struct sockaddr_storage *out)
{
	unsigned count = 0;
	struct view line;
	char room[DNS_NAME_MAX + 2], bare[DNS_NAME_MAX + 2];
	snprintf(bare, sizeof(bare), "%s", name);
	size_t n = strlen(bare);
	if (n > 1 && bare[n - 1] == '.')
		bare[n - 1] = '\0';
	while (count < HOSTS_ADDRESSES_MAX && next_line(&text, &line)) {
		const uint8_t *comment = line.n ? memchr(line.p, '#', line.n) : NULL;
		if (comment)
			line = view_part(line, 0, (size_t)(comment - line.p));
		if (!address_of_number(next_word(&line, room, sizeof(room)), &out[count]))
			continue;
		while (*next_word(&line, room, sizeof(room)))
			if (text_equal_nocase(room, bare)) {
				count++;
				break;
			}
	}
	return count;
}
