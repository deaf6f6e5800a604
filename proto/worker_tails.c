/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/worker_tails.h"

#include <stddef.h>

#include "common/cleanup.h"
#include "worker.pb-c.h"

static const struct frame_tail rows[] = {
    { &skep__worker__request__descriptor, offsetof(Skep__Worker__Request, body) },
    { &skep__worker__response_head__descriptor, offsetof(Skep__Worker__ResponseHead, body) },
    { &skep__worker__body__descriptor, offsetof(Skep__Worker__Body, data) },
    { &skep__worker__call__descriptor, offsetof(Skep__Worker__Call, body) },
    { &skep__worker__call_head__descriptor, offsetof(Skep__Worker__CallHead, body) },
    { &skep__worker__call_body__descriptor, offsetof(Skep__Worker__CallBody, data) },
    { &skep__worker__load_file__descriptor, offsetof(Skep__Worker__LoadFile, data) },
};

const struct frame_tails worker_tails = {
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .greeting = &skep__worker__hello__descriptor,
};
