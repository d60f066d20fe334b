/*
 * tests/admin/world.h - a proxy without network for the tests of the admin layer: configured from a text, with clients on
 * socket pairs, and with the loop turned by hand.
 */
#ifndef TESTS_ADMIN_WORLD_H
#define TESTS_ADMIN_WORLD_H

#include "base/buf.h"
#include "session/proxy.h"

/*
 * Users boss (admin_users), mon (stats_users) and app; databases shop, quiet, and "*", all plain. Their server accepts
 * connections and never says a word; PORT in the text of a world is where it listens.
 */
#define WORLD_TEXT                                                    \
	"[databases]\n"                                               \
	"shop = host=127.0.0.1 port=PORT dbname=shop_on_server\n"        \
	"quiet = host=127.0.0.1,127.0.0.2 port=PORT pool_size=7\n"       \
	"* = host=127.0.0.1 port=PORT\n"                                 \
	"[users]\n"                                                   \
	"app = pool_size=3 pool_mode=session\n"                       \
	"[pgsluice]\n"                                                \
	"listen_addr = 127.0.0.1\n"                                   \
	"auth_type = trust\n"                                         \
	"auth_users = \"boss\" \"\" ; \"mon\" \"\" ; \"app\" \"\"\n" \
	"admin_users = boss\n"                                        \
	"stats_users = mon\n"

struct proxy *world_open(const char *text); /* with the console installed */
void world_turn(struct proxy *x);           /* one turn of the loop, without sleeping */

/* A client that has sent a startup packet: our end of its connection. */
int world_client(struct proxy *x, const char *user, const char *database, const char *application_name);
void world_send(int fd, const struct buf *b);   /* and frees b */
void world_read(struct proxy *x, int fd, struct buf *out); /* all that is there after some turns; added */

/* The letters of the messages in b, "TDDCZ"; fails the test when they are not well-formed. */
const char *world_letters(struct view b);
/* The body of the first message of this letter; empty when there is none. */
struct view world_body(struct view b, char letter);

#endif
