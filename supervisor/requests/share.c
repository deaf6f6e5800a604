/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/share.h"

#include <errno.h>
#include <stdlib.h>

#include "common/io.h"

#define SLOW_NS (10 * NSEC_PER_SEC)
/* Part of the places that is kept for addresses without known slow clients. */
#define KEPT_SHARE 4
/* Part of the places and of the queue that all calling tenants together may have: HTTP clients always find the rest. */
#define CALLERS_PERCENT 75

struct share {
    LIST_ENTRY(share) in_table;
    TAILQ_ENTRY(share) waiting; /* in the tenant's books, if the share's queue is not empty */
    struct tenant *tenant;      /* borrowed */
    uint64_t client;            /* 0: a client without an address, which has no share */
    bool is_caller;             /* client is the number of a tenant */
    struct request_list queue;
    uint64_t slow_until_ns; /* time until which it is known for slow clients */
    unsigned n_queued;
    unsigned n_placed;   /* in workers */
    unsigned n_requests; /* in all */
};

static struct share_table *find_bucket(const struct tenant *tenant, uint64_t client)
{
    uint64_t hash = client ^ tenant->number * UINT64_C(0x9e3779b97f4a7c15);

    return &ledger_of_tenant(tenant)->shares[(hash ^ hash >> 32) % LEDGER_SHARE_BUCKETS];
}

static struct share *find_key(const struct tenant *tenant, uint64_t client, bool is_caller)
{
    struct share *share;

    LIST_FOREACH (share, find_bucket(tenant, client), in_table)
        if (share->tenant == tenant && share->client == client && share->is_caller == is_caller)
            return share;
    return NULL;
}

static struct share *find(const struct tenant *tenant, const struct request_client *client)
{
    return find_key(tenant, client->ops->key(client->to), client->ops->is_caller);
}

static struct share_list *waiting_of(struct tenant *tenant)
{
    struct share_list *list = &tenant->books.shares;

    if (!list->tqh_last) /* new books are all zero */
        TAILQ_INIT(list);
    return list;
}

int share_enter(struct request *request)
{
    struct tenant *tenant = request->attempt.tenant;
    const struct request_client *client = &request->client;
    struct share *share = find(tenant, client);

    if (!share) {
        share = calloc(1, sizeof *share);
        if (!share)
            return -ENOMEM;
        share->tenant = tenant;
        share->client = client->ops->key(client->to);
        share->is_caller = client->ops->is_caller;
        TAILQ_INIT(&share->queue);
        LIST_INSERT_HEAD(find_bucket(tenant, share->client), share, in_table);
        tenant->books.n_shares++;
    }
    share->n_requests++;
    request->share = share;
    if (client_is_slow(client))
        share->slow_until_ns = io_now_ns() + SLOW_NS;
    return 0;
}

void share_note_slow(struct request *request)
{
    request->share->slow_until_ns = io_now_ns() + SLOW_NS;
    if (request->client.ops->note_slow)
        request->client.ops->note_slow(request->client.to);
}

static bool is_slow(const struct share *share)
{
    return share->client != 0 && share->slow_until_ns != 0 && io_now_ns() < share->slow_until_ns;
}

void share_leave(struct request *request)
{
    struct share *share = request->share;

    request->share = NULL;
    if (!share || --share->n_requests > 0)
        return;
    share->tenant->books.n_shares--;
    LIST_REMOVE(share, in_table);
    free(share);
}

void share_enqueue(struct request *request, bool at_head)
{
    struct share *share = request->share;
    struct share_list *waiting = waiting_of(request->attempt.tenant);

    request->attempt.tenant->books.n_calls_queued += share->is_caller;
    if (share->n_queued++ > 0 && at_head)
        TAILQ_REMOVE(waiting, share, waiting);
    if (at_head)
        TAILQ_INSERT_HEAD(waiting, share, waiting);
    else if (share->n_queued == 1)
        TAILQ_INSERT_TAIL(waiting, share, waiting);
    if (at_head)
        TAILQ_INSERT_HEAD(&share->queue, request, in_share);
    else
        TAILQ_INSERT_TAIL(&share->queue, request, in_share);
}

