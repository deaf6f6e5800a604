/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store process: what supervisor/helpers/store.c forks, and what speaks with it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* The store process: serves requests on socket_fd until it closes. */
_Noreturn void store_child_run(int socket_fd, const char *path, bool landlock_may_be_missing,
                               pid_t supervisor);
