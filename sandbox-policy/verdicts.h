/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a throw-away worker on its own jail, from inside: how far it got, and the result of
 * each system call that it tried. Written by worker/jail_report.c, read by the spawner, shown by
 * `skep jail-report`. One fixed-size message on its channel.
 */
#pragma once

#include <stdint.h>

#include "common/layers.h"

/* Above every number of Linux 6.18 (470 and some), with room. */
#define VERDICT_NUMBERS 512

enum verdict_kind {
    VERDICT_REFUSED,     /* tried: the filter raised SIGSYS, which ends every other worker */
    VERDICT_FAILS,       /* tried: not made, fails with the error */
    VERDICT_CONDITIONAL, /* allowed by rows with checks; tried with arguments that fit none: refused */
    VERDICT_ALLOWED,     /* allowed by a row without checks; not tried */
    VERDICT_PAST_FILTERS, /* not tried: the kernel asks no filter, and refuses it by itself */
    VERDICT_PASSED,       /* no row, and yet the kernel answered: with this error, 0: none */
    VERDICTS,
};

struct jail_verdict {
    uint8_t kind;
    uint8_t
        error; /* errno of VERDICT_FAILS, VERDICT_PASSED, and of the rest of VERDICT_CONDITIONAL */
};

#define VERDICT_STEP_BYTES 64

struct jail_verdicts {
    int32_t error;  /* -errno of the step that failed; 0: the worker is sealed */
    uint32_t layer; /* enum jail_layer of that step */
    char step[VERDICT_STEP_BYTES];
    struct jail_verdict calls[VERDICT_NUMBERS];
};
