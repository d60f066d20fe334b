/* admin/show_network.c - SHOW PEERS, PEER_POOLS, DNS_HOSTS, DNS_ZONES. */
#include "base/clock.h"
#include "base/text.h"
#include "net/stream.h"
#include "session/peers.h"
#include "show_row.h"

/* ---- PEERS: as configured ---- */

struct peer_row {
	const char *host;
	uint64_t    id, port, pool_size;
};

static void
fill_peers(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	for (int i = 0; i < x->config->peer_count; i++) {
		const struct peer_config *p = &x->config->peers[i];
		struct peer_row *row = show_rows_add(out);
		*row = (struct peer_row){ p->host, (uint64_t)p->id, (uint64_t)p->port, peer_pool_size(x, p) };
	}
}

static const struct show_column peer_columns[] = {
	COLUMN("peer_id", SHOW_INT4, struct peer_row, id),
	COLUMN("host", SHOW_TEXT, struct peer_row, host),
	COLUMN("port", SHOW_INT4, struct peer_row, port),
	COLUMN("pool_size", SHOW_INT4, struct peer_row, pool_size),
};

const struct show_table show_peers = {
	.word = "PEERS",
	.columns = peer_columns,
	.column_count = COLUMN_COUNT(peer_columns),
	.row_bytes = sizeof(struct peer_row),
	.fill = fill_peers,
};

/* ---- PEER_POOLS: of all peers but this process itself ---- */

struct peer_pool_row {
	uint64_t id, cl_active, cl_waiting, sv_active, sv_login;
};

static void
fill_peer_pools(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	for (int i = 0; i < x->config->peer_count; i++) {
		int id = x->config->peers[i].id;
		if (id == x->config->settings.peer_id)
			continue;
		struct peer_counts counts = peers_counts(x, id);
		struct peer_pool_row *row = show_rows_add(out);
		*row = (struct peer_pool_row){ .id = (uint64_t)id, .cl_active = counts.sent, .sv_active = counts.sent,
			                       .cl_waiting = counts.waiting + counts.connecting, .sv_login = counts.connecting };
	}
}

static const struct show_column peer_pool_columns[] = {
	COLUMN("peer_id", SHOW_INT4, struct peer_pool_row, id),
	COLUMN("cl_active_cancel_req", SHOW_INT4, struct peer_pool_row, cl_active),
	COLUMN("cl_waiting_cancel_req", SHOW_INT4, struct peer_pool_row, cl_waiting),
	COLUMN("sv_active_cancel", SHOW_INT4, struct peer_pool_row, sv_active),
	COLUMN("sv_login", SHOW_INT4, struct peer_pool_row, sv_login),
};

const struct show_table show_peer_pools = {
	.word = "PEER_POOLS",
	.columns = peer_pool_columns,
	.column_count = COLUMN_COUNT(peer_pool_columns),
	.row_bytes = sizeof(struct peer_pool_row),
	.fill = fill_peer_pools,
};

/* ---- DNS_HOSTS ---- */

struct dns_row {
	const char *host;
	uint64_t    ttl;
	char        addresses[RESOLVE_ADDRESSES_MAX * 64]; /* with the port 0, as PgBouncer has it */
};

static void
list_addresses(const struct resolved *from, struct text *out)
{
	for (unsigned i = 0; i < from->count; i++) {
		char host[64];
		uint16_t port;
		address_text((const struct sockaddr *)&from->at[i].address, host, sizeof(host), &port);
		bool is_ipv6 = from->at[i].address.ss_family == AF_INET6;
		text_addf(out, is_ipv6 ? "%s[%s]:0" : "%s%s:0", i ? "," : "", host);
	}
}

static void
fill_dns_hosts(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	const void *at = NULL;
	struct remembered_name name;
	uint64_t now = clock_now_us();
	while (resolver_next(x->resolver, &at, &name)) {
		struct dns_row *row = show_rows_add(out);
		struct text addresses = TEXT_IN(row->addresses);
		row->host = name.host;
		row->ttl = name.good_until_us > now ? (name.good_until_us - now) / SECOND_US : 0;
		list_addresses(name.answer, &addresses);
	}
}

static const struct show_column dns_columns[] = {
	COLUMN("hostname", SHOW_TEXT, struct dns_row, host),
	COLUMN("ttl", SHOW_INT8, struct dns_row, ttl),
	COLUMN("addrs", SHOW_CHARS, struct dns_row, addresses),
};

const struct show_table show_dns_hosts = {
	.word = "DNS_HOSTS",
	.columns = dns_columns,
	.column_count = COLUMN_COUNT(dns_columns),
	.row_bytes = sizeof(struct dns_row),
	.fill = fill_dns_hosts,
};

/* ---- DNS_ZONES: zones are not watched, their names are looked up again in time; so there are none ---- */

struct zone_row {
	const char *zone;
	uint64_t    serial, count;
};

static void
fill_nothing(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
}

static const struct show_column zone_columns[] = {
	COLUMN("zonename", SHOW_TEXT, struct zone_row, zone),
	COLUMN("serial", SHOW_INT8, struct zone_row, serial),
	COLUMN("count", SHOW_INT4, struct zone_row, count),
};

const struct show_table show_dns_zones = {
	.word = "DNS_ZONES",
	.columns = zone_columns,
	.column_count = COLUMN_COUNT(zone_columns),
	.row_bytes = sizeof(struct zone_row),
	.fill = fill_nothing,
};
