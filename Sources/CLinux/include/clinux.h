/* Calls that Glibc's module does not show to Swift: macros, variadics, GNU extensions.
   No feature macro here and no header that Glibc's module already has: they break builds at random. */
#ifndef CLINUX_H
#define CLINUX_H
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

/* What a crash leaves behind. */
#include "evidence.h"

struct pollfd;

/* An IPv4, IPv6 or unix socket address with its length. */
typedef struct { unsigned char bytes[128]; uint32_t length; } sw_address;

int sw_ppoll(struct pollfd *descriptors, unsigned long count, int64_t nanoseconds);
int sw_set_thread_name(const char *name);
int sw_pipe(int descriptors[2]);
int sw_socketpair(int type, int descriptors[2]);
int sw_gettid(void);
int sw_nice(int thread, int value);
int sw_parent_death_signal(int signal);
int sw_pidfd_open(int process);
int sw_pidfd_send_signal(int descriptor, int signal);
int sw_wait_pidfd(int descriptor, int *status);
int sw_addclosefrom(void *actions, int from);

int sw_parse_address(const char *host, uint16_t port, sw_address *out);
int sw_unix_address(const char *path, sw_address *out);
int sw_format_address(const sw_address *address, char *out, size_t size);
uint16_t sw_address_port(const sw_address *address);
int sw_socket(int family, int type);
int sw_address_family(const sw_address *address);
int sw_bind(int descriptor, const sw_address *address);
int sw_connect(int descriptor, const sw_address *address);
int sw_accept(int listener, sw_address *peer);
int sw_local_address(int descriptor, sw_address *out);
int sw_peer_credentials(int descriptor, int *process, int *user, int *group);
int64_t sw_send_to(int descriptor, const void *bytes, size_t count, const sw_address *to);
int64_t sw_receive_from(int descriptor, void *bytes, size_t count, sw_address *from);
int sw_set_int_option(int descriptor, int level, int option, int value);
int sw_set_linger_zero(int descriptor);
int sw_tcp_no_delay(int descriptor);
int sw_tcp_user_timeout(int descriptor, int milliseconds);
int sw_keepalive(int descriptor, int idle, int interval, int count);
int sw_freebind(int descriptor, int family);
int sw_socket_error(int descriptor);
int sw_send_descriptor(int channel, int descriptor);
int sw_receive_descriptor(int channel);
int sw_resident_kilobytes(void);
/* Up to `most` numeric addresses of a name, each NUL-terminated in `width` bytes. */
int sw_look_up(const char *name, char *out, int most, int width);

/* The guard: what follows serves the service IP and the two processes. */
/* The value of an int option, or -1. */
int sw_get_int_option(int descriptor, int level, int option);
int sw_set_inheritable(int descriptor, int inheritable);

/* Starts a program in a process group of its own: vfork, then exec, nothing in between but what is listed.
   descriptors[i] becomes i; all others are closed. Signals are unblocked and at their defaults. With death_signal the
   child gets it when the calling thread ends. 0, or the errno of the first thing that failed. */
int sw_spawn(const char *path, char *const argv[], char *const envp[], const int *descriptors, int count,
             int death_signal, int *process, int *pidfd);
char **sw_environment(void);
/* argv as exec handed it over, ended by NULL. */
char **sw_arguments(void);

/* Gives up root for `user` in the calling thread; keep_bind keeps CAP_NET_BIND_SERVICE alone. 0 or -1 with errno. */
int sw_become_user(const char *name, uint32_t user, uint32_t group, int keep_bind);
/* 0 found, 1 no such user, -1 with errno. */
int sw_find_user(const char *name, uint32_t *user, uint32_t *group);
int sw_no_new_privileges(void);
int sw_forbid_core_dumps(void);
/* The soft limit afterwards, or -1. */
int64_t sw_raise_file_limit(void);
int64_t sw_file_limit(void);
int sw_allow_realtime(int priority);
/* SCHED_FIFO, or with priority 0 nice -10; children start with the normal policy. */
int sw_prefer_this_thread(int priority);
/* 0, or -1 with errno: then there is no folder. */
int sw_make_folder(const char *path, uint32_t user, uint32_t group, uint32_t mode);

/* An AF_PACKET socket that takes frames of `protocol` (host order) on one interface, through a BPF program of
   `count` instructions of 8 bytes each. -1 with errno. */
int sw_packet_socket(int interface, int protocol, const void *program, int count);
int sw_netlink_socket(uint32_t groups);
#endif
