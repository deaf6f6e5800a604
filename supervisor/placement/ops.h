/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What placement tells the floors above. Each hands its table down when it is made. Supervisor, loop thread.
 */
#pragma once

#include <stddef.h>

#include "supervisor/record/errors.h"

struct version;

/* To versions/: how loads end. The version may be gone after each call, unless the caller has a reference. */
struct version_ops {
    void (*loaded)(struct version *version);
    /* text: for the tenant; not terminated. */
    void (*refused)(struct version *version, enum error_code code, const char *text, size_t size);
    /* The worker died while it was loading this, and this is to blame. */
    void (*died)(struct version *version, enum error_code code, const char *cause);
};

struct placements {
    const struct version_ops *versions; /* borrowed */
};
