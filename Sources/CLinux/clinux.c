#define _GNU_SOURCE
#include "clinux.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* In the child of a vfork: only system calls, nothing that allocates or locks. */
static int prepare_child(const int *descriptors, int count, int death_signal, pid_t parent) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  sigset_t none;
  /* SIGKILL, SIGSTOP and the C library's own two refuse; that is as it should be. */
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &standard, NULL);
  if (setpgid(0, 0) < 0) return -1;
  if (death_signal) {
    if (prctl(PR_SET_PDEATHSIG, death_signal) < 0) return -1;
    if (getppid() != parent) _exit(127);
  }
  for (int target = 0; target < count; target++) {
    /* dup2 to itself would leave close-on-exec in place. */
    if (descriptors[target] == target) {
      if (fcntl(target, F_SETFD, 0) < 0) return -1;
    } else if (dup2(descriptors[target], target) < 0) {
      return -1;
    }
  }
  if (syscall(SYS_close_range, (unsigned)count, ~0u, 0u) < 0) return -1;
  sigemptyset(&none);
  return sigprocmask(SIG_SETMASK, &none, NULL);
}
int sw_spawn(const char *path, char *const argv[], char *const envp[], const int *descriptors, int count,
             int death_signal, int *process, int *pidfd) {
  /* Written by the child, whose memory is ours until it has called exec. */
  volatile int failure = 0;
  pid_t parent = getpid();
  sigset_t all, before;
  int cancel;
  sigfillset(&all);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t child = vfork();
  if (child == 0) {
    if (prepare_child(descriptors, count, death_signal, parent) == 0) execve(path, argv, envp);
    failure = errno;
    _exit(127);
  }
  if (child < 0) failure = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_setcancelstate(cancel, NULL);
  if (child < 0) return failure;
  int descriptor = failure ? -1 : sw_pidfd_open(child);
  if (descriptor < 0) {
    if (!failure) failure = errno;
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    return failure;
  }
  *process = child;
  *pidfd = descriptor;
  return 0;
}
char **sw_environment(void) { return environ; }

int sw_find_user(const char *name, uint32_t *user, uint32_t *group) {
  struct passwd entry, *found = NULL;
  char text[16384];
  int code = getpwnam_r(name, &entry, text, sizeof text, &found);
  if (code != 0) {
    errno = code;
    return -1;
  }
  if (!found) return 1;
  *user = entry.pw_uid;
  *group = entry.pw_gid;
  return 0;
}
int sw_become_user(const char *name, uint32_t user, uint32_t group, int keep_bind) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2] = {{0}, {0}};
  if (initgroups(name, group) < 0 || setresgid(group, group, group) < 0) return -1;
  if (prctl(PR_SET_KEEPCAPS, keep_bind ? 1 : 0) < 0) return -1;
  if (setresuid(user, user, user) < 0) return -1;
  if (keep_bind) {
    data[0].effective = data[0].permitted = 1u << CAP_NET_BIND_SERVICE;
    if (syscall(SYS_capset, &header, data) < 0) return -1;
    if (prctl(PR_SET_KEEPCAPS, 0) < 0) return -1;
  }
  /* Proof: the way back is shut. */
  if (user != 0 && setresuid(0, 0, 0) == 0) {
    errno = EPERM;
    return -1;
  }
  return 0;
}
int sw_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
int sw_forbid_core_dumps(void) {
  struct rlimit none = {0, 0};
  return setrlimit(RLIMIT_CORE, &none) < 0 ? -1 : prctl(PR_SET_DUMPABLE, 0);
}
int64_t sw_raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -1;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -1 : (int64_t)limit.rlim_cur;
}
int64_t sw_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
  return limit.rlim_cur > (1 << 30) ? 1 << 30 : (int64_t)limit.rlim_cur;
}
int sw_allow_realtime(int priority) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_RTPRIO, &limit) < 0) return -1;
  if (limit.rlim_cur >= (rlim_t)priority) return 0;
  limit.rlim_cur = (rlim_t)priority;
  if (limit.rlim_max < limit.rlim_cur) limit.rlim_max = limit.rlim_cur;
  return setrlimit(RLIMIT_RTPRIO, &limit);
}
int sw_prefer_this_thread(int priority) {
  struct sched_param parameters = {.sched_priority = priority};
  int policy = priority ? SCHED_FIFO : SCHED_OTHER;
  if (sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &parameters) < 0) return -1;
  return priority ? 0 : setpriority(PRIO_PROCESS, 0, -10);
}
int sw_make_folder(const char *path, uint32_t user, uint32_t group, uint32_t mode) {
  if (mkdir(path, 0700) < 0) return -1;
  int folder = open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int result = folder < 0 || fchown(folder, user, group) < 0 ? -1 : fchmod(folder, mode);
  int failure = errno;
  if (folder >= 0) close(folder);
  /* Half made it would be taken for whole by the next start. */
  if (result < 0) rmdir(path);
  errno = failure;
  return result;
}

int sw_packet_socket(int interface, int protocol, const void *program, int count) {
  /* Protocol 0: nothing arrives before the filter stands and the interface is chosen. */
  int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  struct sock_filter copy[64];
  struct sock_fprog filter = {.len = (unsigned short)count, .filter = copy};
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = interface};
  address.sll_protocol = htons((uint16_t)protocol);
  if (count < 1 || count > 64) {
    errno = EINVAL;
  } else {
    memcpy(copy, program, (size_t)count * sizeof *copy);
    if (setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0 &&
        bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
      return descriptor;
  }
  int failure = errno;
  close(descriptor);
  errno = failure;
  return -1;
}
int sw_netlink_socket(uint32_t groups) {
  int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (descriptor < 0) return -1;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
  if (bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
  int failure = errno;
  close(descriptor);
  errno = failure;
  return -1;
}
