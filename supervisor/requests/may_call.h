/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells what a binding is, and whether it leads anywhere, for reports. Supervisor, loop thread.
 */
#pragma once

#include "common/error_codes.h"
#include "config/manifest.h"

struct tenant;

/* Returns the code with which a call by the binding would be refused, as far as that does not depend on the request;
 * ERROR_NONE: it would not. */
enum error_code binding_check(const struct tenant *tenant, const struct binding *binding);
/* Returns the key of skep.yaml that names the kind; static. */
const char *binding_kind_name(enum binding_kind kind);
