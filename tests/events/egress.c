/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/egress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "egress/program.h"
#include "proto/frame.h"
#include "supervisor/helpers/egress.h"
#include "tests/events/asks.h"

struct egress_fetch {
    TAILQ_ENTRY(egress_fetch) entry;
    const struct egress_ops *ops;
    void *owner;
    uint64_t tenant;
    uint32_t number; /* number of the ask */
    uint64_t got;    /* bytes of the body that have come, */
    uint32_t window; /* and that may still come */
    bool is_body_over, has_head;
    uint64_t sent;   /* bytes of the answer */
    uint32_t credit; /* bytes of it that may still be sent */
};

static struct {
    TAILQ_HEAD(, egress_fetch) fetches;
    unsigned n_fetches;
    bool is_lost, is_behind, is_refusing;
    void (*on_room)(void *owner);
    void *owner;
} played;

/* ---- what skepd asks */

int __wrap_egress_open(struct egress *egress, const struct egress_request *request,
                       const struct egress_ops *ops, void *owner, struct egress_fetch **ret_fetch);
void __wrap_egress_send_body(struct egress_fetch *fetch, const uint8_t *data, size_t size,
                             bool is_end);
void __wrap_egress_give_credit(struct egress_fetch *fetch, uint32_t bytes);
void __wrap_egress_cancel(struct egress_fetch *fetch);
void __wrap_egress_forget(struct egress *egress, uint64_t tenant);
void __wrap_egress_on_room(struct egress *egress, void (*on_room)(void *owner), void *owner);
bool __wrap_egress_is_ready(const struct egress *egress);

static unsigned count(uint64_t tenant)
{
    const struct egress_fetch *fetch;
    unsigned n = 0;

    TAILQ_FOREACH (fetch, &played.fetches, entry)
        n += fetch->tenant == tenant;
    return n;
}

int __wrap_egress_open(struct egress *egress, const struct egress_request *request,
                       const struct egress_ops *ops, void *owner, struct egress_fetch **ret_fetch)
{
    char path[32];

    (void) egress;
    if (played.is_lost)
        return -EPIPE;
    if (played.is_behind) {
        played.is_refusing = true;
        return -EAGAIN;
    }
    HOLD(request->path.size < sizeof path && request->credit <= EGRESS_CREDIT_MAX_BYTES);
    (void) snprintf(path, sizeof path, "%.*s", (int) request->path.size, request->path.data);
    struct egress_fetch *fetch = calloc(1, sizeof *fetch);
    HOLD(fetch);
    *fetch = (struct egress_fetch){
        .ops = ops,
        .owner = owner,
        .tenant = request->tenant,
        .number = (uint32_t) strtoul(path + 1, NULL, 10),
        .window = request->has_body ? EGRESS_WINDOW_BYTES : 0,
        .is_body_over = !request->has_body,
        .credit = request->credit,
    };
    HOLD(ask_find(fetch->number) && !ask_find(fetch->number)->has_run);
    ask_find(fetch->number)->has_run = true;
    TAILQ_INSERT_TAIL(&played.fetches, fetch, entry);
    played.n_fetches++;
    HOLD(count(request->tenant) <= EGRESS_TENANT_FETCHES_MAX);
    *ret_fetch = fetch;
    return 0;
}

void __wrap_egress_send_body(struct egress_fetch *fetch, const uint8_t *data, size_t size,
                             bool is_end)
{
    HOLD(!fetch->is_body_over && size <= fetch->window && (size > 0 || is_end));
    if (!ask_is_body(fetch->number, fetch->got, data, size))
        events_fail("fetch %u got other bytes than its worker sent", fetch->number);
    fetch->got += size;
    fetch->window -= (uint32_t) size;
    fetch->is_body_over = is_end;
}

void __wrap_egress_give_credit(struct egress_fetch *fetch, uint32_t bytes)
{
    HOLD(bytes <= EGRESS_CREDIT_MAX_BYTES - fetch->credit);
    fetch->credit += bytes;
}

static void fetch_free(struct egress_fetch *fetch)
{
    TAILQ_REMOVE(&played.fetches, fetch, entry);
    played.n_fetches--;
    free(fetch);
}

void __wrap_egress_cancel(struct egress_fetch *fetch)
{
    fetch_free(fetch);
}

