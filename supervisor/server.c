/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/server.h"

#include "common/log.h"
#include "supervisor/http/http.h"
#include "supervisor/ledger/ledger.h"

#define STOP_TIMEOUT_S 10

static void on_flush_tick(evutil_socket_t fd, short what, void *arg);

static void on_stop_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;

    (void) fd;
    (void) what;
    log_warning("requests or answers are still on their way after %d s: cut off", STOP_TIMEOUT_S);
    (void) event_base_loopbreak(server->base);
}

/* The answers are queued: ends when the clients have taken them. */
static void end_when_flushed(struct server *server)
{
    static const struct timeval soon = { .tv_usec = 10000 };

    if (http_front_has_output(server->front))
        (void) event_base_once(server->base, -1, EV_TIMEOUT, on_flush_tick, server, &soon);
    else
        (void) event_base_loopexit(server->base, &soon);
}

static void on_flush_tick(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    end_when_flushed(arg);
}

void server_on_idle(struct server *server)
{
    if (server->is_ending)
        return;
    server->is_ending = true;
    end_when_flushed(server);
}

void server_stop(struct server *server)
{
    static const struct timeval patience = { .tv_sec = STOP_TIMEOUT_S };

    if (server->is_draining) {
        (void) event_base_loopbreak(server->base);
        return;
    }
    server->is_draining = true;
    log_info("stopping");
    http_front_drain(server->front);
    if (server->ledger->in_workers == 0 && server->ledger->queued == 0)
        server_on_idle(server);
    (void) event_base_once(server->base, -1, EV_TIMEOUT, on_stop_timeout, server, &patience);
}
