/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that confine themselves as skepd does, for tests of helper/confine.h: some folders
 * with files, and a fork in which something is tried.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* Each folder has a file "file", one byte long. */
struct place {
    char top[64];
    char granted[80]; /* may be read */
    char sockets[80]; /* may be cleaned up */
    char other[80];   /* may not be touched */
};

void place_init(struct place *place);
void place_done(const struct place *place);

/* A path in a folder of the place. */
struct path {
    char text[PATH_MAX];
};
struct path path_in(const char *folder, const char *name);

/* Confines the calling process, for good. Ends it with a message if that fails. */
void confine_here(const struct place *place, uint64_t keep_capabilities);

/* In a child: removes cmocka's handlers, which would go on with the next test, in the wrong process. */
void reset_signals(void);

/* In a confined process: unless the condition holds, prints what is wrong and ends the process. */
void expect(bool holds, const char *what);
/* Does the same for a call that should have failed with that error. */
void expect_error(long result, int error, const char *what);

/* Forks, confines the child, and runs try in it; returns its wait status. */
int run_confined(const struct place *place, void (*try)(const struct place *place));
