/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about data's channel besides data.proto that both its ends know.
 */
#pragma once

#include <stdint.h>

struct frame_tails;

#define DATA_HELPER_NAME "data"
#define DATA_PROGRAM "skep-data"
#define DATA_VERSION \
    1 /* version of data.proto: goes up with each change that the other end must know of */
#define DATA_OPTION_CORDON "--cordon="

/* Bodies are not copied into frames and out of them; the frames are plain protobuf. */
extern const struct frame_tails data_tails;

/* Credit of a request's body at its start. */
#define DATA_WINDOW_BYTES (UINT32_C(64) << 10)
/* Bytes that the sockets between skepd and data hold, as far as the host allows: more wait in a copy. */
#define DATA_SOCKET_BYTES (512 << 10)
/* Most credit of an answer's body at any time. */
#define DATA_CREDIT_MAX_BYTES (UINT32_C(1) << 20)
#define DATA_OPERATIONS_MAX 4096       /* open ones, in all */
#define DATA_TENANT_OPERATIONS_MAX 256 /* open ones of one tenant */
#define DATA_OPERATION_NAME_MAX 32
/* Time for which an operation may run over sql_ms before the process ends. */
#define DATA_STUCK_MS 1000
