/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/server.h"

#include "common/log.h"
#include "supervisor/http.h"
#include "supervisor/ledger.h"

#define STOP_TIMEOUT_S 10

static void on_stop_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;

    (void) fd;
    (void) what;
    log_warning("requests are still in flight after %d s: cut off", STOP_TIMEOUT_S);
    (void) event_base_loopbreak(server->base);
}

void server_on_idle(struct server *server)
{
    /* The answers are queued: one more turn of the loop lets them out. */
    static const struct timeval soon = { .tv_usec = 10000 };

    (void) event_base_loopexit(server->base, &soon);
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
    else
        (void) event_base_once(server->base, -1, EV_TIMEOUT, on_stop_timeout, server, &patience);
}
