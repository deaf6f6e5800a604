/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/placement/exceeded.h"

const struct exceeded_limit exceeded_limits[EXCEEDED_LIMITS] = {
    [SKEP__WORKER__LIMIT__LIMIT_CPU_MS] = { LIMIT_INDEX(cpu_ms), 1, 1, STAGE_STOPPED },
    [SKEP__WORKER__LIMIT__LIMIT_CPU_STARTUP_MS] = { LIMIT_INDEX(cpu_startup_ms), 1, 1,
                                                    STAGE_STOPPED },
    [SKEP__WORKER__LIMIT__LIMIT_HEAP_MIB] = { LIMIT_INDEX(heap_mib), 1000, 1024, STAGE_STOPPED },
    [SKEP__WORKER__LIMIT__LIMIT_EXTERNAL_MIB] = { LIMIT_INDEX(external_mib), 1000, 1024,
                                                  STAGE_REFUSED },
    [SKEP__WORKER__LIMIT__LIMIT_TIMERS] = { LIMIT_INDEX(timers), 1000, 1, STAGE_REFUSED },
    [SKEP__WORKER__LIMIT__LIMIT_LOG_KIB] = { LIMIT_INDEX(log_kib), 1000, 1024, STAGE_REFUSED },
};

uint32_t placement_observed_limits(limit_set observed)
{
    uint32_t told = 0;

    for (unsigned i = 0; i < EXCEEDED_LIMITS; i++)
        told |= (observed >> exceeded_limits[i].index & 1U) << i;
    return told;
}
