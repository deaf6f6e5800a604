/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of workers: the handler of each, and the phase in which it may come. A new frame needs
 * a row here, a handler on its floor, its message in worker.proto and its paragraph in PROTOCOL.md.
 * Supervisor.
 */
#pragma once

#include "proto/channel.h"

extern const struct channel_table worker_frames; /* owner: struct worker */
