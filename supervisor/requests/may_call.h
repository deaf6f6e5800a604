/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells whether a binding to another tenant leads anywhere, for reports. Supervisor, loop thread.
 */
#pragma once

#include "common/error_codes.h"
#include "config/manifest.h"

struct tenant;

/* Returns the code with which a call by the binding would be refused, as far as that does not depend on the request;
 * ERROR_NONE: it would not. */
enum error_code service_check(const struct tenant *tenant, const struct binding *binding);
