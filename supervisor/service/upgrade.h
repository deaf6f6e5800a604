/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces this skepd by another process of the program as it is on disk now, without a refused or lost
 * request: the spawner starts it, it gets ready beside this one, and only when it says that it can serve
 * is it handed the service. Until then nothing has changed here. heir.h is the other side.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "supervisor/server.h"

struct upgrade;

int upgrade_new(struct server *server, struct upgrade **ret_upgrade); /* 0 or -ENOMEM */
/* NULL is allowed. Returns NULL. */
struct upgrade *upgrade_free(struct upgrade *upgrade);

/* How it has ended, for whoever waits for it. */
struct upgrade_result {
    const char *failure; /* NULL: it has succeeded; for the operator, borrowed for the call */
    const char *version; /* of the other one */
    pid_t pid;
};
/* Begins. The result goes to the admin clients that wait for it, and to the log. 0; or -errno, with the reason
 * in *ret_reason (static), and then nothing has begun. */
int upgrade_start(struct upgrade *upgrade, const char **ret_reason);
bool upgrade_is_under_way(const struct upgrade *upgrade);
/* The service is told to stop: the other one must not take it over. Nothing happens if none is under way. */
void upgrade_cancel(struct upgrade *upgrade);
