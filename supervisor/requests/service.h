/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls from tenant to tenant: the binding kind `service`, whose call is the client of a request; and the frames by which
 * workers make calls. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/internal.h"

/* The request is in a worker: its JavaScript may call. */
void service_begin(struct request *request);
/* When the request that this one is made for, if it is a call, is over at the latest; UINT64_MAX: not known, or no call. */
uint64_t service_due_ns(struct request *request);
