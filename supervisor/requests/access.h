/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access log: an event for each request that was answered, if the configuration asks for it.
 * docs/logs.md has the fields. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/ledger.h"

/* Whether it is on, by the configuration that holds now. */
bool access_is_on(const struct ledger *ledger);
/* A request that was answered; once for each. Its event is written by access_log_end, when its CPU time is known. */
void access_log_request(struct request *request, enum error_code code);
/* One that ended without a whole answer, because of its client; code: why. Likewise. */
void access_log_gone(struct request *request, const char *code);
/* The request leaves its worker, or ends without one: writes its event, if it is due. */
void access_log_end(struct request *request);
/* One that was refused before it became a request of the ledger's. tenant: NULL if there is none; id: as
 * the client was told. */
void access_log_refusal(struct ledger *ledger, struct tenant *tenant,
                        const struct http_request *head, struct http_text caller,
                        enum error_code code, uint64_t id);
/* One whose head the front has not understood. For struct http_handler; handler: struct ledger. */
void access_log_rejection(void *handler, struct http_text client, enum error_code code,
                          unsigned status);
