/* SPDX-License-Identifier: Apache-2.0 */
/* Gives a test's module the natives that only the JS layer has in a worker. */
#pragma once

#include "worker/isolate.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Puts the natives on the global object as __skep, before the load. 0 or -ENOMEM. Main thread, outside an
 * entry. */
int isolate_lend_natives(struct isolate *isolate);

#ifdef __cplusplus
}
#endif
