#include "cmicrohttpd.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct MHD_Daemon *sw_http_start(struct sw_http_limits limits, MHD_AccessHandlerCallback handler,
    MHD_NotifyConnectionCallback notify, void *context) {
  /* No error log: hostile clients would write ours. */
  return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, handler, context,
      MHD_OPTION_NOTIFY_CONNECTION, notify, context,
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
int sw_http_reply(struct MHD_Connection *connection, unsigned status, const char *type, const void *body, size_t count,
    const char *name, const char *value, int close) {
  struct MHD_Response *response = MHD_create_response_from_buffer(count, (void *)body, MHD_RESPMEM_MUST_COPY);
  if (!response) return 0;
  MHD_add_response_header(response, "Content-Type", type);
  MHD_add_response_header(response, "Cache-Control", "no-store");
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  if (name) MHD_add_response_header(response, name, value);
  if (close) MHD_add_response_header(response, "Connection", "close");
  enum MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result == MHD_YES;
}
const char *sw_http_header(struct MHD_Connection *connection, const char *name) {
  return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}
