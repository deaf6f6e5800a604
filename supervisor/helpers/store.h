/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of the store: the process that keeps deployed versions, below config->state, and is
 * the only one that writes there. A helper (helper.h), which is started again when it is lost;
 * skepd itself holds the lock of the state folder. Supervisor, loop thread.
 */
#pragma once

#include "supervisor/helpers/helper.h"

struct store;

/* Makes the state folder, if its parent is there, and opens it. path: borrowed until store_start. 0 or -errno,
 * logged. */
int store_new(const char *path, struct store **ret_store);
/* Returns the folder, for the spawner; it stays the store's. */
int store_folder_fd(const struct store *store);

struct store_start_options {
    /* A skepd that owns the folder hands over to this one: store_own comes later. */
    bool has_predecessor;
    unsigned number; /* number of the store in spawner_options.programs */
    struct event_base *base;
    struct spawner *spawner; /* borrowed, like base and health */
    struct health *health;
};
/* Takes the state folder for this skepd alone, starts the store, and runs the loop until it has
 * removed the leftovers of interrupted changes, and is ready. 0, or -errno with the reason logged
 * (-EBUSY: another skepd has the folder). */
int store_start(struct store *store, const struct store_start_options *options);

/* Returns the helper, for requests and answers. NULL: store is NULL, or not started. */
struct helper *store_helper(const struct store *store);

/* Returns the lock of the state folder, for the skepd that takes over: it lasts as long as one of
 * both is there. -1: none, or store is NULL. */
int store_owner_fd(const struct store *store);
/* Takes the lock that the skepd before this one had. */
void store_inherit(struct store *store, int owner_fd);
/* Makes the state folder this skepd's alone, when the skepd before it has ended. Does nothing to a
 * lock that was inherited. 0, or -errno, logged. NULL is allowed. */
int store_own(const struct store *store);

/* Ends the store, as helper_free does, and gives up the folder. NULL is allowed. Returns NULL. */
struct store *store_free(struct store *store);
