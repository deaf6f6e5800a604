/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/stats/metrics.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/host/sockets.h"
#include "supervisor/http/http.h"
#include "supervisor/record/record.h"
#include "supervisor/stats/families.h"

/* A piece takes some tenths of a millisecond; after it the loop has this time for other work. */
#define PIECE_BYTES (32U << 10)
#define PAUSE_US 1000
/* Most scrapes at a time. Prometheus asks once in a while; a client that asks before its last
 * answer waits. */
#define SCRAPES_MAX 4
#define SCRAPE_TIMEOUT_S 30

static const struct http_limits limits = {
    .header_bytes = 8192,
    .header_count = 64,
    .connections = 32,
    .connections_per_ip = 16,
    .header_timeout_ms = 5000,
    .body_idle_ms = 5000,
    .half_close_ms = 2000,
    .keepalive_ms = 15000,
    .write_idle_ms = 10000,
};

struct scrape {
    TAILQ_ENTRY(scrape) entry; /* in one of the two lists of metrics */
    struct metrics *metrics;   /* borrowed */
    struct http_exchange *exchange;
    struct families_cursor cursor;
    bool is_full; /* the client has to take bytes first */
    struct event *deadline;
};
TAILQ_HEAD(scrape_list, scrape);

struct metrics {
    struct metrics_options with;
    struct http_front *front;
    struct scrape_list writing; /* scrapes whose turn comes */
    struct scrape_list waiting; /* scrapes that are is_full */
    unsigned n_scrapes;
    uint64_t refused; /* scrapes that were refused as too many */
    struct event *turn;
    struct text text; /* the piece; kept for the next one */
};

/* ---- scrapes */

static struct scrape_list *list_of(struct scrape *scrape)
{
    return scrape->is_full ? &scrape->metrics->waiting : &scrape->metrics->writing;
}

/* Frees a scrape, without an answer. */
static void scrape_free(struct scrape *scrape)
{
    TAILQ_REMOVE(list_of(scrape), scrape, entry);
    scrape->metrics->n_scrapes--;
    families_cursor_done(&scrape->cursor);
    if (scrape->deadline)
        event_free(scrape->deadline);
    free(scrape);
}

static void plan_turn(struct metrics *metrics)
{
    static const struct timeval pause = { .tv_usec = PAUSE_US };

    if (!TAILQ_EMPTY(&metrics->writing) && !event_pending(metrics->turn, EV_TIMEOUT, NULL))
        (void) event_add(metrics->turn, &pause);
}

static void cut_off(struct scrape *scrape)
{
    struct http_exchange *exchange = scrape->exchange;

    scrape_free(scrape);
    http_fail(exchange, ERROR_OVERLOADED, 1);
}

/* Writes one piece. */
static void write_piece(struct scrape *scrape)
{
    struct metrics *metrics = scrape->metrics;
    struct text *text = &metrics->text;
    struct http_exchange *exchange = scrape->exchange;

    text->size = 0;
    bool has_more = families_write(&scrape->cursor, text, PIECE_BYTES);
    if (text->has_failed) {
        text_done(text);
        cut_off(scrape);
        return;
    }
    if (!has_more)
        scrape_free(scrape);
    int r = http_send_body(exchange, (const uint8_t *) text->data, text->size, !has_more);
    if (!has_more)
        return;
    if (r < 0) { /* the front has cut the answer off */
        scrape_free(scrape);
        return;
    }
    TAILQ_REMOVE(list_of(scrape), scrape, entry);
    scrape->is_full = http_queued_bytes(exchange) > HTTP_OUTPUT_LOW_BYTES;
    TAILQ_INSERT_TAIL(list_of(scrape), scrape, entry);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("metrics: a piece");
    struct metrics *metrics = arg;
    struct scrape *scrape = TAILQ_FIRST(&metrics->writing);

    if (scrape)
        write_piece(scrape);
    plan_turn(metrics);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("metrics: deadline");

    cut_off(arg);
}

static int scrape_new(struct metrics *metrics, struct http_exchange *exchange,
                      struct scrape **ret_scrape)
{
    static const struct timeval timeout = { .tv_sec = SCRAPE_TIMEOUT_S };
    struct scrape *scrape = calloc(1, sizeof *scrape);

