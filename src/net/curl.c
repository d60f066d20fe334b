/* net/curl.c - libcurl, loaded when it is first needed; see the header. Source: dlopen(3), libcurl's symbols since 7.16. */
#include "curl.h"

#include <stddef.h>

#include "base/library.h"

#define LIBRARY "libcurl.so.4" /* the name of its interface since 2006 */

struct curl_api curl;

static const struct library_symbol symbols[] = {
	{ "curl_global_init", offsetof(struct curl_api, global_init) },
	{ "curl_easy_init", offsetof(struct curl_api, easy_init) },
	{ "curl_easy_cleanup", offsetof(struct curl_api, easy_cleanup) },
	{ "curl_easy_setopt", offsetof(struct curl_api, easy_setopt) },
	{ "curl_easy_getinfo", offsetof(struct curl_api, easy_getinfo) },
	{ "curl_easy_strerror", offsetof(struct curl_api, easy_strerror) },
	{ "curl_getdate", offsetof(struct curl_api, getdate) },
	{ "curl_slist_append", offsetof(struct curl_api, slist_append) },
	{ "curl_slist_free_all", offsetof(struct curl_api, slist_free_all) },
	{ "curl_multi_init", offsetof(struct curl_api, multi_init) },
	{ "curl_multi_cleanup", offsetof(struct curl_api, multi_cleanup) },
	{ "curl_multi_setopt", offsetof(struct curl_api, multi_setopt) },
	{ "curl_multi_add_handle", offsetof(struct curl_api, multi_add_handle) },
	{ "curl_multi_remove_handle", offsetof(struct curl_api, multi_remove_handle) },
	{ "curl_multi_assign", offsetof(struct curl_api, multi_assign) },
	{ "curl_multi_info_read", offsetof(struct curl_api, multi_info_read) },
	{ "curl_multi_socket_action", offsetof(struct curl_api, multi_socket_action) },
};

bool
curl_load(struct text *why)
{
	static bool is_ready; /* for the process; never unloaded */
	if (is_ready)
		return true;
	if (!library_load(LIBRARY, "Patroni is asked through libcurl", symbols, sizeof(symbols) / sizeof(symbols[0]),
	                  &curl, why))
		return false;
	if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		text_add(why, LIBRARY " can't be initialised");
		return false;
	}
	is_ready = true;
	return true;
}
