/* auth/hba.c - see the header. */
#include "auth/hba.h"

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"

struct hba {
	struct rules_text text; /* what the rules point into */
	struct hba_rule  *rules;
	size_t            count;
};

/* One line on its way to a rule. */
struct reader {
	struct rules_mistakes   *mistakes;
	const struct rules_line *line;
	size_t                   at; /* the next field */
	struct hba_rule          rule;
};

#define mistake(r, ...) rules_mistake_at((r)->mistakes, (r)->line, __VA_ARGS__)

static const struct {
	const char        *word;
	enum hba_transport transport;
} transports[] = {
	{ "local", HBA_LOCAL },           { "host", HBA_HOST },
	{ "hostssl", HBA_HOSTSSL },       { "hostnossl", HBA_HOSTNOSSL },
	{ "hostgssenc", HBA_HOSTGSSENC }, { "hostnogssenc", HBA_HOSTNOGSSENC },
};

static const struct {
	const char     *word;
	enum hba_method method;
} methods[] = {
	{ "trust", HBA_TRUST },           { "reject", HBA_REJECT }, { "md5", HBA_MD5 },   { "password", HBA_PASSWORD },
	{ "scram-sha-256", HBA_SCRAM },   { "peer", HBA_PEER },     { "cert", HBA_CERT },
};
#define METHODS_ALLOWED "allowed: trust, reject, scram-sha-256, md5, password, cert, peer"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *
hba_method_name(enum hba_method m)
{
	for (size_t i = 0; i < COUNT(methods); i++)
		if (methods[i].method == m)
			return methods[i].word;
	return "?";
}

/* ---- addresses ---- */

static void
add_range(struct hba_rule *rule, const struct ip_range *range)
{
	rule->ranges = heap_resize(rule->ranges, (rule->range_count + 1) * sizeof(*rule->ranges));
	rule->ranges[rule->range_count++] = *range;
}

/* samehost: our own addresses. samenet: the networks they are in. */
static bool
add_own_ranges(struct reader *r, bool is_net)
{
	struct ifaddrs *all;
	if (getifaddrs(&all) != 0)
		return mistake(r, "the addresses of this host can't be found out; write them instead of %s",
		               is_net ? "samenet" : "samehost");
	for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
		struct ip_range range = { 0 };
		if (one->ifa_addr)
			range.base = ip_address_of(one->ifa_addr);
		if (range.base.size == 0 || (is_net && one->ifa_netmask == NULL))
			continue;
		range.mask = is_net ? ip_address_of(one->ifa_netmask)
		                    : ip_mask(range.base.size, 8u * range.base.size);
		if (range.mask.size == range.base.size)
			add_range(&r->rule, &range);
	}
	freeifaddrs(all);
	return true;
}

/* ---- one line ---- */

static const struct rules_field *
next_field(struct reader *r, const char *what)
{
	if (r->at < r->line->count)
		return &r->line->fields[r->at++];
	mistake(r, "the line ends before %s; a rule is: TYPE DATABASE USER %sMETHOD [OPTIONS]", what,
	        r->rule.transport == HBA_LOCAL ? "" : "ADDRESS ");
	return NULL;
}

static const struct rules_word *
next_single(struct reader *r, const char *what)
{
	const struct rules_field *f = next_field(r, what);
	if (f == NULL || f->count == 1)
		return f ? &f->words[0] : NULL;
	mistake(r, "there are several values for %s; one is allowed", what);
	return NULL;
}

static bool
read_transport(struct reader *r)
{
	r->rule.transport = HBA_HOST; /* for what is said when there is none */
	const struct rules_word *w = next_single(r, "the connection type");
	if (w == NULL)
		return false;
	for (size_t i = 0; i < COUNT(transports); i++)
		if (strcmp(transports[i].word, w->text) == 0) {
			r->rule.transport = transports[i].transport;
			return true;
		}
	return mistake(r, "connection type \"%s\" is unknown; allowed: local, host, hostssl, hostnossl, hostgssenc, hostnogssenc",
	               w->text);
}

static bool
read_names(struct reader *r, bool is_database, struct rules_field **out)
{
	const struct rules_field *f = next_field(r, is_database ? "the database" : "the user");
	if (f == NULL)
		return false;
	*out = &r->line->fields[r->at - 1];
	for (size_t i = 0; i < f->count; i++) {
		struct rules_word *w = &f->words[i];
		if (!rules_word_compile(w, r->line, r->mistakes))
			return false;
		if (is_database && (rules_word_is(w, "samerole") || rules_word_is(w, "samegroup")))
			return mistake(r, "%s can't be known here: who is a member of which role is the server's matter; "
			                  "name the databases or the users",
			               w->text);
		if (!is_database && !w->is_quoted && w->text[0] == '+')
			return mistake(r, "\"%s\" can't be known here: who is a member of which role is the server's matter; "
			                  "name the users, or list them in a file: @FILE",
			               w->text);
	}
	return true;
}

