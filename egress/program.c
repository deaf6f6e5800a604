/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/program.h"

#include <stddef.h>

#include "common/cleanup.h"
#include "egress.pb-c.h"
#include "proto/frame.h"

static const struct frame_tail rows[] = {
    { &skep__stream__body__descriptor, offsetof(Skep__Stream__Body, data) },
};

const struct frame_tails egress_tails = {
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .is_inside = true,
};
