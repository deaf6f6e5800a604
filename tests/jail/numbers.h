/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every number of a system call, by every way into the kernel, from within sealed processes. The
 * supervisor's side; what goes wrong is printed, and counted.
 */
#pragma once

#include "tests/jail/calls.h"
#include "tests/jail/hive.h"

struct numbers_tally {
    unsigned calls;
    unsigned refused; /* of them */
    unsigned probes;  /* processes that it took */
    unsigned surprises;
};

/* Every number with every pattern in one counting probe. */
void numbers_try_native(struct hive *hive, bool jit, struct numbers_tally *tally);

/* The same by x32 or int 0x80, where each call has to kill, so a process each. all_patterns: false: one
 * pattern for each number. */
void numbers_try_foreign(struct hive *hive, enum probe_abi abi, bool all_patterns,
                         struct numbers_tally *tally);

/* One call by x32 or int 0x80, by a child of the entered probe; whether it ended as it must. */
bool numbers_foreign_kills(struct cell *entered, enum probe_abi abi, const struct call *call,
                           bool has_int80, struct numbers_tally *tally);

/* One call of a counting probe, compared with the policy. refused: what the probe has counted so far.
 * True if all was right. */
bool numbers_compare(struct cell *cell, const struct policy_context *context,
                     const struct call *call, unsigned *refused, struct numbers_tally *tally);

/* Where the probe's scratch memory is. */
int64_t numbers_scratch(struct cell *cell);

/* Whether this kernel has int 0x80 at all. */
bool numbers_has_int80(struct hive *hive);
