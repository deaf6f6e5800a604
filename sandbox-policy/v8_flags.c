/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox-policy/v8_flags.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define EVERY_MODE (1U << JIT_OFF | 1U << JIT_BASELINE | 1U << JIT_ON)

/* clang-format off */
const struct v8_flag v8_flags[] = {
    { "--single-threaded", EVERY_MODE,
      "no helper threads of V8: the jail allows two threads, and no tenant could be charged for a helper's CPU time",
      "compilation and collection hold up the isolate that needs them; they count against its budgets",
      "nobody" },
    { "--rehash-snapshot", EVERY_MODE,
      "each process has a hash seed of its own, also for strings of the snapshot",
      "without it a tenant could prepare strings that collide in every worker",
      "nobody" },
    { "--enable-sharedarraybuffer-per-context", EVERY_MODE,
      "no SharedArrayBuffer for tenants: with it a second thread would be a precise clock",
      "coarser clocks of other kinds remain",
      "nobody" },
    { "--js-base-64", EVERY_MODE,
      "Uint8Array.fromBase64 and its kin, of ECMAScript 2026, which this V8 has behind a flag",
      "none that other builtins do not have",
      "nobody" },
    { "--scavenger-max-new-space-capacity-mb=2", EVERY_MODE,
      "V8 looks for dead young ArrayBuffers when there are 8 MiB of them, not 64",
      "none: the size of the young generation is set for each isolate",
      "nobody" },
    { "--wasm-max-mem-pages=", EVERY_MODE,
      "bound of one WebAssembly memory",
      "memory below the bound counts as external_mib",
      "nobody" },
    { "--jitless", 1U << JIT_OFF,
      "no machine code is made: no page of the worker is executable but those of its program",
      "the interpreter and the builtins remain to be attacked; there is no WebAssembly",
      "the operator: jit: off in a cordon" },
    { "--no-turbofan", 1U << JIT_BASELINE,
      "no optimising compiler for JavaScript: most V8 bugs that are exploited lie in them",
      "baseline code, WebAssembly and the garbage collector remain; pages are writable and executable",
      "the operator: jit: baseline in a cordon" },
    { "--no-maglev", 1U << JIT_BASELINE,
      "no mid-tier optimising compiler either",
      "as above",
      "the operator: jit: baseline in a cordon" },
    { "--liftoff-only", 1U << JIT_BASELINE,
      "WebAssembly is compiled by the baseline compiler only",
      "the validator and the baseline compiler remain to be attacked",
      "the operator: jit: baseline in a cordon" },
};
/* clang-format on */
const size_t n_v8_flags = ARRAY_LEN(v8_flags);

int v8_flags_write(enum jit_mode mode, unsigned wasm_max_mem_pages, char *text, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; i < n_v8_flags; i++) {
        const char *flag = v8_flags[i].flag;
        char value[16] = "";
        if ((v8_flags[i].modes >> mode & 1U) == 0)
            continue;
        if (flag[strlen(flag) - 1] == '=')
            (void) snprintf(value, sizeof value, "%u", wasm_max_mem_pages);
        int n = snprintf(text + at, size - at, "%s%s%s", at > 0 ? " " : "", flag, value);
        if (n < 0 || (size_t) n >= size - at)
            return -ENOBUFS;
        at += (size_t) n;
    }
    return 0;
}