    if (!scrape)
        return -ENOMEM;
    scrape->metrics = metrics;
    scrape->exchange = exchange;
    scrape->cursor.from = &metrics->with.from;
    TAILQ_INSERT_TAIL(&metrics->writing, scrape, entry);
    metrics->n_scrapes++;
    scrape->deadline = event_new(metrics->with.base, -1, 0, on_deadline, scrape);
    if (!scrape->deadline || event_add(scrape->deadline, &timeout) < 0) {
        scrape_free(scrape);
        return -ENOMEM;
    }
    *ret_scrape = scrape;
    return 0;
}

/* ---- requests */

#define FIELD(name, value)             \
    {                                  \
        { (name), sizeof(name) - 1 },  \
        {                              \
            (value), sizeof(value) - 1 \
        }                              \
    }

static const struct http_field text_fields[] = {
    FIELD("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),
};

struct page {
    unsigned status;
    const struct http_field *fields;
    size_t n_fields;
    const char *body;
};

static const struct page index_page = {
    .status = 200,
    .fields = (const struct http_field[]){ FIELD("Content-Type", "text/html; charset=utf-8") },
    .n_fields = 1,
    .body = "<!doctype html><title>skepd</title><p><a href=\"/metrics\">Metrics</a>\n",
};
static const struct page not_found = {
    .status = 404,
    .fields = (const struct http_field[]){ FIELD("Content-Type", "text/plain; charset=utf-8") },
    .n_fields = 1,
    .body = "There is nothing here. Metrics are at /metrics.\n",
};
static const struct page not_allowed = {
    .status = 405,
    .fields = (const struct http_field[]){ FIELD("Content-Type", "text/plain; charset=utf-8"),
                                           FIELD("Allow", "GET, HEAD") },
    .n_fields = 2,
    .body = "GET and HEAD are what can be done here.\n",
};

static bool is_text(struct http_text text, const char *string)
{
    return text.size == strlen(string) && memcmp(text.data, string, text.size) == 0;
}

static void send_page(struct http_exchange *exchange, const struct page *page)
{
    const struct http_response response = { page->status, page->fields, page->n_fields };

    if (http_respond(exchange, &response, (const uint8_t *) page->body, strlen(page->body), true) <
        0)
        http_fail(exchange, ERROR_OVERLOADED, 1);
}

/* The head; the body follows turn by turn. */
static void *begin(struct metrics *metrics, struct http_exchange *exchange, bool is_head)
{
    const struct http_response response = { 200, text_fields, ARRAY_LEN(text_fields) };
    struct scrape *scrape = NULL;

    if (is_head) {
        if (http_respond(exchange, &response, NULL, 0, true) < 0)
            http_fail(exchange, ERROR_OVERLOADED, 1);
        return NULL;
    }
    if (metrics->n_scrapes >= SCRAPES_MAX || scrape_new(metrics, exchange, &scrape) < 0) {
        metrics->refused++;
        http_fail(exchange, ERROR_OVERLOADED, 1);
        return NULL;
    }
    if (http_respond(exchange, &response, NULL, 0, false) < 0) {
        cut_off(scrape);
        return NULL;
    }
    plan_turn(metrics);
    return scrape;
}

static void *on_request(void *handler, struct http_exchange *exchange,
                        const struct http_request *request)
{
    const char *query = memchr(request->target.data, '?', request->target.size);
    struct http_text path = request->target;
    bool is_head = is_text(request->method, "HEAD");

    if (query)
        path.size = (size_t) (query - path.data);
    if (request->has_body || (!is_head && !is_text(request->method, "GET")))
        send_page(exchange, &not_allowed);
    else if (is_text(path, "/metrics"))
        return begin(handler, exchange, is_head);
    else
        send_page(exchange, is_text(path, "/") ? &index_page : &not_found);
    return NULL;
}

/* Never called: no body is ever granted. */
static void on_body(void *request, const uint8_t *data, size_t size, bool end)
{
    (void) request;
    (void) data;
    (void) size;
    (void) end;
}

static void on_writable(void *arg)
{
    struct scrape *scrape = arg;

    if (!scrape->is_full)
        return;
    TAILQ_REMOVE(list_of(scrape), scrape, entry);
    scrape->is_full = false;
    TAILQ_INSERT_TAIL(list_of(scrape), scrape, entry);
    plan_turn(scrape->metrics);
}

static void on_gone(void *arg, enum http_gone why)
{
    (void) why;
    scrape_free(arg);
}

static const struct http_handler metrics_http = {
    .on_request = on_request,
    .on_body = on_body,
    .on_writable = on_writable,
    .on_gone = on_gone,
};

/* ---- life */

static int make(const struct metrics_options *with, struct metrics **ret_metrics)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    struct http_front_options options = {
        .base = with->base,
        .ops = &metrics_http,
        .handler = metrics,
        .limits = limits,
    };

    if (!metrics)
        return -ENOMEM;
    metrics->with = *with;
    TAILQ_INIT(&metrics->writing);
    TAILQ_INIT(&metrics->waiting);
    metrics->turn = event_new(with->base, -1, 0, on_turn, metrics);
    int r = metrics->turn ? http_front_new(&options, &metrics->front) : -ENOMEM;
    if (r < 0) {
        (void) metrics_free(metrics);
        return r;
    }
    *ret_metrics = metrics;
    return 0;
}

