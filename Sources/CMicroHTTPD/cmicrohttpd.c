#include "cmicrohttpd.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct MHD_Daemon *sw_http_start(struct sw_http_limits limits, MHD_AccessHandlerCallback handler,
    MHD_NotifyConnectionCallback notify, MHD_RequestCompletedCallback completed, void *context) {
  /* No error log: hostile clients would write ours. */
  return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handler, context,
      MHD_OPTION_NOTIFY_CONNECTION, notify, context,
      MHD_OPTION_NOTIFY_COMPLETED, completed, context,
      /* A request without Host, or with two, is refused (RFC 9112, section 3.2). */
      MHD_OPTION_STRICT_FOR_CLIENT, 1,
      MHD_OPTION_CONNECTION_LIMIT, limits.connections,
      MHD_OPTION_PER_IP_CONNECTION_LIMIT, limits.connections_per_address,
      MHD_OPTION_CONNECTION_TIMEOUT, limits.idle_seconds,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)limits.memory_per_connection,
      MHD_OPTION_END);
}
int sw_http_epoll_descriptor(struct MHD_Daemon *daemon) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
  return info ? info->epoll_fd : -1;
}
int sw_http_add(struct MHD_Daemon *daemon, int descriptor) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  memset(&peer, 0, sizeof peer);
  if (getpeername(descriptor, (struct sockaddr *)&peer, &length) < 0) {
    close(descriptor);
    return 0;
  }
  return MHD_add_connection(daemon, descriptor, (struct sockaddr *)&peer, length) == MHD_YES;
}
int sw_http_run(struct MHD_Daemon *daemon) { return MHD_run(daemon) == MHD_YES; }
int64_t sw_http_timeout(struct MHD_Daemon *daemon) {
  MHD_UNSIGNED_LONG_LONG milliseconds = 0;
  if (MHD_get_timeout(daemon, &milliseconds) != MHD_YES) return -1;
  return milliseconds > 3600000 ? 3600000 : (int64_t)milliseconds;
}
int sw_http_connection_descriptor(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info ? info->connect_fd : -1;
}
void sw_http_shut_down(int descriptor) { shutdown(descriptor, SHUT_RDWR); }
int sw_http_peer(struct MHD_Connection *connection, char *text, size_t size) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (!info || !info->client_addr) return 0;
  if (info->client_addr->sa_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)info->client_addr;
    return inet_ntop(AF_INET, &v4->sin_addr, text, size) != NULL;
  }
  if (info->client_addr->sa_family != AF_INET6) return 0;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)info->client_addr;
  /* IPv4 on a socket of both is IPv4 to everybody. */
  if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) return inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, size) != NULL;
  return inet_ntop(AF_INET6, &v6->sin6_addr, text, size) != NULL;
}

struct pairs {
  sw_http_pair body;
  void *context;
};
static enum MHD_Result each(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
  const struct pairs *pairs = context;
  (void)kind;
  pairs->body(pairs->context, name, value ? value : "");
  return MHD_YES;
}
void sw_http_each_header(struct MHD_Connection *connection, sw_http_pair body, void *context) {
  struct pairs pairs = {body, context};
  MHD_get_connection_values(connection, MHD_HEADER_KIND, each, &pairs);
}
void sw_http_each_argument(struct MHD_Connection *connection, sw_http_pair body, void *context) {
  struct pairs pairs = {body, context};
  MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, each, &pairs);
}

struct MHD_Response *sw_http_response(const void *body, size_t count) {
  return MHD_create_response_from_buffer(count, (void *)body, MHD_RESPMEM_MUST_COPY);
}
void sw_http_response_header(struct MHD_Response *response, const char *name, const char *value) {
  if (response) MHD_add_response_header(response, name, value);
}
int sw_http_reply(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response) {
  if (!response) return 0;
  enum MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result == MHD_YES;
}
