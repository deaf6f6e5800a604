/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request whose JavaScript makes calls, for the kinds of calls. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/ledger.h"

struct request *request_of_caller(const struct caller *caller);
/* Returns the request whose JavaScript makes the call. */
struct request *call_parent(const struct call *call);
/* Counts the result of a call; ERROR_NONE: an answer. */
void call_count(const struct request *parent, enum error_code code);
/* Returns whether skepd has no room for answers that the caller's worker does not take. */
bool call_is_short(const struct request *parent);
