/* SPDX-License-Identifier: Apache-2.0 */
#include "common/eval_mode.h"

#include <assert.h>

static const char *const names[EVAL_MODES] = {
    [EVAL_OFF] = "off",
    [EVAL_LOAD] = "load",
    [EVAL_ON] = "on",
};

const char *eval_mode_name(enum eval_mode mode)
{
    assert((unsigned) mode < EVAL_MODES);
    return names[mode];
}
