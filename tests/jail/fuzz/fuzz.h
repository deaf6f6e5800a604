/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random system calls from within a sealed, counting probe, each compared with the policy's
 * verdict. The loop runs in the probe: a call costs a microsecond or so, not a message.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/scoreboard.h"
#include "tests/jail/calls.h"
#include "tests/jail/probe.h"

/* Where the probe notes the call that it is about to make, as seven words: number and arguments. */
#define FUZZ_NOTE(board) ((board)->entered)

/* Makes ask->args[0] calls from the seed ask->number. Returns how many were made; less, then
 * the first surprise is in text. */
int64_t fuzz_run(const struct probe_ask *ask, struct scoreboard *board, char *text, size_t size);

/* The generator's state for a seed; neighbouring seeds have nothing in common. Not 0. */
uint64_t fuzz_state(uint64_t seed);

/* A random call, with a preference for calls that the policy names and values that matter to the kernel. Steps
 * state on. */
void fuzz_pick(uint64_t *state, const struct policy_context *context, int64_t scratch,
               struct call *ret_call);
