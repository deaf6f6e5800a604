/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls from tenant to tenant: the binding kind `service`, whose call is the client of a request; and the frames by which
 * workers make calls. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/requests/internal.h"

/* Lets JavaScript of a request that is in a worker make calls. */
void service_begin(struct request *request);
/* Returns the latest end of the root request, if this one is a call; UINT64_MAX: not known, or no
 * call. */
uint64_t service_due_ns(struct request *request);
