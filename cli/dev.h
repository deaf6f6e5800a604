/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of one run of `skep dev`, shared by dev.c (arguments, start) and dev_loop.c (everything
 * while it runs). Only they include this.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/client.h"
#include "cli/dev_service.h"
#include "cli/watch.h"

#define DEV_NEVER UINT64_MAX

struct dev {
    char path[PATH_MAX]; /* absolute */
    bool is_folder;
    struct service *service;
    struct client *client;
    struct watch *watch;
    int signal_fd;
    /* Times at which something is due, DEV_NEVER: not at all. */
    uint64_t reload_ns, load_ns, look_ns, restore_ns, kill_ns;
    uint64_t asked_ns;          /* time since which the answer to a reload is awaited; 0: none is */
    struct watch_change change; /* the change that the next reload is for */
    bool is_new;                /* the reloaded version has neither loaded nor failed yet */
    struct watch_change shown;  /* the change that this reload was for */
    bool is_stopping;
    bool has_ended;
    int status; /* exit status */
};

/* Connects to the skepd that was started, as soon as it serves, and asks for its tenant's log. 0;
 * -errno if it does not come up or a signal came: go on to dev_loop, which sees it end. */
int dev_wait_until_up(struct dev *dev);
/* Runs until skepd has ended, for whatever reason; dev->status is the exit status. 0 or -errno. */
int dev_loop(struct dev *dev);
