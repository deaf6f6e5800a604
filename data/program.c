/* SPDX-License-Identifier: Apache-2.0 */
#include "data/program.h"

#include <stddef.h>

#include "common/cleanup.h"
#include "proto/frame.h"
#include "stream.pb-c.h"

static const struct frame_tail rows[] = {
    { &skep__stream__body__descriptor, offsetof(Skep__Stream__Body, data) },
};

const struct frame_tails data_tails = {
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .is_inside = true,
};
