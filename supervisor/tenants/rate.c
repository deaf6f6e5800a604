/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenants/rate.h"

#include "common/io.h"

/* Beyond these bounds the result is the same, and products below stay within 64 bits. */
#define ELAPSED_MAX_NS (100000 * NSEC_PER_SEC)
#define DEBT_MAX_NS INT64_C(4000000000000000)

void rate_refill(struct rate *rate, uint32_t ms_per_s, uint64_t now_ns)
{
    int64_t burst_ns = (int64_t) (ms_per_s * NSEC_PER_MSEC);
    uint64_t elapsed_ns = now_ns > rate->at_ns ? now_ns - rate->at_ns : 0;

    if (elapsed_ns > ELAPSED_MAX_NS)
        elapsed_ns = ELAPSED_MAX_NS;
    if (rate->at_ns == 0)
        rate->left_ns = burst_ns;
    else
        rate->left_ns += (int64_t) (elapsed_ns * ms_per_s / 1000);
    if (rate->left_ns > burst_ns)
        rate->left_ns = burst_ns;
    if (now_ns > rate->at_ns)
        rate->at_ns = now_ns;
}

void rate_charge(struct rate *rate, uint64_t used_ns)
{
    rate->left_ns -= used_ns < DEBT_MAX_NS ? (int64_t) used_ns : DEBT_MAX_NS;
    if (rate->left_ns < -DEBT_MAX_NS)
        rate->left_ns = -DEBT_MAX_NS;
}

uint64_t rate_wait_ns(const struct rate *rate, uint32_t ms_per_s)
{
    return rate->left_ns > 0 ? 0 : (uint64_t) (1 - rate->left_ns) * 1000 / ms_per_s + 1;
}
