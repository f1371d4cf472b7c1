/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1.1 server that the client's tests talk to: canned good and bad behaviour by path, one
 * thread for each connection. */
#ifndef VG_TESTS_UNIT_COMMON_HTTP_SERVER_H
#define VG_TESTS_UNIT_COMMON_HTTP_SERVER_H

enum { LARGE = 1 << 20 }; /* bytes of body of /large */

struct http_server;

struct http_server *http_server_start(void);
struct http_server *http_server_stop(struct http_server *server);
int http_server_port(const struct http_server *server);
int http_server_requests(struct http_server *server);
int http_server_connects(struct http_server *server);
/* The last request, headers and body; the caller frees. NULL: none since the last call. */
char *http_server_take_request(struct http_server *server);

/* A listening socket on 127.0.0.1. */
int listen_on_loopback(int *port);

#endif
