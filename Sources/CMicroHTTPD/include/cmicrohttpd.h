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
    MHD_NotifyConnectionCallback notify, void *context);
int sw_http_epoll_descriptor(struct MHD_Daemon *daemon);
/* Takes the socket over, and closes it when it can't be served. */
int sw_http_add(struct MHD_Daemon *daemon, int descriptor);
int sw_http_run(struct MHD_Daemon *daemon);
/* Milliseconds until sw_http_run has to be called without any event; -1: never. */
int64_t sw_http_timeout(struct MHD_Daemon *daemon);
int sw_http_connection_descriptor(struct MHD_Connection *connection);
void sw_http_shut_down(int descriptor);
int sw_http_reply(struct MHD_Connection *connection, unsigned status, const char *type, const void *body, size_t count,
    const char *name, const char *value, int close);
const char *sw_http_header(struct MHD_Connection *connection, const char *name);
#endif
