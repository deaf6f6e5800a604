/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about egress' channel besides egress.proto that both its ends know.
 */
#pragma once

#include <stdint.h>

struct frame_tails;

#define EGRESS_HELPER_NAME "egress"
#define EGRESS_PROGRAM "skep-egress"
#define EGRESS_VERSION \
    2 /* version of egress.proto: goes up with each change that the other end must know of */

/* Bodies are not copied into frames and out of them; the frames are plain protobuf. */
extern const struct frame_tails egress_tails;

/* Credit of a request's body at its start. */
#define EGRESS_WINDOW_BYTES (UINT32_C(64) << 10)
/* Bytes that the sockets between skepd and egress hold, as far as the host allows: more wait in a copy. */
#define EGRESS_SOCKET_BYTES (512 << 10)
/* Most credit of an answer's body at any time. */
#define EGRESS_CREDIT_MAX_BYTES (UINT32_C(1) << 20)
/* Most bytes of all lines of an answer's heads and trailers together; as many as a request's headers may have. */
#define EGRESS_HEAD_MAX_BYTES (UINT32_C(64) << 10)
/* Most headers of a request, and of an answer. */
#define EGRESS_FIELDS_MAX 256
/* Most bytes of an answer's reason phrase; a longer one is cut. */
#define EGRESS_REASON_MAX_BYTES 256
#define EGRESS_FETCHES_MAX 4096      /* open ones, in all */
#define EGRESS_TENANT_FETCHES_MAX 64 /* open ones of one tenant */
#define EGRESS_PREFIXES_MAX 64 /* prefixes in a list of Open: EGRESS_ADDRESSES_MAX of config.h */
