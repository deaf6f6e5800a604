/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A skepd that was started to replace another one: until that one says so, it accepts nothing, tells
 * systemd nothing, and ends when the other does. upgrade.h is the other side; PROTOCOL.md has the messages.
 * Supervisor. Every function takes NULL, for a skepd that replaces none.
 */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"
#include "supervisor/server.h"

struct heir;

/* By SKEP_UPGRADE_FD. *ret_heir: NULL if it is not set. 0 or -errno. */
int heir_new(struct heir **ret_heir);
/* NULL is allowed. Returns NULL. */
struct heir *heir_free(struct heir *heir);
DEFINE_CLEANUP(struct heir *, heir_free, heir_cleanup)

/* Listens to the other one by the server's loop. on_main: it is the service from now on. 0 or -ENOMEM. */
int heir_attach(struct heir *heir, struct server *server, void (*on_main)(struct server *server));
/* It could serve now. */
void heir_say_ready(struct heir *heir);
/* It cannot, and ends: why, for the operator. At any time before it is the service; else nothing happens. */
void heir_say_failed(struct heir *heir, const char *text);

/* It is not the service yet. */
bool heir_is_waiting(const struct heir *heir);
/* The other one has not ended yet. */
bool heir_has_predecessor(const struct heir *heir);
