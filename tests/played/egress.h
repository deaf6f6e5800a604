/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skep-egress without a process, for tests of fetches: it notes what it is asked, and does what the test says. skepd's
 * side of it (supervisor/helpers/egress.c) is the real one; the linker puts this in place of the kit of helpers: link with
 * --wrap=helper_new,--wrap=helper_free,--wrap=helper_listen,--wrap=helper_send_frame,--wrap=helper_lose,
 * --wrap=helper_is_ready,--wrap=helper_is_congested,--wrap=helper_queued_bytes.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "egress.pb-c.h"

struct egress;

#define PLAYED_FETCHES_MAX 4200

struct played_fetch {
    uint64_t id, tenant;
    char method[16], host[64], path[64];
    uint32_t port;
    bool is_https, has_body, has_length;
    uint64_t length;
    size_t n_fields, n_named;
    uint64_t credit; /* bytes of the answer that may still come */
    uint64_t body_bytes, answer_bytes;
    bool is_body_ended, is_cancelled, is_done;
};

/* Starts anew: an egress that is there. The test frees it with egress_free. */
struct egress *played_egress(struct event_base *base);
/* The number of all fetches so far, and of those that are neither done nor cancelled. */
unsigned played_fetches(void);
unsigned played_fetches_open(void);
/* Fetch number i, in the order in which they were opened. */
const struct played_fetch *played_fetch(unsigned i);
/* The number of Forget frames so far. */
unsigned played_forgets(void);

/* Each is a frame about fetch number i. */
void played_head(unsigned i, unsigned status, const char *name, const char *value);
void played_body(unsigned i, size_t size);
void played_credit(unsigned i, uint32_t bytes);
void played_done(unsigned i, Skep__Egress__Failure failure, const char *text);
/* Ends the fetches that were cancelled, as egress does at once. */
void played_end_cancelled(void);
/* The process does not read; and has read all. */
void played_egress_hangs(void);
void played_egress_reads(void);
/* The process ends with all that it was asked; and is there again. */
void played_egress_dies(void);
void played_egress_returns(void);
