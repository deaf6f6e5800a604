/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a tenant's JavaScript may compile strings (eval, new Function and its kin): `eval` in skep.yaml, and the most
 * that a cordon allows, `eval` in skepd.yaml. Const data; any process.
 */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* In the order of what they allow; the numbers are on the wire. */
enum eval_mode {
    EVAL_OFF,
    EVAL_LOAD, /* until the evaluation of the main module has settled */
    EVAL_ON,
    EVAL_MODES,
};

/* "off", "load", "on". */
const char *eval_mode_name(enum eval_mode mode);

#ifdef __cplusplus
}
#endif
