/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/calling.h"

#include <stddef.h>

#include "supervisor/workers/worker.h"

struct request *request_of_caller(const struct caller *caller)
{
    char *at = (char *) (uintptr_t) caller - offsetof(struct request, calls);

    return (struct request *) (void *) at;
}

struct request *call_parent(const struct call *call)
{
    return request_of_caller(call->caller);
}

void call_count(const struct request *parent, enum error_code code)
{
    stats_count_call(parent->ledger->record, &parent->attempt.tenant->counted, code);
}

bool call_is_short(const struct request *parent)
{
    return http_front_pressure(parent->ledger->front) >= 2 &&
           worker_is_congested(parent->attempt.placement->worker);
}
