/* See evidence.h. Everything in the handler is safe in a signal: stores, a copy, tgkill. */
#define _GNU_SOURCE
#include "include/evidence.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static __thread sw_evidence_entry *mine;

int sw_evidence_create(void) {
  int descriptor = memfd_create("standwatch-evidence", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return -1;
  if (ftruncate(descriptor, sizeof(sw_evidence)) == 0 &&
      fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    return descriptor;
  int failure = errno;
  close(descriptor);
  errno = failure;
  return -1;
}
sw_evidence *sw_evidence_map(int descriptor) {
  struct stat found;
  /* Sealed: it can't shrink under the mapping. */
  if (fstat(descriptor, &found) < 0 || found.st_size != (off_t)sizeof(sw_evidence)) return NULL;
  int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || !(seals & F_SEAL_SHRINK)) return NULL;
  void *base = mmap(NULL, sizeof(sw_evidence), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  return base == MAP_FAILED ? NULL : base;
}

int sw_evidence_enter(sw_evidence *evidence, int slot) {
  if (slot < 0 || slot >= SW_EVIDENCE_SLOTS) return -1;
  /* A thread that ran out of its stack has none left for the handler. Never freed: the thread lives as long as we. */
  size_t size = 64 * 1024;
  stack_t stack = {.ss_sp = malloc(size), .ss_size = size};
  if (!stack.ss_sp || sigaltstack(&stack, NULL) < 0) return -1;
  clockid_t processor;
  int refused = pthread_getcpuclockid(pthread_self(), &processor);
  if (refused) {
    errno = refused;
    return -1;
  }
  evidence->slots[slot].processor = processor;
  mine = &evidence->slots[slot];
  return 0;
}

static void crashed(int number, siginfo_t *info, void *context) {
  (void)context;
  sw_evidence_entry *slot = mine;
  /* Sent by somebody with kill(2): no fault of what is in hand. */
  if (slot && slot->busy && info->si_code != SI_USER) {
    slot->signal = (uint32_t)number;
    size_t count = slot->held_count < SW_EVIDENCE_BYTES ? slot->held_count : SW_EVIDENCE_BYTES;
    slot->byte_total = slot->held_count;
    if (slot->held) memcpy(slot->bytes, slot->held, count);
    slot->byte_count = slot->held ? (uint32_t)count : 0;
  }
  /* The default action is back in place: this ends the process with the signal's own status. */
  syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
}
int sw_evidence_watch(void) {
  static const int fatal[] = {SIGILL, SIGTRAP, SIGSEGV, SIGABRT, SIGBUS, SIGFPE};
  struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER};
  for (size_t index = 0; index < sizeof fatal / sizeof *fatal; index++)
    if (sigaction(fatal[index], &action, NULL) < 0) return -1;
  return 0;
}

void sw_evidence_hold(const void *name, size_t name_count, const void *bytes, size_t count, int exact) {
  sw_evidence_entry *slot = mine;
  if (!slot) return;
  if (name_count > SW_EVIDENCE_NAME) name_count = SW_EVIDENCE_NAME;
  slot->busy = 0;
  memcpy(slot->name, name, name_count);
  slot->name_count = (uint32_t)name_count;
  slot->exact = exact != 0;
  slot->held = bytes;
  slot->held_count = count;
  slot->turn = slot->turn + 1;
  slot->busy = 1;
}
void sw_evidence_let_go(void) {
  if (!mine) return;
  mine->busy = 0;
  mine->held = NULL;
  mine->held_count = 0;
}

int sw_evidence_harvest(sw_evidence *evidence, int64_t wall_microseconds) {
  int found = 0;
  for (int index = 0; index < SW_EVIDENCE_SLOTS; index++) {
    sw_evidence_entry *slot = &evidence->slots[index];
    if (slot->signal && slot->name_count <= SW_EVIDENCE_NAME && slot->byte_count <= SW_EVIDENCE_BYTES) {
      /* A free place, else the oldest: nothing could be recorded for so many crashes. */
      sw_evidence_entry *place = &evidence->pending[0];
      for (int other = 0; other < SW_EVIDENCE_PENDING && place->busy; other++) {
        sw_evidence_entry *candidate = &evidence->pending[other];
        if (!candidate->busy || candidate->wall_microseconds < place->wall_microseconds) place = candidate;
      }
      memcpy(place->name, slot->name, slot->name_count);
      memcpy(place->bytes, slot->bytes, slot->byte_count);
      place->name_count = slot->name_count;
      place->byte_count = slot->byte_count;
      place->byte_total = slot->byte_total;
      place->exact = slot->exact;
      place->signal = slot->signal;
      place->wall_microseconds = wall_microseconds;
      place->busy = 1;
      found++;
    }
    slot->busy = slot->signal = 0;
  }
  return found;
}
sw_evidence_entry *sw_evidence_pending(sw_evidence *evidence, int place) {
  return place < 0 || place >= SW_EVIDENCE_PENDING ? NULL : &evidence->pending[place];
}
const void *sw_evidence_bytes(const sw_evidence_entry *entry) { return entry->bytes; }
void sw_evidence_hung(sw_evidence *evidence, int descriptor, int slot) {
  if (slot < 0 || slot >= SW_EVIDENCE_SLOTS || !evidence->slots[slot].busy) return;
  sw_evidence_entry *entry = &evidence->slots[slot];
  uint64_t total = entry->held_count;
  size_t count = total < SW_EVIDENCE_BYTES ? total : SW_EVIDENCE_BYTES;
  /* A write of memory that is gone fails; reading it here would end the process before it has said anything. */
  off_t place = (off_t)((char *)entry->bytes - (char *)evidence);
  ssize_t kept = entry->held && count > 0 ? pwrite(descriptor, entry->held, count, place) : 0;
  entry->byte_total = total;
  entry->byte_count = kept > 0 ? (uint32_t)kept : 0;
  entry->signal = SW_EVIDENCE_HUNG;
}
uint64_t sw_evidence_turn(const sw_evidence *evidence, int slot, int64_t *processor) {
  struct timespec used;
  if (slot < 0 || slot >= SW_EVIDENCE_SLOTS || !evidence->slots[slot].busy) return 0;
  if (clock_gettime(evidence->slots[slot].processor, &used) < 0) return 0;
  *processor = used.tv_sec * 1000000000LL + used.tv_nsec;
  return evidence->slots[slot].turn;
}
