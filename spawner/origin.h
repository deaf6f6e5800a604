/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way in which this skepd was started, so that its spawner can start the program again the same
 * way: taken down at the start of main, before anything is changed and before an upgrade replaces
 * the file. Memory only; the spawner has its copy by fork.
 */
#pragma once

/* Number of the descriptor by which a skepd that replaces another talks to it, see heir.h. */
#define ORIGIN_UPGRADE_FD "SKEP_UPGRADE_FD"

struct origin {
    char *program; /* absolute */
    char *folder;  /* the working directory */
    char **argv;
    /* The environment without the variables that were meant for one process only: LISTEN_*,
     * WATCHDOG_PID, SKEP_UPGRADE_FD. NULL at the end, with room for ORIGIN_ROOM more before it. */
    char **environment;
    unsigned n_environment;
};
#define ORIGIN_ROOM 4

/* Takes down how the process was started. argv: of main, before getopt has moved anything. 0 or
 * -errno. */
int origin_new(int argc, char *const *argv, struct origin **ret_origin);
/* Frees the origin. NULL is allowed. Returns NULL. */
struct origin *origin_free(struct origin *origin);

/* Removes the variables of sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3) and skepd from
 * the environment: no child is to have them. */
void origin_clean_environment(void);
