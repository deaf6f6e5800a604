/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a process that has failed waits before it is started again. Pure.
 */
#pragma once

#include <stdint.h>

/* Returns the milliseconds to wait after that many failures in 30 s: 0 after fewer than 5, then
 * 100, doubled each time up to 30000, and up to a quarter more by random, so that processes that
 * failed together do not return together. */
uint64_t backoff_ms(unsigned failures, uint32_t random);

/* Failures in a row, as the caller keeps them. */
struct backoff {
    unsigned failures;
    uint64_t since_ns; /* time of the first failure; of the last one, once the process waits */
};

/* Notes a failure. Forgets the failures before it if they are longer than 30 s ago, the wait not
 * counted. */
void backoff_note(struct backoff *backoff, uint64_t now_ns);
