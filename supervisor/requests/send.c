/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame that brings a request to its worker. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "supervisor/requests/internal.h"

int ledger_send_request(struct worker *worker, struct request *request)
{
    Skep__Worker__Request frame = SKEP__WORKER__REQUEST__INIT;
    _cleanup_free_ Skep__Worker__Header *headers =
        malloc((request->n_fields + 1) * (sizeof *headers + sizeof(Skep__Worker__Header *)));
    if (!headers)
        return -ENOMEM;
    Skep__Worker__Header **pointers = (void *) (headers + request->n_fields + 1);

    for (size_t i = 0; i < request->n_fields; i++) {
        skep__worker__header__init(&headers[i]);
        headers[i].name = link_bytes(request->fields[i].name.data, request->fields[i].name.size);
        headers[i].value = link_bytes(request->fields[i].value.data, request->fields[i].value.size);
        pointers[i] = &headers[i];
    }
    frame.id = request->attempt.id;
    frame.tenant = request->attempt.placement->id;
    frame.slot = (uint32_t) (request->attempt.id % SCOREBOARD_SLOTS);
    frame.method = link_bytes(request->method.data, request->method.size);
    frame.url = link_bytes(request->url.data, request->url.size);
    frame.headers = pointers;
    frame.n_headers = request->n_fields;
    frame.end = !request->body;
    frame.caller = link_bytes(request->caller.data, request->caller.size);
    return link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST, &frame);
}
