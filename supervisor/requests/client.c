/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of the front. Supervisor, loop thread.
 */
#include "supervisor/requests/client.h"

static int respond(void *to, const struct http_response *response, const uint8_t *body, size_t size,
                   bool end)
{
    return http_respond(to, response, body, size, end);
}

static int send_body(void *to, const uint8_t *data, size_t size, bool end)
{
    return http_send_body(to, data, size, end);
}

static void fail(void *to, enum error_code code, unsigned retry_after_s, uint64_t request_id)
{
    http_set_request_id(to, request_id);
    http_fail(to, code, retry_after_s);
}

static void grant(void *to, size_t bytes)
{
    http_grant(to, bytes);
}

static bool awaits_body(const void *to)
{
    return http_awaits_body(to);
}

static bool is_head_sent(const void *to)
{
    return http_head_sent(to);
}

static size_t queued(const void *to)
{
    return http_queued_bytes(to);
}

static void set_timing(void *to, uint64_t queue_us, uint64_t total_us, bool is_cold)
{
    http_set_timing(to, queue_us, total_us, is_cold);
}

static uint64_t key(const void *to)
{
    return http_client_key(to);
}

static bool is_slow(const void *to)
{
    return http_client_is_slow(to);
}

static void note_slow(void *to)
{
    http_client_note_slow(to);
}

static const struct client_ops exchange_ops = {
    .respond = respond,
    .send_body = send_body,
    .fail = fail,
    .grant = grant,
    .awaits_body = awaits_body,
    .is_head_sent = is_head_sent,
    .queued = queued,
    .set_timing = set_timing,
    .key = key,
    .is_slow = is_slow,
    .note_slow = note_slow,
};

struct request_client client_of_exchange(struct http_exchange *exchange)
{
    return (struct request_client){ &exchange_ops, exchange };
}
