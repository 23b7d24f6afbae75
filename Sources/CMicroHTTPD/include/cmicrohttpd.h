/* Calls of libmicrohttpd that Swift can't make: variadics and unions. */
#ifndef CMICROHTTPD_H
#define CMICROHTTPD_H
#include <stdint.h>
#include <microhttpd.h>

struct sw_http_limits {
  unsigned connections, connections_per_address, idle_seconds, memory_per_connection;
};
/* A daemon without a listening socket and without threads: it works only inside sw_http_run. */
struct MHD_Daemon *sw_http_start(struct sw_http_limits limits, MHD_AccessHandlerCallback handler,
    MHD_NotifyConnectionCallback notify, MHD_RequestCompletedCallback completed, void *context);
int sw_http_epoll_descriptor(struct MHD_Daemon *daemon);
/* Takes the socket over, and closes it when it can't be served. */
int sw_http_add(struct MHD_Daemon *daemon, int descriptor);
int sw_http_run(struct MHD_Daemon *daemon);
/* Milliseconds until sw_http_run has to be called without any event; -1: never. */
int64_t sw_http_timeout(struct MHD_Daemon *daemon);
int sw_http_connection_descriptor(struct MHD_Connection *connection);
/* The client's numeric address, without its port, as text of less than `size` bytes; 0 when there is none. */
int sw_http_peer(struct MHD_Connection *connection, char *text, size_t size);
void sw_http_shut_down(int descriptor);

/* Calls back for each header, or for each argument of the query; the last of two with one name comes last. */
typedef void (*sw_http_pair)(void *context, const char *name, const char *value);
void sw_http_each_header(struct MHD_Connection *connection, sw_http_pair body, void *context);
void sw_http_each_argument(struct MHD_Connection *connection, sw_http_pair body, void *context);

struct MHD_Response *sw_http_response(const void *body, size_t count);
void sw_http_response_header(struct MHD_Response *response, const char *name, const char *value);
/* Consumes the response. */
int sw_http_reply(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response);
#endif
