/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of worker.proto whose bytes go raw behind the message (struct frame_tail), for both ends of a worker's channel.
 */
#pragma once

#include "proto/frame.h"

extern const struct frame_tails worker_tails;
