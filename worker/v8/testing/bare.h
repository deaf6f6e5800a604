/* SPDX-License-Identifier: Apache-2.0 */
/* V8 without the JS layer, for scripts/bench isolate, and times that only worker/v8 can take. Main thread, after isolate_platform_init. */
#pragma once

#include "worker/isolate.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An isolate with a context, both from V8's own snapshot, with the heap limits of isolate_new; lasts as long as the process. 0 or
 * -ENOMEM. */
int bare_new(uint32_t heap_mib);

/* Makes another context of the isolate from its snapshot, and drops it. Returns the time that this took. */
uint64_t isolate_time_context(struct isolate *isolate);

#ifdef __cplusplus
}
#endif
