/* SPDX-License-Identifier: Apache-2.0 */
#include "common/jit.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const char *const names[JIT_MODES] = {
    [JIT_OFF] = "off",
    [JIT_BASELINE] = "baseline",
    [JIT_ON] = "on",
};

const char *jit_name(enum jit_mode mode)
{
    assert((unsigned) mode < JIT_MODES);
    return names[mode];
}

int jit_parse(const char *text, enum jit_mode *ret_mode)
{
    for (unsigned mode = 0; mode < JIT_MODES; mode++)
        if (strcmp(text, names[mode]) == 0) {
            *ret_mode = (enum jit_mode) mode;
            return 0;
        }
    return -EINVAL;
}
