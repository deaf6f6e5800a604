/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a request to its worker. Supervisor, loop thread.
 */
#include "supervisor/requests/internal.h"

int ledger_send_request(struct worker *worker, struct request *request)
{
    Skep__Worker__Request frame = SKEP__WORKER__REQUEST__INIT;

    frame.id = request->attempt.id;
    frame.placement = request->attempt.placement->id;
    frame.row = (uint32_t) (request->attempt.id % SCOREBOARD_REQUESTS);
    frame.head = link_bytes(request->head_memory, request->packed_bytes);
    frame.end = !request->body;
    frame.caller = link_bytes(request->caller.data, request->caller.size);
    return link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST, &frame);
}
