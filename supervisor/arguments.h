/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of skepd, and where its programs are. Supervisor, before everything else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arguments {
    const char *config;
    const char *worker; /* NULL: found beside skepd */
    const char *dev;    /* one tenant, for every host; NULL: those of the config */
    bool check_only;
    bool probe_only;
    bool trace; /* show the frames of requests; with dev only */
    bool compile_only;
    char *const *paths; /* paths of --compile; NULL-ended */
};

/* Parses the command line. Strings are borrowed from argv. Returns -1 to go on; else the exit status, after all messages
 * were printed. */
int arguments_parse(int argc, char **argv, struct arguments *ret);

/* Finds the program that workers run. 0; or -errno, which is logged. */
int arguments_find_worker(const struct arguments *arguments, char *path, size_t size);
/* Finds a program beside skepd, or in libexec/skep. 0; -ENOENT or another -errno. */
int arguments_find_program(const char *name, char *path, size_t size);

/* Returns the absolute path, since a confined skepd cannot ask for its folder any more. The caller frees it. NULL: out of
 * memory, or the folder is gone. */
char *arguments_make_absolute(const char *path);
