/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/memory_share.h"

#define PERCENT 100

/* Returns the claim, but never more than the sum, so that additions do not overflow. */
static uint64_t bounded_kib(const struct memory_sum *sum, const struct memory_share *share)
{
    return share->held_kib < sum->used_kib ? share->held_kib : sum->used_kib;
}

/* Returns the part of used_kib that the accounts do not explain. */
static uint64_t memory_share_unexplained_kib(const struct memory_sum *sum,
                                             const struct memory_share *shares, size_t n)
{
    uint64_t explained = sum->base_kib;

    for (size_t i = 0; i < n; i++)
        explained += bounded_kib(sum, &shares[i]);
    return sum->used_kib > explained ? sum->used_kib - explained : 0;
}

/* Returns how far the isolate is over its bound; 0: it is not. */
static uint64_t excess_kib(const struct memory_share *share)
{
    if (share->limit_kib > UINT64_MAX - MEMORY_SLACK_KIB)
        return 0;
    uint64_t most = share->limit_kib + MEMORY_SLACK_KIB;
    return share->held_kib > most ? share->held_kib - most : 0;
}

/* Returns whether the worker would have died of this isolate alone. */
static bool is_too_much_alone(const struct memory_sum *sum, const struct memory_share *share)
{
    return sum->base_kib + bounded_kib(sum, share) >=
           sum->limit_kib / PERCENT * (PERCENT - MEMORY_UNEXPLAINED_PERCENT);
}

void memory_share_find(const struct memory_sum *sum, const struct memory_share *shares, size_t n,
                       struct memory_finding *ret_finding)
{
    struct memory_finding finding = {
        .unexplained_kib = memory_share_unexplained_kib(sum, shares, n),
    };
    const struct memory_share *most = NULL;

    finding.is_explained =
        finding.unexplained_kib * PERCENT <= sum->used_kib * MEMORY_UNEXPLAINED_PERCENT;
    for (size_t i = 0; finding.is_explained && i < n; i++) {
        uint64_t excess = excess_kib(&shares[i]);
        if (excess > 0 && (!most || excess > excess_kib(most)))
            most = &shares[i];
    }
    for (size_t i = 0; finding.is_explained && !most && i < n; i++)
        if (is_too_much_alone(sum, &shares[i]))
            most = &shares[i];
    if (most)
        finding.version = most->version;
    *ret_finding = finding;
}
