/*
 * net/curl.h - libcurl, loaded when it is first needed. Private to net/fetch.
 *
 * Why not linked: it brings GnuTLS, Kerberos, LDAP and SSH along, 3.5 MB of resident memory in each process, also in those
 * that have no Patroni to ask. Its types and options come from its header as usual.
 */
#ifndef NET_CURL_H
#define NET_CURL_H

#include <stdbool.h>
#include <time.h>

#include <curl/curl.h>

#include "base/text.h"

struct curl_api {
	CURLcode (*global_init)(long flags);
	CURL *(*easy_init)(void);
	void (*easy_cleanup)(CURL *easy);
	CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
	CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
	const char *(*easy_strerror)(CURLcode code);
	time_t (*getdate)(const char *text, const time_t *unused);
	struct curl_slist *(*slist_append)(struct curl_slist *list, const char *line);
	void (*slist_free_all)(struct curl_slist *list);
	CURLM *(*multi_init)(void);
	CURLMcode (*multi_cleanup)(CURLM *multi);
	CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
	CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
	CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
	CURLMcode (*multi_assign)(CURLM *multi, curl_socket_t fd, void *context);
	CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
	CURLMcode (*multi_socket_action)(CURLM *multi, curl_socket_t fd, int events, int *running);
};

extern struct curl_api curl; /* good after curl_load() */

bool curl_load(struct text *why); /* again and again is fine */

#endif
