/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of skep.yaml. Const data.
 */
#pragma once

#include "config/keys.h"
#include "config/manifest.h"

extern const struct key_table manifest_keys; /* rows of struct manifest */
