/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/clock.h"

#include "supervisor/workers/running.h"

/* ---- the process's clock */

void worker_look_at_clock(struct worker *worker)
{
    struct worker_clock *clock = &worker->clock;
    uint64_t now_ns = worker_cpu_ns(worker);
    uint64_t before_ns = clock->clock_ns;
    uint64_t claim = worker_running(worker).request;

    if (now_ns > clock->clock_ns) {
        clock->uncharged_ns += now_ns - clock->clock_ns;
        clock->clock_ns = now_ns;
    }
    if (claim != clock->claim) {
        clock->claim = claim;
        clock->claim_clock_ns = before_ns;
    }
}

uint64_t worker_take_uncharged(struct worker *worker, uint64_t claim_ns, uint64_t since_clock_ns)
{
    struct worker_clock *clock = &worker->clock;

    if (claim_ns > clock->uncharged_ns || claim_ns > clock->clock_ns - since_clock_ns)
        worker_look_at_clock(worker);
    if (since_clock_ns > clock->clock_ns)
        return 0;
    uint64_t most = clock->clock_ns - since_clock_ns;
    most = most < clock->uncharged_ns ? most : clock->uncharged_ns;
    uint64_t taken = claim_ns < most ? claim_ns : most;
    clock->uncharged_ns -= taken;
    return taken;
}
