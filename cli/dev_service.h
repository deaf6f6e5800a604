/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skepd that `skep dev` runs: a folder of its own for config and admin socket, start, log,
 * stop. The folder is removed with it.
 */
#pragma once

#include "common/jit.h"

#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"

struct service_options {
    const char *path; /* absolute path of the script or tenant folder */
    bool is_folder;
    const char *cordon;
    unsigned port;
    enum jit_mode jit;
    const char *ca; /* absolute path of certificates that fetch() trusts, too; NULL: none */
    bool is_traced; /* skepd logs the frames of each request */
};

struct service {
    char *folder;
    char *socket;  /* path of the admin socket */
    char *storage; /* folder of what the tenant stores; NULL: none */
    pid_t pid;
    int pidfd;  /* readable when skepd has ended; -1: it does not run */
    int log_fd; /* skepd's standard error; non-blocking */
};

/* Starts skepd: the one beside this program, else the one in PATH. skepd ends when this process
 * ends. 0 or -errno, with the reason on standard error. */
int service_new(const struct service_options *options, struct service **ret_service);

/* Prints the contents of log_fd, line by line, to standard error. Returns false at its end. */
bool service_print_log(struct service *service);

void service_signal(const struct service *service, int signal);

/* Reaps skepd, which has ended (pidfd is readable). Returns its exit status, 128 + N if a signal
 * killed it. */
int service_reap(struct service *service);

/* Kills skepd if it runs, and removes its folder. NULL is allowed. Returns NULL. */
struct service *service_free(struct service *service);
DEFINE_CLEANUP(struct service *, service_free, service_cleanup)
