/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of steps: what a client, a worker, time or the operator does next. A step names its
 * actor by numbers that fit any world, and does nothing where there is no such actor: so any part
 * of a sequence is a sequence, which shrinking needs. As text, a step is a line: its name and three
 * numbers.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct step {
    unsigned kind;
    uint32_t a, b, c;
};

/* Fills steps, by the seed alone. */
void steps_make(uint64_t seed, struct step *steps, size_t n);
/* Plays the step in the world, and checks the invariants afterwards. */
void step_play(const struct step *step);
void step_print(FILE *file, const struct step *step);
/* Reads a file of lines; those that begin with # are left out. Returns how many; fails the run on a
 * line that is no step. */
size_t steps_read(const char *path, struct step *steps, size_t max);
