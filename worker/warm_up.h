/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker does ahead while it has nothing to do, so that the first tenant that comes (after
 * another worker's death, say) does not pay for it. Worker, main thread, jailed.
 */
#pragma once

/* Loads a tenant of our own in an isolate, has it answer a request, and disposes of it: the code of
 * V8 and its tables are in memory then. About 10 ms. Not inside an entry. */
void warm_up_request(void);
