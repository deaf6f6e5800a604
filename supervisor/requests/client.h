/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client that waits for the answer to a request: an exchange of the front (client.c), or a call
 * of another tenant (service.c). Only the ledger's files use this. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/http/http.h"

/* Each does the same as the function of http.h with its name. to: as in struct request_client, not
 * NULL. */
struct client_ops {
    int (*respond)(void *to, const struct http_response *response, const uint8_t *body, size_t size,
                   bool end);
    /* Both: -ECANCELED: the client is gone, for a reason of its own. Another error of send_body: it is gone, too. */
    int (*send_body)(void *to, const uint8_t *data, size_t size, bool end);
    /* request_id: the public one. The client is gone. */
    void (*fail)(void *to, enum error_code code, unsigned retry_after_s, uint64_t request_id);
    void (*grant)(void *to, size_t bytes);
    bool (*awaits_body)(const void *to);
    bool (*is_head_sent)(const void *to);
    size_t (*queued)(const void *to);
    /* NULL: answers show no times. */
    void (*set_timing)(void *to, uint64_t queue_us, uint64_t total_us, bool is_cold);
    /* Requests with the same key share the tenant's places and queue with the others, see share.h;
     * 0: no key. */
    uint64_t (*key)(const void *to);
    /* Both NULL: the client is never slow. */
    bool (*is_slow)(const void *to);
    void (*note_slow)(void *to);
    bool is_caller; /* the key is the number of a tenant; else `to` is an exchange */
};

struct request_client {
    const struct client_ops *ops; /* static */
    void *to;                     /* borrowed; NULL: the client has its answer, or is gone */
};

static inline bool client_is_slow(const struct request_client *client)
{
    return client->ops->is_slow && client->ops->is_slow(client->to);
}

struct request_client client_of_exchange(struct http_exchange *exchange);
