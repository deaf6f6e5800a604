/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/first_credit.h"

#include <string.h>

#include "common/io.h"
#include "supervisor/placement/placement.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/workers/slot.h"

#define EVERY_NS (60 * NSEC_PER_SEC)
/* The credit where cpu_startup_ms is unlimited: the largest number that it can be. */
#define UNLIMITED_MS 60000
/* Only the first of several tenants that spin at once gets a worker to itself for it; the others have cpu_ms, in which
 * they are found one after the other. */
#define BARRED_NS (5 * NSEC_PER_SEC)

bool first_credit_is_due(const struct first_credit *credit, pid_t pid, uint64_t now_ns)
{
    if (credit->given_ns == 0 || now_ns - credit->given_ns >= EVERY_NS)
        return true;
    return pid != credit->pid && !credit->is_forfeited;
}

uint32_t first_credit_begin(struct placement *placement)
{
    const struct version *version = placement->version;
    uint32_t startup_ms = version->limits.cpu_startup_ms;

    placement->first_credit_us = 0;
    if (!version->cordon->first_credit ||
        !first_credit_is_due(&version->first_credit, placement->worker->pid, io_now_ns()))
        return 0;
    if (startup_ms > UNLIMITED_MS)
        startup_ms = UNLIMITED_MS;
    placement->first_credit_us = startup_ms * (uint32_t) USEC_PER_MSEC;
    return placement->first_credit_us;
}

static void take(struct placement *placement, uint64_t used_us)
{
    placement->first_credit_us -=
        used_us < placement->first_credit_us ? (uint32_t) used_us : placement->first_credit_us;
}

void first_credit_on_loaded(struct placement *placement, uint64_t load_us)
{
    struct first_credit *credit = &placement->version->first_credit;

    if (placement->first_credit_us == 0)
        return;
    *credit = (struct first_credit){ .given_ns = io_now_ns(), .pid = placement->worker->pid };
    take(placement, load_us);
}

void first_credit_on_done(struct placement *placement, uint64_t used_us)
{
    placement->has_used_credit = placement->has_used_credit || used_us > 0;
    take(placement, used_us);
}

uint64_t first_credit_barred_until_ns(const struct worker *worker)
{
    const struct slot *slot = worker->slot;

    return slot && slot->last_retired && strcmp(slot->last_retired, SECLUDE_HELD_UP) == 0
               ? slot->last_retired_ns + BARRED_NS
               : 0;
}

void first_credit_on_stop(const struct placement *placement)
{
    struct first_credit *credit = &placement->version->first_credit;

    if (!placement->has_used_credit &&
        io_now_ns() < first_credit_barred_until_ns(placement->worker))
        *credit = (struct first_credit){ 0 };
    else
        credit->is_forfeited = true;
}

void first_credit_forfeit(struct version *version)
{
    version->first_credit.is_forfeited = true;
}

uint32_t first_credit_left_ms(const struct placement *placement)
{
    return (placement->first_credit_us + (uint32_t) USEC_PER_MSEC - 1) / (uint32_t) USEC_PER_MSEC;
}
