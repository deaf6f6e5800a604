/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log_gate.h"

#include <inttypes.h>
#include <stdio.h>

bool log_gate_pass(struct log_gate *gate, uint64_t now_ns, uint64_t interval_ns,
                   uint64_t *ret_left_out)
{
    if (gate->said_ns > 0 && now_ns - gate->said_ns < interval_ns) {
        gate->left_out++;
        return false;
    }
    *ret_left_out = gate->left_out;
    *gate = (struct log_gate){ .said_ns = now_ns };
    return true;
}

const char *log_gate_text(uint64_t left_out, char text[static LOG_GATE_TEXT_BYTES])
{
    text[0] = '\0';
    if (left_out > 0)
        (void) snprintf(text, LOG_GATE_TEXT_BYTES,
                        "; %" PRIu64 " more lines like this were left out before", left_out);
    return text;
}
