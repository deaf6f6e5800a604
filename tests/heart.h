/* SPDX-License-Identifier: Apache-2.0 */
/* The core of the supervisor for tests: the roots of the floors, from the record to deploys and
 * reloads, as main.c makes them, and a front; without processes. The test plays workers and
 * clients.
 */
#pragma once

#include <event2/event.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "config/config.h"
#include "supervisor/helpers/health.h"
#include "supervisor/http/http.h"
#include "supervisor/jail/level.h"
#include "supervisor/placement/placement.h"
#include "supervisor/record/life.h"
#include "supervisor/record/record.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/versions/versions.h"
#include "supervisor/workers/slots.h"

struct admin;
struct deploys;
struct reload;
struct store;

struct heart {
    /* The test's, set before heart_make; the rest is zero by then. */
    struct event_base *base;
    struct config *config;
    struct spawner *spawner; /* NULL: no worker is started */
    struct store *store;     /* NULL: nothing can be deployed */
    struct jail_state jail;
    uint64_t max_files;
    const struct http_limits
        *limits; /* limits of the front; NULL for heart_make: those of the config */
    /* Made in this order. */
    struct record record;
    struct life life;
    struct health health;
    struct slots *slots; /* not started */
    struct tenants *tenants;
    struct placements *placements;
    struct versions *versions;
    struct ledger *ledger;
    struct http_front *front; /* listens nowhere */
    struct reload *reload;
    struct deploys *deploys;
};

/* Makes the roots. 0; or -errno, after which heart_free is needed all the same. */
int heart_make(struct heart *heart);
/* Frees the roots; what the test has set stays. */
void heart_free(struct heart *heart);

/* ---- the floors up to versions/ alone (heart_floors.c) */

/* As heart_make, without reload and deploys. */
int heart_make_floors(struct heart *heart);
/* Frees front and ledger only, for what goes between them and the others. */
void heart_stop_requests(struct heart *heart);
void heart_free_floors(struct heart *heart);

/* Has the front listen on an abstract Unix socket, whose name the kernel picks. 0 or -errno. */
int heart_listen(struct heart *heart, struct sockaddr_un *ret_address, socklen_t *ret_size);
/* Opens an admin socket, with all commands, as admin_new. The test frees it before the roots. */
int heart_open_admin(struct heart *heart, const char *path, struct admin **ret_admin);