static bool
read_bits(struct reader *r, const char *text, struct ip_range *range)
{
	unsigned bits;
	if (!ip_bits_read(text, range->base.size, &bits))
		return mistake(r, "\"/%s\" is no length of a network; allowed: /0 to /%u", text, 8u * range->base.size);
	range->mask = ip_mask(range->base.size, bits);
	return true;
}

static bool
read_mask(struct reader *r, const char *address, struct ip_range *range)
{
	const struct rules_word *w = next_single(r, "the mask");
	if (w == NULL)
		return false;
	if (!ip_address_read(w->text, &range->mask))
		return mistake(r, "\"%s\" is no mask for the address %s; write %s/%u for this one address", w->text, address,
		               address, 8u * range->base.size);
	if (range->mask.size != range->base.size)
		return mistake(r, "the mask %s does not fit the address %s: one is IPv4, the other IPv6", w->text, address);
	return true;
}

static bool
read_where(struct reader *r)
{
	const struct rules_word *w = next_single(r, "the address");
	struct ip_range range;
	char text[64];
	if (w == NULL)
		return false;
	r->rule.is_anywhere = rules_word_is(w, "all");
	if (r->rule.is_anywhere)
		return true;
	if (rules_word_is(w, "samehost") || rules_word_is(w, "samenet"))
		return add_own_ranges(r, strcmp(w->text, "samenet") == 0);
	size_t n = strcspn(w->text, "/");
	if (n < sizeof(text))
		memcpy(text, w->text, n);
	text[n < sizeof(text) ? n : 0] = '\0';
	if (!ip_address_read(text, &range.base))
		return mistake(r, "\"%s\" is no address; allowed: all, samehost, samenet, an IPv4 or IPv6 address with /BITS or a "
		                  "mask. Host names can't be used here",
		               w->text);
	if (!(w->text[n] ? read_bits(r, w->text + n + 1, &range) : read_mask(r, text, &range)))
		return false;
	add_range(&r->rule, &range);
	return true;
}

static bool
read_method(struct reader *r)
{
	static const char *const others[] = { "ident", "gss", "sspi", "pam", "bsd", "ldap", "radius", "oauth" };
	const struct rules_word *w = next_single(r, "the method");
	if (w == NULL)
		return false;
	bool is_known = false;
	for (size_t i = 0; i < COUNT(methods); i++)
		if (strcmp(methods[i].word, w->text) == 0) {
			r->rule.method = methods[i].method;
			is_known = true;
		}
	if (r->rule.transport == HBA_LOCAL && strcmp(w->text, "ident") == 0) { /* as PostgreSQL does */
		r->rule.method = HBA_PEER;
		is_known = true;
	}
	for (size_t i = 0; !is_known && i < COUNT(others); i++)
		if (strcmp(others[i], w->text) == 0)
			return mistake(r, "PostgreSQL's method %s is not supported here; " METHODS_ALLOWED, w->text);
	if (!is_known)
		return mistake(r, "method \"%s\" is unknown; " METHODS_ALLOWED, w->text);
	if (r->rule.method == HBA_PEER && r->rule.transport != HBA_LOCAL)
		return mistake(r, "peer is for Unix sockets; allowed in lines that begin with local");
	if (r->rule.method == HBA_CERT && r->rule.transport != HBA_HOSTSSL)
		return mistake(r, "cert needs TLS; allowed in lines that begin with hostssl");
	if (r->rule.method == HBA_CERT)
		r->rule.certificate = HBA_CERTIFICATE_NAME;
	return true;
}

static bool
read_option(struct reader *r, const char *option)
{
	const char *value = strchr(option, '=');
	if (value == NULL)
		return mistake(r, "\"%s\" is no option; allowed: map=NAME, clientcert=verify-ca, clientcert=verify-full, "
		                  "clientname=CN, clientname=DN",
		               option);
	size_t n = (size_t)(value++ - option);
	struct view name = view_of(option, n);
	if (view_is(name, "map")) {
		if (r->rule.method != HBA_PEER && r->rule.method != HBA_CERT)
			return mistake(r, "map= is for the methods peer and cert, not for %s", hba_method_name(r->rule.method));
		r->rule.map = *value ? value : NULL;
		return true;
	}
	if (!view_is(name, "clientcert") && !view_is(name, "clientname"))
		return mistake(r, "option \"%.*s\" is unknown; allowed: map, clientcert, clientname", (int)n, option);
	if (r->rule.transport != HBA_HOSTSSL)
		return mistake(r, "%.*s= needs TLS; allowed in lines that begin with hostssl", (int)n, option);
	if (view_is(name, "clientname")) {
		r->rule.is_by_dn = strcmp(value, "DN") == 0;
		return r->rule.is_by_dn || strcmp(value, "CN") == 0
		               ? true
		               : mistake(r, "clientname=%s is unknown; allowed: CN, DN", value);
	}
	if (strcmp(value, "verify-full") == 0)
		r->rule.certificate = HBA_CERTIFICATE_NAME;
	else if (strcmp(value, "verify-ca") != 0)
		return mistake(r, "clientcert=%s is unknown; allowed: verify-ca, verify-full", value);
	else if (r->rule.method == HBA_CERT)
		return mistake(r, "clientcert=verify-ca is less than cert asks for; allowed: verify-full, or nothing");
	else
		r->rule.certificate = HBA_CERTIFICATE_GOOD;
	return true;
}

