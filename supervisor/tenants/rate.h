/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket of CPU time: it fills with so many milliseconds in each second, holds what one
 * second brings, and what is used may put it into debt. Pure: the caller brings the time.
 */
#pragma once

#include <stdint.h>

/* All zero: full at the first refill. */
struct rate {
    int64_t left_ns; /* below zero: in debt */
    uint64_t at_ns;  /* of the last refill; 0: never */
};

/* now_ns: a monotonic clock; a time before the last one counts as none. */
void rate_refill(struct rate *rate, uint32_t ms_per_s, uint64_t now_ns);
void rate_charge(struct rate *rate, uint64_t used_ns);
/* From the last refill until there is something again; 0 if there is. */
uint64_t rate_wait_ns(const struct rate *rate, uint32_t ms_per_s);
