/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access log: an event for each request that was answered, if the configuration asks for it.
 * docs/logs.md has the fields. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/ledger.h"

struct request_origin;

/* Returns whether the access log is on, by the current configuration. */
bool access_is_on(const struct ledger *ledger);
/* Begins the span of a request; none while the access log is off. */
struct trace_span access_span(const struct ledger *ledger, const struct http_request *head,
                              const struct request_origin *origin);
/* Takes a line from the bound of the access log, which tenants share, and notes one that is left out. Returns whether the line
 * may be written. tenant: NULL if there is none. */
bool access_may_write(struct ledger *ledger, struct tenant *tenant);
/* Notes an answered request; once for each. access_log_end writes the event, when the CPU time is
 * known. */
void access_log_request(struct request *request, enum error_code code);
/* Notes a request that ended without a whole answer, because of its client; code: why. Likewise. */
void access_log_gone(struct request *request, const char *code);
/* Writes the event, if it is due, of a request that leaves its worker, or ends without one. */
void access_log_end(struct request *request);
/* Logs a request that was refused before it was in the ledger. tenant: NULL if there is none; id: the one that
 * the client got. */
void access_log_refusal(struct ledger *ledger, struct tenant *tenant,
                        const struct http_request *head, const struct request_origin *origin,
                        enum error_code code, uint64_t id);
/* Logs a request whose head the front has refused. For struct http_handler; handler: struct ledger. */
void access_log_rejection(void *handler, struct http_text client, enum error_code code,
                          unsigned status);
