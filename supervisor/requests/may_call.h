/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a binding to another tenant leads anywhere, for those who explain it. Supervisor, loop thread.
 */
#pragma once

#include "common/error_codes.h"
#include "config/manifest.h"

struct tenant;

/* What a call by the binding would be refused with, as far as it does not depend on the request; ERROR_NONE: nothing. */
enum error_code service_check(const struct tenant *tenant, const struct binding *binding);
