/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the admin socket: which floor answers which, and who may ask. A new command is a row here, a
 * handler on the floor that it is about, its messages in admin.proto and a verb in cli/. Supervisor.
 */
#pragma once

#include "supervisor/admin/admin.h"

extern const struct admin_commands commands;
