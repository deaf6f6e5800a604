/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames that come from workers: which floor answers which, and when it may come. A new frame is a row here, a
 * handler on the floor that it is about, its message in worker.proto and its paragraph in PROTOCOL.md. Supervisor.
 */
#pragma once

#include "proto/channel.h"

extern const struct channel_table worker_frames; /* owner: struct worker */
