/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work that a worker does ahead while it has nothing to do, so that the first tenant that comes
 * (after another worker's death, say) does not pay for it. Worker, main thread, jailed.
 */
#pragma once

/* Loads a tenant of skep's own in an isolate, lets it answer a request, and disposes of it: V8's
 * code and tables are in memory then. About 10 ms. Not inside an entry. */
void warm_up_request(void);

/* The same for HTMLRewriter: compiles its WebAssembly, which all isolates share. */
void warm_up_rewriter(void);
