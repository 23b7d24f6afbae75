#pragma once
#include <stddef.h>
#include <stdint.h>

/* Downloads with libcurl's multi interface, bounded in time and size. One thread uses a fetcher. */
struct sw_fetcher;

struct sw_fetch_wishes {
  const char *url;
  /* Whole header lines. */
  const char *accept;
  const char *timeout_header;
  const char *user_agent;
  int64_t timeout_ms;
  size_t body_limit;
  uint64_t id;
};

struct sw_fetched {
  uint64_t id;
  /* 0, or why there is no answer: then `problem` says it. */
  int failed;
  const char *problem;
  long status;
  /* Empty when the server gave none. */
  const char *content_type;
  const void *body;
  size_t count;
};

/* `total_limit`: bytes of all bodies under way together. NULL without memory. */
struct sw_fetcher *sw_fetcher_new(size_t total_limit);
/* Ends what is under way. */
void sw_fetcher_free(struct sw_fetcher *fetcher);
/* 1 when it began; its result comes from sw_fetch_next. */
int sw_fetch_start(struct sw_fetcher *fetcher, struct sw_fetch_wishes wishes);
/* Works on everything under way and waits until something happens, one of `others` is readable (at most 4), or the time
   is over. */
void sw_fetch_wait(struct sw_fetcher *fetcher, const int *others, size_t count, int milliseconds);
/* 1 and a result that is valid until the next call; 0 when none is finished. */
int sw_fetch_next(struct sw_fetcher *fetcher, struct sw_fetched *fetched);
void sw_fetch_cancel_all(struct sw_fetcher *fetcher);
