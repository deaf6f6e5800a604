/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets the played parts of a test check what they rely on: the program ends where it does not hold,
 * in any kind of test.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

static inline _Noreturn void played_fail(const char *what, int number)
{
    (void) fprintf(stderr, "%s (%d)\n", what, number);
    abort();
}

#define PLAYED_HOLD(condition)                                       \
    do {                                                             \
        if (!(condition))                                            \
            played_fail(__FILE__ ": not so: " #condition, __LINE__); \
    } while (0)
