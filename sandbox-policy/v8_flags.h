/* SPDX-License-Identifier: Apache-2.0 */
/*
 * V8's flags that a worker sets, as data with reasons: `skep version --v8` prints the table, and
 * worker/v8/platform.cc sets the flags in it. A tenant can switch none of them. Const data; any
 * process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/jit.h"

#ifdef __cplusplus
extern "C" {
#endif

struct v8_flag {
    const char *flag;   /* as V8 takes it; the worker's value follows a final "=" */
    unsigned modes;     /* bit 1 << enum jit_mode: where it is set */
    const char *reason; /* purpose of the flag for skep */
    const char *risk;   /* consequence without the flag, or the risk that remains with it */
    const char *who;    /* person who may switch the flag */
};

extern const struct v8_flag v8_flags[];
extern const size_t n_v8_flags;

/* Writes the flags of a mode, with a blank between two. 0, or -ENOBUFS if they do not fit. */
int v8_flags_write(enum jit_mode mode, unsigned wasm_max_mem_pages, char *text, size_t size);

#ifdef __cplusplus
}
#endif
