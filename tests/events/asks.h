/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model's record of each request of a client, and of how it may still end. A request's number
 * is its path, and each byte of its bodies is computed from the number and the byte's place, so
 * that the test sees any byte that reaches another request than its own.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASKS_MAX 8192

struct ask {
    bool is_safe;     /* idempotent: may run twice */
    bool is_answered; /* the client has a whole answer */
    bool is_over;     /* nothing more can come: it is answered, cut off, or its client has left */
    bool has_run;     /* JavaScript of it has begun in a worker */
    bool may_be_cut;  /* the worker broke the answer off, or died, or was told to cancel */
    bool is_ended;    /* a worker has sent the last byte of the answer */
    unsigned sendings;
    uint64_t answered_bytes; /* bytes of the body that the last worker has sent */
};

void asks_reset(void);
/* Returns the number of a new ask; 0: there are too many. */
uint32_t ask_new(bool is_safe);
/* Returns NULL if there is no such number. */
struct ask *ask_find(uint64_t number);

/* Fills data with the bytes at that place of the body of an ask. */
void ask_fill(uint32_t number, uint64_t at, uint8_t *data, size_t size);
bool ask_is_body(uint32_t number, uint64_t at, const uint8_t *data, size_t size);

/* Ends the run: an invariant does not hold. */
_Noreturn void events_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define HOLD(condition)                                                            \
    do {                                                                           \
        if (!(condition))                                                          \
            events_fail("%s:%d: not so: %s", __FILE_NAME__, __LINE__, #condition); \
    } while (0)