static void read_total(void *owner, struct total *total)
{
    const struct metrics *metrics = owner; /* NULL: there is no endpoint */

    total->limit = SCRAPES_MAX;
    total->used = metrics ? metrics->n_scrapes : 0;
    total->refused = metrics ? metrics->refused : 0;
}

/* Listens on the configuration's address, whose socket may be inherited. */
static int listen_on(struct metrics *metrics, const char *address)
{
    struct sockets *sockets = metrics->with.sockets;
    struct sockaddr_storage wanted = { 0 };
    socklen_t size;
    int fd = -1;

    int r = address_parse_listen(address, &wanted, &size);
    if (r < 0)
        return r;
    int inherited = sockets_take_address(sockets, "metrics", &wanted);
    if (inherited >= 0)
        return http_front_adopt(metrics->front, inherited);
    r = http_front_listen(metrics->front, address, &fd);
    return r < 0 ? r : sockets_add(sockets, SOCKET_METRICS, fd);
}

int metrics_new(const struct metrics_options *options, struct metrics **ret_metrics)
{
    const char *address = options->from.config->metrics.listen;
    struct total_source *totals = options->from.record->totals;
    struct metrics *metrics = NULL;
    int inherited = address ? -1 : sockets_take(options->sockets, "metrics");

    *ret_metrics = NULL;
    total_set(totals, TOTAL_SCRAPES, read_total, NULL);
    if (!address && inherited < 0)
        return 0;
    int r = make(options, &metrics);
    if (r == 0)
        r = address ? listen_on(metrics, address) : http_front_adopt(metrics->front, inherited);
    if (r < 0) {
        (void) metrics_free(metrics);
        return log_error_errno(r, "cannot listen on %s for metrics",
                               address ? address : "the inherited socket");
    }
    if (address)
        log_info("metrics are at http://%s/metrics", address);
    else
        log_info("metrics are on an inherited socket");
    total_set(totals, TOTAL_SCRAPES, read_total, metrics);
    *ret_metrics = metrics;
    return 0;
}

void metrics_hold(struct metrics *metrics, bool hold)
{
    if (metrics)
        http_front_hold(metrics->front, hold);
}

void metrics_drain(struct metrics *metrics)
{
    if (metrics)
        http_front_drain(metrics->front, false);
}

static void free_scrapes(struct scrape_list *list)
{
    struct scrape *scrape, *next;

    for (scrape = TAILQ_FIRST(list); scrape; scrape = next) {
        next = TAILQ_NEXT(scrape, entry);
        scrape_free(scrape);
    }
}

struct metrics *metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return NULL;
    total_set(metrics->with.from.record->totals, TOTAL_SCRAPES, NULL, NULL);
    metrics->front = http_front_free(metrics->front);
    free_scrapes(&metrics->writing);
    free_scrapes(&metrics->waiting);
    if (metrics->turn)
        event_free(metrics->turn);
    text_done(&metrics->text);
    free(metrics);
    return NULL;
}