void share_dequeue(struct request *request)
{
    struct share *share = request->share;
    struct share_list *waiting = waiting_of(request->attempt.tenant);

    request->attempt.tenant->books.n_calls_queued -= share->is_caller;
    TAILQ_REMOVE(&share->queue, request, in_share);
    TAILQ_REMOVE(waiting, share, waiting);
    if (--share->n_queued > 0)
        TAILQ_INSERT_TAIL(waiting, share, waiting);
}

void share_take_place(struct request *request)
{
    request->share->n_placed++;
    request->share->tenant->books.n_calls_placed += request->share->is_caller;
}

void share_give_place(struct request *request)
{
    request->share->n_placed--;
    request->share->tenant->books.n_calls_placed -= request->share->is_caller;
}

/* Returns the part, at least 1. */
static uint64_t part(uint64_t all, unsigned percent)
{
    return all * percent < 100 ? 1 : all * percent / 100;
}

/* Returns one caller's part. */
static uint64_t part_of_one(const struct tenant *tenant, uint64_t all)
{
    return part(all, tenant->version->cordon->caller_percent);
}

bool share_is_full(const struct tenant *tenant, const struct request_client *client)
{
    const struct limits *limits = &tenant->version->limits;
    const struct tenant_books *books = &tenant->books;
    const struct share *share = client->ops->is_caller ? find(tenant, client) : NULL;

    if (!client->ops->is_caller || limits->concurrency == LIMIT_UNLIMITED)
        return false;
    return books->n_calls_placed + books->n_calls_queued >=
               part(limits->concurrency, CALLERS_PERCENT) + part(limits->queue, CALLERS_PERCENT) ||
           (share && share->n_placed + share->n_queued >= part_of_one(tenant, limits->concurrency) +
                                                              part_of_one(tenant, limits->queue));
}

/* Returns whether the share may have another place. Alone, an address may have all places; a tenant
 * that calls may not. */
static bool may_have_place(const struct share *share)
{
    const struct tenant *tenant = share->tenant;
    uint64_t concurrency = tenant->version->limits.concurrency;
    uint64_t most = concurrency * tenant->tenants->config->http.share_percent / 100;

    if (concurrency == LIMIT_UNLIMITED || share->client == 0)
        return true;
    if (share->is_caller)
        return share->n_placed < part_of_one(tenant, concurrency) &&
               tenant->books.n_calls_placed < part(concurrency, CALLERS_PERCENT);
    if (is_slow(share) && concurrency >= KEPT_SHARE &&
        tenant->n_in_flight >= concurrency - concurrency / KEPT_SHARE)
        return false;
    return tenant->books.n_shares < 2 || share->n_placed < (most > 0 ? most : 1);
}

struct request *share_next(const struct tenant *tenant)
{
    const struct share *share;

    if (TAILQ_EMPTY(&tenant->queue))
        return NULL;
    TAILQ_FOREACH (share, &tenant->books.shares, waiting)
        if (may_have_place(share))
            return TAILQ_FIRST(&share->queue);
    return NULL;
}

struct request *share_find_excess(const struct tenant *tenant, const struct request_client *client)
{
    const struct share *share, *mine = find(tenant, client), *most = NULL;

    if (TAILQ_EMPTY(&tenant->queue))
        return NULL;
    if (!client_is_slow(client))
        TAILQ_FOREACH (share, &tenant->books.shares, waiting)
            if (is_slow(share))
                return TAILQ_LAST(&share->queue, request_list);
    TAILQ_FOREACH (share, &tenant->books.shares, waiting)
        if (share->client != 0 && (!most || share->n_queued > most->n_queued))
            most = share;
    if (!most || most == mine || most->n_queued <= (mine ? mine->n_queued : 0) + 1)
        return NULL;
    return TAILQ_LAST(&most->queue, request_list);
}
