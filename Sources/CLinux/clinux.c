#define _GNU_SOURCE
#include "clinux.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(((sw_address *)0)->bytes) >= sizeof(struct sockaddr_un), "an address fits");

int sw_ppoll(struct pollfd *descriptors, unsigned long count, int64_t nanoseconds) {
  struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  return ppoll(descriptors, count, nanoseconds < 0 ? NULL : &time, NULL);
}
int sw_set_thread_name(const char *name) { return pthread_setname_np(pthread_self(), name); }
int sw_pipe(int descriptors[2]) { return pipe2(descriptors, O_CLOEXEC | O_NONBLOCK); }
int sw_socketpair(int type, int descriptors[2]) { return socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, descriptors); }
int sw_gettid(void) { return (int)syscall(SYS_gettid); }
int sw_nice(int thread, int value) { return setpriority(PRIO_PROCESS, (id_t)thread, value); }
int sw_parent_death_signal(int signal) { return prctl(PR_SET_PDEATHSIG, signal); }
int sw_pidfd_open(int process) { return (int)syscall(SYS_pidfd_open, process, 0u); }
int sw_pidfd_send_signal(int descriptor, int signal) { return (int)syscall(SYS_pidfd_send_signal, descriptor, signal, NULL, 0u); }
int sw_wait_pidfd(int descriptor, int *status) {
  siginfo_t info;
  info.si_pid = 0;
  if (waitid(P_PIDFD, (id_t)descriptor, &info, WEXITED | WNOHANG) < 0) return -1;
  if (!info.si_pid) return 0;
  *status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  return 1;
}
int sw_addclosefrom(void *actions, int from) { return posix_spawn_file_actions_addclosefrom_np(actions, from); }

int sw_parse_address(const char *host, uint16_t port, sw_address *out) {
  char service[8];
  snprintf(service, sizeof service, "%u", port);
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
  if (getaddrinfo(host, service, &hints, &found) != 0 || !found) return -1;
  memset(out, 0, sizeof *out);
  memcpy(out->bytes, found->ai_addr, found->ai_addrlen);
  out->length = found->ai_addrlen;
  freeaddrinfo(found);
  return 0;
}
int sw_unix_address(const char *path, sw_address *out) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  memset(out, 0, sizeof *out);
  memcpy(out->bytes, &address, sizeof address);
  out->length = sizeof address;
  return 0;
}
int sw_address_family(const sw_address *address) {
  struct sockaddr head;
  memcpy(&head, address->bytes, sizeof head);
  return address->length ? head.sa_family : AF_UNSPEC;
}
int sw_format_address(const sw_address *address, char *out, size_t size) {
  struct sockaddr_storage storage;
  memcpy(&storage, address->bytes, sizeof address->bytes < sizeof storage ? sizeof address->bytes : sizeof storage);
  return getnameinfo((struct sockaddr *)&storage, address->length, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
}
uint16_t sw_address_port(const sw_address *address) {
  /* IPv4 and IPv6 keep the port in the same place. */
  struct sockaddr_in in;
  memcpy(&in, address->bytes, sizeof in);
  return sw_address_family(address) == AF_UNIX ? 0 : ntohs(in.sin_port);
}
int sw_socket(int family, int type) { return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }
int sw_bind(int descriptor, const sw_address *address) {
  struct sockaddr_storage storage;
  memcpy(&storage, address->bytes, sizeof storage);
  return bind(descriptor, (struct sockaddr *)&storage, address->length);
}
int sw_connect(int descriptor, const sw_address *address) {
  struct sockaddr_storage storage;
  memcpy(&storage, address->bytes, sizeof storage);
  return connect(descriptor, (struct sockaddr *)&storage, address->length);
}
static void take(sw_address *out, const struct sockaddr_storage *storage, socklen_t length) {
  memset(out, 0, sizeof *out);
  if (length > sizeof out->bytes) length = sizeof out->bytes;
  memcpy(out->bytes, storage, length);
  out->length = length;
}
int sw_accept(int listener, sw_address *peer) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  int descriptor = accept4(listener, (struct sockaddr *)&storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor >= 0 && peer) take(peer, &storage, length);
  return descriptor;
}
int sw_local_address(int descriptor, sw_address *out) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (getsockname(descriptor, (struct sockaddr *)&storage, &length) < 0) return -1;
  take(out, &storage, length);
  return 0;
}
int sw_peer_credentials(int descriptor, int *process, int *user, int *group) {
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -1;
  *process = credentials.pid;
  *user = (int)credentials.uid;
  *group = (int)credentials.gid;
  return 0;
}
int64_t sw_send_to(int descriptor, const void *bytes, size_t count, const sw_address *to) {
  struct sockaddr_storage storage;
  memcpy(&storage, to->bytes, sizeof storage);
  return sendto(descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&storage, to->length);
}
int64_t sw_receive_from(int descriptor, void *bytes, size_t count, sw_address *from) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  int64_t received = recvfrom(descriptor, bytes, count, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&storage, &length);
  if (received >= 0 && from) take(from, &storage, length);
  return received;
}
int sw_set_int_option(int descriptor, int level, int option, int value) { return setsockopt(descriptor, level, option, &value, sizeof value); }
int sw_set_linger_zero(int descriptor) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  return setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}
int sw_tcp_no_delay(int descriptor) { return sw_set_int_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1); }
int sw_tcp_user_timeout(int descriptor, int milliseconds) { return sw_set_int_option(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds); }
int sw_keepalive(int descriptor, int idle, int interval, int count) {
  if (sw_set_int_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1) < 0) return -1;
  if (sw_set_int_option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, idle) < 0) return -1;
  if (sw_set_int_option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, interval) < 0) return -1;
  return sw_set_int_option(descriptor, IPPROTO_TCP, TCP_KEEPCNT, count);
}
int sw_freebind(int descriptor, int family) {
  return family == AF_INET6 ? sw_set_int_option(descriptor, IPPROTO_IPV6, IPV6_FREEBIND, 1) : sw_set_int_option(descriptor, IPPROTO_IP, IP_FREEBIND, 1);
}
int sw_socket_error(int descriptor) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &value, &length) < 0 ? errno : value;
}
int sw_send_descriptor(int channel, int descriptor) {
  char byte = 1, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  return sendmsg(channel, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}
int sw_receive_descriptor(int channel) {
  char byte, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (!header || header->cmsg_type != SCM_RIGHTS) return -1;
  int descriptor;
  memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
  return descriptor;
}
int sw_resident_kilobytes(void) {
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file) return -1;
  long size, resident = -1;
  if (fscanf(file, "%ld %ld", &size, &resident) != 2) resident = -1;
  fclose(file);
  return resident < 0 ? -1 : (int)(resident * (sysconf(_SC_PAGESIZE) / 1024));
}
int sw_look_up(const char *name, char *out, int most, int width) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
  if (getaddrinfo(name, NULL, &hints, &found) != 0) return 0;
  int count = 0;
  for (struct addrinfo *each = found; each && count < most; each = each->ai_next)
    if (getnameinfo(each->ai_addr, each->ai_addrlen, out + count * width, (socklen_t)width, NULL, 0, NI_NUMERICHOST) == 0) count++;
  freeaddrinfo(found);
  return count;
}

int sw_get_int_option(int descriptor, int level, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(descriptor, level, option, &value, &length) < 0 ? -1 : value;
}
int sw_set_inheritable(int descriptor, int inheritable) {
  return fcntl(descriptor, F_SETFD, inheritable ? 0 : FD_CLOEXEC);
}
