/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every number of a system call, by every way into the kernel, from within sealed processes. The
 * supervisor's side. Failures are printed, and counted.
 */
#pragma once

#include "tests/jail/calls.h"
#include "tests/jail/hive.h"

struct numbers_tally {
    unsigned calls;
    unsigned refused; /* refused calls */
    unsigned probes;  /* processes that were needed */
    unsigned surprises;
};

/* Tries every number with every pattern in one counting probe. */
void numbers_try_native(struct hive *hive, bool jit, struct numbers_tally *tally);

/* Does the same by x32 or int 0x80. Each call there has to kill, so each takes a process.
 * all_patterns: false: one pattern for each number. */
void numbers_try_foreign(struct hive *hive, enum probe_abi abi, bool all_patterns,
                         struct numbers_tally *tally);

/* Makes one call by x32 or int 0x80 in a child of the entered probe. Returns whether the child
 * ended as it must. */
bool numbers_foreign_kills(struct cell *entered, enum probe_abi abi, const struct call *call,
                           bool has_int80, struct numbers_tally *tally);

/* Makes one call in a counting probe, and compares it with the policy. refused: refusals that the probe has counted so
 * far. Returns whether all was right. */
bool numbers_compare(struct cell *cell, const struct policy_context *context,
                     const struct call *call, unsigned *refused, struct numbers_tally *tally);

/* Returns the address of the probe's scratch memory. */
int64_t numbers_scratch(struct cell *cell);

/* Returns whether this kernel has int 0x80 at all. */
bool numbers_has_int80(struct hive *hive);
