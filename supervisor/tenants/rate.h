/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket of CPU time: it fills by a number of milliseconds in each second, holds those of
 * one second, and use may put it into debt. Pure: the caller brings the time.
 */
#pragma once

#include <stdint.h>

/* All zero: full at the first refill. */
struct rate {
    int64_t left_ns; /* below zero: in debt */
    uint64_t at_ns;  /* time of the last refill; 0: never */
};

/* now_ns: a monotonic clock; a step back counts as no time. */
void rate_refill(struct rate *rate, uint32_t ms_per_s, uint64_t now_ns);
void rate_charge(struct rate *rate, uint64_t used_ns);
/* Returns the time from the last refill until the bucket has some time again; 0 if it has. */
uint64_t rate_wait_ns(const struct rate *rate, uint32_t ms_per_s);
