/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front as a whole: life, limits, the queue of connections with work to do at the end of a loop
 * turn, and timers. All connections with the same kind of timeout are in one list, which is in
 * order of time by itself; one libevent timer serves the first of all lists, so that starting and
 * stopping a timeout costs no system call. Supervisor, loop thread.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/loop_watch.h"
#include "supervisor/http/internal.h"

DEFINE_CLEANUP(struct http_front *, http_front_free, front_cleanup)

uint64_t http_front_now_ms(void)
{
    struct timespec now = { 0 };

    (void) clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

/* --- timers --- */

static void schedule(struct http_front *front, uint64_t due_ms, uint64_t now)
{
    uint64_t wait_ms = due_ms > now ? due_ms - now : 1;
    struct timeval wait = {
        .tv_sec = (time_t) (wait_ms / 1000),
        .tv_usec = (suseconds_t) (wait_ms % 1000 * 1000),
    };

    front->timer_due_ms = due_ms;
    (void) event_add(&front->timer_event, &wait);
}

void http_timer_set(struct http_timer *timer, enum http_timer_kind kind)
{
    struct http_front *front = timer->connection->front;
    uint64_t now;

    if (timer->kind != HTTP_TIMER_NONE)
        TAILQ_REMOVE(&front->timers[timer->kind], timer, link);
    timer->kind = kind;
    if (kind == HTTP_TIMER_NONE)
        return;
    now = http_front_now_ms();
    timer->due_ms = now + front->timer_ms[kind];
    TAILQ_INSERT_TAIL(&front->timers[kind], timer, link);
    if (timer->due_ms < front->timer_due_ms)
        schedule(front, timer->due_ms, now);
}

static void run_timers(struct http_front *front)
{
    uint64_t now = http_front_now_ms();
    uint64_t next = UINT64_MAX;

    for (enum http_timer_kind kind = HTTP_TIMER_NONE + 1; kind < HTTP_TIMER_KINDS; kind++) {
        struct http_timer *timer;

        while ((timer = TAILQ_FIRST(&front->timers[kind])) && timer->due_ms <= now) {
            http_timer_set(timer, HTTP_TIMER_NONE);
            http_connection_on_timeout(timer->connection, kind);
        }
    }
    /* Rebuild the schedule at the end: a timeout may have started other timers. */
    for (enum http_timer_kind kind = HTTP_TIMER_NONE + 1; kind < HTTP_TIMER_KINDS; kind++) {
        struct http_timer *timer = TAILQ_FIRST(&front->timers[kind]);

        if (timer && timer->due_ms < next)
            next = timer->due_ms;
    }
    front->timer_due_ms = UINT64_MAX;
    if (next != UINT64_MAX)
        schedule(front, next, now);
}

/* --- queues --- */

void http_front_queue(struct http_connection *connection, enum http_queue queue)
{
    static const struct timeval at_once = { 0 };
    struct http_front *front = connection->front;

    if (connection->queue == HTTP_QUEUE_WORK || connection->queue == queue)
        return;
    if (connection->queue == HTTP_QUEUE_LATER)
        TAILQ_REMOVE(&front->later, connection, queue_link);
    connection->queue = queue;
    if (queue == HTTP_QUEUE_WORK) {
        if (TAILQ_EMPTY(&front->work))
            event_active(&front->work_event, EV_TIMEOUT, 0);
        TAILQ_INSERT_TAIL(&front->work, connection, queue_link);
    } else {
        if (TAILQ_EMPTY(&front->later))
            (void) event_add(&front->later_event, &at_once);
        TAILQ_INSERT_TAIL(&front->later, connection, queue_link);
    }
}

static void run_work(struct http_front *front)
{
    struct http_connection *connection;

    while ((connection = TAILQ_FIRST(&front->work))) {
        enum http_queue next;

        TAILQ_REMOVE(&front->work, connection, queue_link);
        next = http_connection_work(connection);
        connection->queue = HTTP_QUEUE_NONE;
        if (connection->state == CONNECTION_CLOSED)
            http_connection_free(connection);
        else
            http_front_queue(connection, next);
    }
    http_buffers_shed(front);
}

static void run_later(struct http_front *front)
{
    struct http_connection *connection;

    while ((connection = TAILQ_FIRST(&front->later)))
        http_front_queue(connection, HTTP_QUEUE_WORK);
}

static void on_work(evutil_socket_t fd, short what, void *front)
{
    LOOP_EVENT("front: work");

    run_work(front);
}

static void on_later(evutil_socket_t fd, short what, void *front)
{
    LOOP_EVENT("front: later");

    run_later(front);
}

static void on_timer(evutil_socket_t fd, short what, void *front)
{
    LOOP_EVENT("front: timeouts");

    run_timers(front);
}

/* --- life --- */

static void set_timer_ms(struct http_front *front)
{
    const struct http_limits *limits = &front->limits;

    front->timer_ms[HTTP_TIMER_KEEPALIVE] = limits->keepalive_ms;
    front->timer_ms[HTTP_TIMER_HEAD] = limits->header_timeout_ms;
    front->timer_ms[HTTP_TIMER_BODY] = limits->body_idle_ms;
    front->timer_ms[HTTP_TIMER_HALF] = limits->half_close_ms;
    front->timer_ms[HTTP_TIMER_WRITE] = limits->write_idle_ms;
    front->timer_ms[HTTP_TIMER_LINGER] = HTTP_LINGER_MS;
    front->timer_ms[HTTP_TIMER_LOOK] = HTTP_LOOK_MS;
    for (size_t i = 0; i < HTTP_TIMER_KINDS; i++) {
        if (front->timer_ms[i] == 0)
            front->timer_ms[i] = 1; /* run_timers needs that time passes */
    }
}

static int assign_events(struct http_front *front)
{
    struct event_base *base = front->base;

    if (event_assign(&front->work_event, base, -1, 0, on_work, front) < 0 ||
        event_assign(&front->later_event, base, -1, 0, on_later, front) < 0 ||
        event_assign(&front->timer_event, base, -1, 0, on_timer, front) < 0 ||
        event_assign(&front->accept_event, base, -1, 0, http_listener_on_shortage_over, front) < 0)
        return -EINVAL;
    return 0;
}

int http_front_new(const struct http_front_options *options, struct http_front **ret_front)
{
    _cleanup_(front_cleanup) struct http_front *front = calloc(1, sizeof(*front));
    const struct http_limits *limits = &options->limits;
    int r;

    if (!front)
        return -ENOMEM;
    (void) signal(SIGPIPE, SIG_IGN); /* evbuffer_write has no MSG_NOSIGNAL */
    LIST_INIT(&front->listeners);
    LIST_INIT(&front->connections);
    TAILQ_INIT(&front->work);
    TAILQ_INIT(&front->later);
    for (size_t i = 0; i < HTTP_TIMER_KINDS; i++)
        TAILQ_INIT(&front->timers[i]);
    front->base = options->base;
    front->ops = options->ops;
    front->handler = options->handler;
    front->n_connections_out = options->n_connections;
    front->limits = *limits;
    set_timer_ms(front);
    front->timer_due_ms = UINT64_MAX;
    front->is_accepting = true;
    front->date_second = INT64_MIN;
    r = assign_events(front);
    if (r < 0)
        return r;
    if (!(event_base_get_features(front->base) & EV_FEATURE_ET) ||
        !(event_base_get_features(front->base) & EV_FEATURE_EARLY_CLOSE))
        return -EOPNOTSUPP;
    front->fields = calloc((size_t) limits->header_count + 1, sizeof(*front->fields));
    if (!front->fields)
        return -ENOMEM;
    r = http_peers_new(limits->connections_per_ip, &front->peers);
    if (r < 0)
        return r;
    *ret_front = TAKE_PTR(front);
    return 0;
}

/* Shortens running timers. The lists stay in order: a timer that was due later than a new one is
 * due with it. */
static void shorten_timers(struct http_front *front)
{
    uint64_t now = http_front_now_ms();

    for (enum http_timer_kind kind = HTTP_TIMER_NONE + 1; kind < HTTP_TIMER_KINDS; kind++) {
        uint64_t latest = now + front->timer_ms[kind];
        struct http_timer *timer;

        TAILQ_FOREACH (timer, &front->timers[kind], link)
            if (timer->due_ms > latest)
                timer->due_ms = latest;
        timer = TAILQ_FIRST(&front->timers[kind]);
        if (timer && timer->due_ms < front->timer_due_ms)
            schedule(front, timer->due_ms, now);
    }
}

int http_front_set_limits(struct http_front *front, const struct http_limits *limits)
{
    struct http_field *fields =
        reallocarray(front->fields, (size_t) limits->header_count + 1, sizeof(*front->fields));

    if (!fields)
        return -ENOMEM;
    front->fields = fields;
    front->limits = *limits;
    http_peers_set_max(front->peers, limits->connections_per_ip);
    set_timer_ms(front);
    shorten_timers(front);
    http_listeners_resume(front);
    return 0;
}

int http_front_set_proxies(struct http_front *front, const struct address_prefix *proxies, size_t n)
{
    return http_peers_set_proxies(front->peers, proxies, n);
}

void http_front_drain(struct http_front *front, bool takes_backlog)
{
    if (front->is_draining)
        return;
    http_listeners_close(front, takes_backlog && !front->is_held);
    front->is_draining = true;
}

void http_front_close_idle(struct http_front *front)
{
    struct http_connection *connection;

    front->is_closing_idle = true;
    LIST_FOREACH (connection, &front->connections, link) {
        if (connection->state != CONNECTION_IDLE)
            continue;
        /* A request may have arrived whose event has not been looked at. */
        connection->can_read = true;
        http_front_queue(connection, HTTP_QUEUE_WORK);
    }
}

size_t http_front_connections(const struct http_front *front)
{
    return front->n_connections;
}

size_t http_front_count(const struct http_front *front, size_t *ret_idle)
{
    const struct http_connection *connection;
    size_t n_busy = 0, n_idle = 0;

    LIST_FOREACH (connection, &front->connections, link) {
        bool is_idle = connection->state == CONNECTION_IDLE;
        if (http_connection_queued(connection) > 0 ||
            (!is_idle && connection->state != CONNECTION_LINGER))
            n_busy++;
        else if (is_idle)
            n_idle++;
    }
    *ret_idle = n_idle;
    return n_busy;
}

struct http_front *http_front_free(struct http_front *front)
{
    struct http_connection *connection;

    if (!front)
        return NULL;
    if (event_initialized(&front->accept_event))
        http_listeners_close(front, false);
    while ((connection = LIST_FIRST(&front->connections)))
        http_connection_close(connection);
    while ((connection = TAILQ_FIRST(&front->work))) { /* all closed connections are on this list */
        TAILQ_REMOVE(&front->work, connection, queue_link);
        http_connection_free(connection);
    }
    assert(TAILQ_EMPTY(&front->later));
    if (event_initialized(&front->accept_event)) {
        (void) event_del(&front->work_event);
        (void) event_del(&front->later_event);
        (void) event_del(&front->timer_event);
        (void) event_del(&front->accept_event);
    }
    while (front->n_spare > 0)
        evbuffer_free(front->spare[--front->n_spare]);
    front->peers = http_peers_free(front->peers);
    free(front->fields);
    free(front);
    return NULL;
}
