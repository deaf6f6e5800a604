/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Caps of the HTTP front that clients meet: each time is counted, and logged at most once in
 * SAY_AGAIN_NS for each cap, so that an attack is seen and does not fill the log. Supervisor, loop
 * thread.
 */
#include <inttypes.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/http/internal.h"

#define SAY_AGAIN_NS (10 * NSEC_PER_SEC)

static const struct {
    const char *name;
    const char *text; /* with the limit and its figure in front */
} caps[HTTP_CAPS] = {
    [HTTP_CAP_CONNECTIONS] = { "http.connections",
                               "all connections are taken, and none can give way: new ones wait" },
    [HTTP_CAP_IDLE] = { "http.connections",
                        "all connections are taken: the one longest without a request gave way" },
    [HTTP_CAP_ADDRESS] = { "http.connections_per_ip",
                           "an address has so many connections: one more was refused with 503" },
    [HTTP_CAP_DESCRIPTORS] = { "RLIMIT_NOFILE",
                               "no descriptor or memory for another connection: accepting pauses" },
    [HTTP_CAP_BUFFERS] = { "http.buffer_mib",
                           "buffers for clients are full: one of the slowest was cut off" },
};

static uint32_t cap_limit(const struct http_front *front, enum http_cap cap)
{
    switch (cap) {
    case HTTP_CAP_CONNECTIONS:
    case HTTP_CAP_IDLE:
        return front->limits.connections;
    case HTTP_CAP_ADDRESS:
        return front->limits.connections_per_ip;
    case HTTP_CAP_BUFFERS:
        return (uint32_t) (front->limits.buffer_bytes >> 20);
    default:
        return 0;
    }
}

void http_cap_met(struct http_front *front, enum http_cap cap, const char *client)
{
    struct http_cap_state *state = &front->caps[cap];
    uint32_t limit = cap_limit(front, cap);
    uint64_t left_out;
    char figure[32] = "";

    state->met++;
    if (!log_gate_pass(&state->gate, io_now_ns(), SAY_AGAIN_NS, &left_out))
        return;
    if (limit > 0)
        (void) snprintf(figure, sizeof(figure), " is %" PRIu32, limit);
    log_warning("%s%s: %s; client %s; %" PRIu64 " times since the last such line", caps[cap].name,
                figure, caps[cap].text, client, left_out + 1);
}

uint64_t http_front_cap_count(const struct http_front *front, enum http_cap cap)
{
    return front->caps[cap].met;
}