static bool
read_options(struct reader *r)
{
	for (; r->at < r->line->count; r->at++)
		for (size_t i = 0; i < r->line->fields[r->at].count; i++)
			if (!read_option(r, r->line->fields[r->at].words[i].text))
				return false;
	return true;
}

static bool
read_rule(struct reader *r)
{
	return read_transport(r) && read_names(r, true, &r->rule.databases) && read_names(r, false, &r->rule.users) &&
	       (r->rule.transport == HBA_LOCAL || read_where(r)) && read_method(r) && read_options(r);
}

/* ---- the file ---- */

static struct hba *
make(struct hba *h, const char *origin, struct rules_mistakes *m)
{
	if (h->text.count > 0)
		h->rules = heap_alloc(h->text.count * sizeof(*h->rules));
	for (size_t i = 0; i < h->text.count; i++) {
		struct reader r = { .mistakes = m, .line = &h->text.lines[i] };
		r.rule.file = r.line->file;
		r.rule.line = r.line->number;
		read_rule(&r);
		h->rules[h->count++] = r.rule; /* good or not: it is freed there */
	}
	if (h->count == 0 && m->count == 0)
		rules_mistake(m, origin, 0, "there is no rule in it, so nobody could log in; for example: host all all all "
		                            "scram-sha-256");
	if (m->count == 0)
		return h;
	hba_free(h);
	return NULL;
}

struct hba *
hba_load(const char *path, struct text *why)
{
	struct rules_mistakes m = { .why = why };
	struct hba *h = heap_alloc(sizeof(*h));
	rules_text_load(path, &h->text, &m);
	return make(h, path, &m);
}

struct hba *
hba_parse(struct view text, const char *origin, struct text *why)
{
	struct rules_mistakes m = { .why = why };
	struct hba *h = heap_alloc(sizeof(*h));
	rules_text_parse(text, origin, &h->text, &m);
	return make(h, origin, &m);
}

void
hba_free(struct hba *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < h->count; i++)
		heap_free(h->rules[i].ranges);
	heap_free(h->rules);
	rules_text_free(&h->text);
	heap_free(h);
}

size_t
hba_count(const struct hba *h)
{
	return h->count;
}

const struct hba_rule *
hba_rule(const struct hba *h, size_t i)
{
	return i < h->count ? &h->rules[i] : NULL;
}

bool
hba_wants_certificates(const struct hba *h)
{
	for (size_t i = 0; i < h->count; i++)
		if (h->rules[i].certificate != HBA_CERTIFICATE_ANY)
			return true;
	return false;
}

/* ---- the search ---- */

static bool
fits_word(const struct rules_word *w, const char *name)
{
	return w->pattern ? pattern_fits(w->pattern, name, NULL) : strcmp(w->text, name) == 0;
}

static bool
fits_database(const struct rules_word *w, const struct hba_question *q)
{
	if (q->is_replication)
		return rules_word_is(w, "replication");
	if (rules_word_is(w, "all"))
		return true;
	if (rules_word_is(w, "sameuser"))
		return strcmp(q->database, q->user) == 0;
	return !rules_word_is(w, "replication") && fits_word(w, q->database);
}

static bool
fits_transport(const struct hba_rule *rule, const struct hba_question *q)
{
	if ((q->address.size == 0) != (rule->transport == HBA_LOCAL))
		return false;
	switch (rule->transport) {
	case HBA_LOCAL:
	case HBA_HOST:
	case HBA_HOSTNOGSSENC:
		return true;
	case HBA_HOSTSSL:
		return q->is_tls;
	case HBA_HOSTNOSSL:
		return !q->is_tls;
	case HBA_HOSTGSSENC:
		return false;
	}
	return false;
}

static bool
fits_address(const struct hba_rule *rule, const struct hba_question *q)
{
	if (rule->transport == HBA_LOCAL || rule->is_anywhere)
		return true;
	for (size_t i = 0; i < rule->range_count; i++)
		if (ip_range_has(&rule->ranges[i], &q->address))
			return true;
	return false;
}

static bool
fits_names(const struct hba_rule *rule, const struct hba_question *q)
{
	bool fits = false;
	for (size_t i = 0; i < rule->databases->count && !fits; i++)
		fits = fits_database(&rule->databases->words[i], q);
	for (size_t i = 0; i < rule->users->count && fits; i++) {
		const struct rules_word *w = &rule->users->words[i];
		if (rules_word_is(w, "all") || fits_word(w, q->user))
			return true;
	}
	return false;
}

const struct hba_rule *
hba_match(const struct hba *h, const struct hba_question *q)
{
	for (size_t i = 0; h && i < h->count; i++) {
		const struct hba_rule *rule = &h->rules[i];
		if (fits_transport(rule, q) && fits_address(rule, q) && fits_names(rule, q))
			return rule;
	}
	return NULL;
}
