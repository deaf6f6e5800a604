/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the admin socket: the handler of each, and the right that it needs. A new command
 * needs a row here, a handler on its floor, its messages in admin.proto and a verb in cli/.
 * Supervisor.
 */
#pragma once

#include "supervisor/admin/admin.h"

extern const struct admin_commands commands;