void __wrap_egress_forget(struct egress *egress, uint64_t tenant)
{
    (void) egress;
    HOLD(tenant > 0);
}

void __wrap_egress_on_room(struct egress *egress, void (*on_room)(void *owner), void *owner)
{
    (void) egress;
    played.on_room = on_room;
    played.owner = owner;
}

bool __wrap_egress_is_ready(const struct egress *egress)
{
    (void) egress;
    return !played.is_lost;
}

/* ---- what it does */

struct egress *egress_reset(void)
{
    memset(&played, 0, sizeof played);
    TAILQ_INIT(&played.fetches);
    return (struct egress *) (void *) &played; /* only the wrapped functions see it */
}

static void send_head(struct egress_fetch *fetch)
{
    uint8_t packed[64];
    char token[16];
    struct head_writer writer = head_write(packed, 2);
    struct egress_answer answer = { .status = 200, .version = 11 };

    (void) snprintf(token, sizeof token, "%u", fetch->number);
    size_t size = head_table_bytes(2) + strlen("x-token") + strlen(token);
    (void) head_add(&writer, "x-token", strlen("x-token"));
    (void) head_add(&writer, token, strlen(token));
    HOLD(head_open(packed, size, 0, 1, &answer.fields) == 0);
    fetch->has_head = true;
    fetch->ops->on_head(fetch->owner, &answer);
}

static void send_body(struct egress_fetch *fetch, uint32_t bytes)
{
    static uint8_t data[BODY_CHUNK_MAX_BYTES];
    uint32_t part = bytes < fetch->credit ? bytes : fetch->credit;

    part = part < sizeof data ? part : (uint32_t) sizeof data;
    if (part == 0)
        return;
    ask_fill(fetch->number, fetch->sent, data, part);
    fetch->sent += part;
    fetch->credit -= part;
    ask_find(fetch->number)->answered_bytes = fetch->sent;
    fetch->ops->on_body(fetch->owner, data, part);
}

static void take_body(struct egress_fetch *fetch)
{
    uint32_t taken = EGRESS_WINDOW_BYTES - fetch->window;

    if (fetch->is_body_over || taken == 0)
        return;
    fetch->window += taken;
    fetch->ops->on_credit(fetch->owner, taken);
}

static void end(struct egress_fetch *fetch, enum egress_end why)
{
    static const char text[] = "a reason";
    const struct egress_result result = {
        .end = why,
        .text = { text, why == EGRESS_COMPLETE ? 0 : sizeof text - 1 },
    };
    const struct egress_ops *ops = fetch->ops;
    void *owner = fetch->owner;

    ask_find(fetch->number)->is_ended = why == EGRESS_COMPLETE;
    ask_find(fetch->number)->answered_bytes = fetch->sent;
    fetch_free(fetch);
    ops->on_end(owner, &result);
}

void egress_speak(uint32_t n, uint32_t what, uint32_t bytes)
{
    struct egress_fetch *fetch = TAILQ_FIRST(&played.fetches);

    if (!fetch)
        return;
    for (n %= played.n_fetches; n > 0; n--)
        fetch = TAILQ_NEXT(fetch, entry);
    if (what % 8 == 0)
        end(fetch, EGRESS_NAME + what / 8 % (EGRESS_LOST - EGRESS_NAME));
    else if (what % 8 == 1)
        take_body(fetch);
    else if (!fetch->has_head)
        send_head(fetch);
    else if (what % 8 < 6)
        send_body(fetch, bytes);
    else
        end(fetch, EGRESS_COMPLETE);
}

static void offer_room(void)
{
    if (played.is_refusing && !played.is_lost && !played.is_behind && played.on_room) {
        played.is_refusing = false;
        played.on_room(played.owner);
    }
}

void egress_hang_or_go_on(void)
{
    played.is_behind = !played.is_behind;
    offer_room();
}

void egress_die_or_return(void)
{
    struct egress_fetch *fetch;

    played.is_lost = !played.is_lost;
    played.is_refusing = true;
    while (played.is_lost && (fetch = TAILQ_FIRST(&played.fetches)))
        end(fetch, EGRESS_LOST);
    offer_room();
}

unsigned egress_count_open(void)
{
    return played.n_fetches;
}
