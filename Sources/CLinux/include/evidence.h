/* What a worker's threads had in hand when it crashed: shared memory that the guard owns and the worker writes.
   Threads that decode say what they hold with plain stores; a handler of the fatal signals adds who crashed, and the
   bytes. */
#ifndef EVIDENCE_H
#define EVIDENCE_H
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
  SW_EVIDENCE_SLOTS = 20,
  SW_EVIDENCE_PENDING = 8,
  SW_EVIDENCE_NAME = 768,
  SW_EVIDENCE_BYTES = 256 * 1024
};
typedef struct {
  volatile uint32_t busy;
  /* The signal that ended the thread's process; 0 when it did not. */
  volatile uint32_t signal;
  volatile uint32_t exact;
  volatile uint32_t name_count;
  /* All there were, and how many of them were kept. */
  volatile uint64_t byte_total;
  volatile uint32_t byte_count;
  volatile int64_t wall_microseconds;
  /* Grows with each piece that is taken in hand. */
  volatile uint64_t turn;
  /* Where the piece stands in the worker's memory; means nothing to another process. */
  const void *volatile held;
  volatile uint64_t held_count;
  /* Of the worker's thread. */
  volatile clockid_t processor;
  char name[SW_EVIDENCE_NAME];
  unsigned char bytes[SW_EVIDENCE_BYTES];
} sw_evidence_entry;
typedef struct {
  sw_evidence_entry slots[SW_EVIDENCE_SLOTS];
  /* Crashes that no worker has recorded yet; busy until one has. */
  sw_evidence_entry pending[SW_EVIDENCE_PENDING];
} sw_evidence;

/* A memory file of the right size that can't be resized; -1 with errno. */
int sw_evidence_create(void);
/* NULL when the descriptor is none of those. */
sw_evidence *sw_evidence_map(int descriptor);
/* The calling thread writes to this slot from now on, and has a stack of its own for the handler. */
int sw_evidence_enter(sw_evidence *evidence, int slot);
/* Handlers of SIGILL, SIGTRAP, SIGSEGV, SIGABRT, SIGBUS and SIGFPE, which leave the process to die of them. */
int sw_evidence_watch(void);
/* The bytes have to stay where they are until the next call of either. Does nothing on a thread without a slot. */
void sw_evidence_hold(const void *name, size_t name_count, const void *bytes, size_t count, int exact);
void sw_evidence_let_go(void);
/* The guard, when a worker is gone: moves what crashed to `pending`, clears the slots; how many there were. */
int sw_evidence_harvest(sw_evidence *evidence, int64_t wall_microseconds);
/* The process ends itself because this slot's thread hangs: counts as a crash, with SW_EVIDENCE_HUNG for a signal. The
   bytes go through `descriptor`, that of the memory: what the thread frees meanwhile is no fault of ours. */
enum { SW_EVIDENCE_HUNG = 255 };
void sw_evidence_hung(sw_evidence *evidence, int descriptor, int slot);
/* How many pieces the slot's thread has taken in hand, 0 while it has none, and its processor time in nanoseconds. */
uint64_t sw_evidence_turn(const sw_evidence *evidence, int slot, int64_t *processor);
/* NULL beyond the end. */
sw_evidence_entry *sw_evidence_pending(sw_evidence *evidence, int place);
const void *sw_evidence_bytes(const sw_evidence_entry *entry);
#endif
