#include "ccurl.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

struct fetch {
  struct sw_fetcher *fetcher;
  CURL *handle;
  struct curl_slist *headers;
  struct fetch *next;
  uint64_t id;
  char *body;
  size_t count, capacity, limit;
  int too_large;
  char problem[CURL_ERROR_SIZE];
};

struct sw_fetcher {
  CURLM *multi;
  struct fetch *under_way;
  /* Given out by sw_fetch_next, freed at the next call. */
  struct fetch *given;
  /* Bytes of bodies, and their bound. */
  size_t held, limit;
};

static void forget(struct fetch *fetch) {
  if (!fetch) return;
  fetch->fetcher->held -= fetch->count;
  if (fetch->handle) curl_easy_cleanup(fetch->handle);
  curl_slist_free_all(fetch->headers);
  free(fetch->body);
  free(fetch);
}

/* Called with at most 16 KiB, unpacked already: the limit holds for what a small packed body becomes, too. */
static size_t take(char *bytes, size_t size, size_t count, void *context) {
  struct fetch *fetch = context;
  size_t length = size * count;
  struct sw_fetcher *fetcher = fetch->fetcher;
  if (length > fetch->limit - fetch->count || length > fetcher->limit - fetcher->held) {
    fetch->too_large = 1;
    return 0;
  }
  if (length > fetch->capacity - fetch->count) {
    size_t capacity = fetch->capacity ? fetch->capacity * 2 : 32768;
    while (capacity - fetch->count < length) capacity *= 2;
    char *grown = realloc(fetch->body, capacity);
    if (!grown) return 0;
    fetch->body = grown;
    fetch->capacity = capacity;
  }
  memcpy(fetch->body + fetch->count, bytes, length);
  fetch->count += length;
  fetcher->held += length;
  return length;
}

struct sw_fetcher *sw_fetcher_new(size_t total_limit) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return NULL;
  struct sw_fetcher *fetcher = calloc(1, sizeof *fetcher);
  if (!fetcher) return NULL;
  fetcher->limit = total_limit;
  fetcher->multi = curl_multi_init();
  if (!fetcher->multi) {
    free(fetcher);
    return NULL;
  }
  curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, 64L);
  return fetcher;
}

void sw_fetch_cancel_all(struct sw_fetcher *fetcher) {
  while (fetcher->under_way) {
    struct fetch *fetch = fetcher->under_way;
    fetcher->under_way = fetch->next;
    curl_multi_remove_handle(fetcher->multi, fetch->handle);
    forget(fetch);
  }
}

void sw_fetcher_free(struct sw_fetcher *fetcher) {
  sw_fetch_cancel_all(fetcher);
  forget(fetcher->given);
  curl_multi_cleanup(fetcher->multi);
  free(fetcher);
}

static int add_header(struct fetch *fetch, const char *line) {
  struct curl_slist *longer = curl_slist_append(fetch->headers, line);
  if (longer) fetch->headers = longer;
  return longer != NULL;
}

int sw_fetch_start(struct sw_fetcher *fetcher, struct sw_fetch_wishes wishes) {
  struct fetch *fetch = calloc(1, sizeof *fetch);
  if (!fetch) return 0;
  fetch->fetcher = fetcher;
  fetch->id = wishes.id;
  fetch->limit = wishes.body_limit;
  fetch->handle = curl_easy_init();
  if (!fetch->handle || !add_header(fetch, wishes.accept) || !add_header(fetch, wishes.timeout_header)) {
    forget(fetch);
    return 0;
  }
  CURL *handle = fetch->handle;
  int wrong = 0;
  wrong |= curl_easy_setopt(handle, CURLOPT_URL, wishes.url) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK;
  /* A redirect is an answer like another that is not 200: nothing but the URL of the configuration is asked. */
  wrong |= curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_PROXY, "") != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)wishes.timeout_ms) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)wishes.timeout_ms) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_ACCEPT_ENCODING, "gzip") != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)wishes.body_limit) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_HTTPHEADER, fetch->headers) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_USERAGENT, wishes.user_agent) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_WRITEDATA, fetch) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, fetch->problem) != CURLE_OK;
  wrong |= curl_easy_setopt(handle, CURLOPT_PRIVATE, fetch) != CURLE_OK;
  /* Ending does not wait for a look-up of a name that hangs. */
  wrong |= curl_easy_setopt(handle, CURLOPT_QUICK_EXIT, 1L) != CURLE_OK;
  if (wrong || curl_multi_add_handle(fetcher->multi, handle) != CURLM_OK) {
    forget(fetch);
    return 0;
  }
  fetch->next = fetcher->under_way;
  fetcher->under_way = fetch;
  return 1;
}

void sw_fetch_wait(struct sw_fetcher *fetcher, const int *others, size_t count, int milliseconds) {
  int running = 0, left = 0;
  struct curl_waitfd also[4];
  if (count > 4) count = 4;
  for (size_t i = 0; i < count; i++) also[i] = (struct curl_waitfd){.fd = others[i], .events = CURL_WAIT_POLLIN};
  curl_multi_perform(fetcher->multi, &running);
  /* What is finished already is looked at before anything is waited for. */
  for (struct fetch *fetch = fetcher->under_way; fetch; fetch = fetch->next) left++;
  curl_multi_poll(fetcher->multi, also, (unsigned)count, left > running ? 0 : milliseconds, NULL);
  curl_multi_perform(fetcher->multi, &running);
}

int sw_fetch_next(struct sw_fetcher *fetcher, struct sw_fetched *fetched) {
  forget(fetcher->given);
  fetcher->given = NULL;
  int waiting = 0;
  CURLMsg *message;
  while ((message = curl_multi_info_read(fetcher->multi, &waiting)))
    if (message->msg == CURLMSG_DONE) break;
  if (!message) return 0;
  CURLcode code = message->data.result;
  char *private = NULL, *type = NULL;
  curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
  struct fetch *fetch = (struct fetch *)(void *)private;
  struct fetch **link = &fetcher->under_way;
  while (*link && *link != fetch) link = &(*link)->next;
  if (!*link) return 0;
  *link = fetch->next;
  curl_easy_getinfo(fetch->handle, CURLINFO_CONTENT_TYPE, &type);
  memset(fetched, 0, sizeof *fetched);
  fetched->id = fetch->id;
  fetched->failed = code != CURLE_OK;
  if (fetch->too_large || code == CURLE_FILESIZE_EXCEEDED) fetched->problem = "the answer is too large";
  else fetched->problem = fetch->problem[0] ? fetch->problem : curl_easy_strerror(code);
  curl_easy_getinfo(fetch->handle, CURLINFO_RESPONSE_CODE, &fetched->status);
  fetched->content_type = type ? type : "";
  fetched->body = fetch->body;
  fetched->count = fetch->count;
  curl_multi_remove_handle(fetcher->multi, fetch->handle);
  fetcher->given = fetch;
  return 1;
}
