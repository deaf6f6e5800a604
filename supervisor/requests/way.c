/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes places away from requests that wait for a slow client, when all places of a tenant are
 * taken, or its isolate is full of answers that wait, and others wait. Supervisor, loop thread.
 */
#include "common/io.h"
#include "supervisor/requests/access.h"
#include "supervisor/requests/internal.h"

/* A client is slow if the tenant has waited for it this long in all, with fewer bytes than this
 * meanwhile. */
#define PATIENCE_MS 1000
#define SLOW_BYTES_PER_S 16384
#define LOOK_AGAIN_MS 100

uint64_t ledger_moved(const struct request *request)
{
    return request->body_total + request->response_total -
           request->client.ops->queued(request->client.to);
}

static bool is_slow(const struct request *request, uint64_t now)
{
    if (request->client_since_ns == 0)
        return false;
    /* `now` is the time of a look at many requests, during which the wait may have begun. */
    uint64_t waits_ns = now > request->client_since_ns ? now - request->client_since_ns : 0;
    uint64_t waited_ms = (request->client_ns + waits_ns) / NSEC_PER_MSEC;
    return waited_ms >= PATIENCE_MS &&
           ledger_moved(request) < request->client_moved + waited_ms * SLOW_BYTES_PER_S / 1000;
}

void ledger_note_slow(struct request *request, uint64_t now)
{
    if (request->is_client_slow || !is_slow(request, now))
        return;
    request->is_client_slow = true;
    share_note_slow(request);
}

static void give_up(struct request *request)
{
    struct request_client client = request->client;

    if (client.ops->is_head_sent(client.to)) {
        access_log_gone(request, "client_slow");
        stats_count_abandoned(&request->attempt.tenant->counted);
        request->client.to = NULL;
        client.ops->fail(client.to, ERROR_REQUEST_TIMEOUT, 0, 0);
    } else {
        ledger_answer_failure(request, ERROR_REQUEST_TIMEOUT, 0);
    }
    ledger_cancel(request, LINK_CANCEL_CLIENT_GONE);
}

void ledger_make_way(struct tenant *tenant, uint64_t now)
{
    struct tenant_books *books = &tenant->books;
    struct request *request, *next;
    unsigned wanted = tenant->n_queued;

    bool has_place = tenant->n_in_flight < tenant->version->limits.concurrency &&
                     share_next(tenant) && !books->waits_for_clients;

    if (wanted == 0 || has_place || now < books->way_made_ns + LOOK_AGAIN_MS * NSEC_PER_MSEC)
        return;
    books->way_made_ns = now;
    for (request = TAILQ_FIRST(&ledger_of_tenant(tenant)->active); request && wanted > 0;
         request = next) {
        next = TAILQ_NEXT(request, entry);
        if (request->attempt.tenant != tenant || !is_slow(request, now))
            continue;
        give_up(request);
        wanted--;
    }
}
