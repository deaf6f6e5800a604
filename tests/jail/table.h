/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process' table of system calls, tried call by call in children that confine themselves as that process does: tests
 * that are the same for skepd and each of its helpers.
 */
#pragma once

#include "sandbox-policy/policy.h"

/* Confines the calling process, for good; ends it with a message if that fails. */
typedef void (*table_confine_fn)(void);

/* Forks, confines the child, and runs try in it; returns its wait status. */
int table_run(table_confine_fn confine, void (*try)(void));
/* Asserts that such a child ends by the signal. */
void table_assert_ends_by(table_confine_fn confine, int signal, void (*try)(void),
                          const char *what);
/* Asserts that each call of the table that only an attacker makes kills, and that there are more than
 * that many. */
void table_assert_kills(const struct policy_table *table, table_confine_fn confine,
                        size_t more_than);
/* Asserts that every call without a row, known or not, fails with EPERM. */
void table_assert_refuses(const struct policy_table *table, table_confine_fn confine);
