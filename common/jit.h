/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of V8's compilers the workers of a cordon use: `jit` in skepd.yaml, --jit= of a worker, and
 * what `skep jail-report` shows. Const data; any process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* JIT_OFF is 0: as a condition, a mode says whether pages may become executable. */
enum jit_mode {
    JIT_OFF,      /* V8 interprets only; no WebAssembly */
    JIT_BASELINE, /* machine code without optimising compilers: Sparkplug, and Liftoff for WebAssembly */
    JIT_ON,       /* all of V8's compilers */
    JIT_MODES,
};

/* "off", "baseline", "on". */
const char *jit_name(enum jit_mode mode);
/* Parses one of these; 0 or -EINVAL. */
int jit_parse(const char *text, enum jit_mode *ret_mode);

#ifdef __cplusplus
}
#endif
