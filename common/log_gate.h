/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bound for one kind of line in the log that a peer can cause again and again: one line in each interval,
 * and a count of those that were left out, for the next line to say. Pure; the caller owns the gate.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts as { 0 }. */
struct log_gate {
    uint64_t said_ns; /* when the last line was let through; 0: none was */
    uint64_t left_out;
};

#define LOG_GATE_TEXT_BYTES 80

/* Returns whether the line may be logged now; ret_left_out: lines left out since the last one that
 * was logged. Otherwise counts the line as left out. now_ns: of any clock that does not go back,
 * and not 0. */
bool log_gate_pass(struct log_gate *gate, uint64_t now_ns, uint64_t interval_ns,
                   uint64_t *ret_left_out);

/* Writes the end of a line: "" or "; 12 more lines like this were left out before". Returns text. */
const char *log_gate_text(uint64_t left_out, char text[static LOG_GATE_TEXT_BYTES]);
