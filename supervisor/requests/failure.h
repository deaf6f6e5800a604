/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line in the tenant's log for each answer of 500 and above that skep itself makes: code, reason in plain
 * words, and the limit that was met with the use. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/ledger.h"

/* Returns a reason such as "the handler threw"; NULL for a code below 500. */
const char *failure_reason(enum error_code code);
/* Writes the line, unless the tenant's log has one of this code in this second already. request: NULL if it was
 * refused before it was queued. id: the one that the client knows. */
void failure_log(struct tenant *tenant, const struct request *request, uint64_t id,
                 enum error_code code);
/* Notes for the line that the request has met a limit. used: thousandths of its unit. */
void failure_note_limit(struct request *request, unsigned limit, uint64_t used);
