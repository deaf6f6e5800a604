/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of calls, a row for each kind of binding. A new one: its row here, and its struct call_kind, NAME_call_kind, in a
 * file of its own. Const data.
 */
#pragma once

#include "supervisor/calls/calls.h"

/* The kind of the binding, as in enum binding_kind, and its name. */
/* clang-format off */
#define CALL_KINDS(X) \
    X(SERVICE, service)     \
    X(KV, kv)               \
    X(SQL, sql)             \
    X(FETCH, fetch)
/* clang-format on */

#define CALL_DECLARE_KIND(binding, name) extern const struct call_kind name##_call_kind;
CALL_KINDS(CALL_DECLARE_KIND)
#undef CALL_DECLARE_KIND
