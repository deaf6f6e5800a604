/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floors up to versions/ as main.c makes them, without processes, on a loop whose time a test moves. Workers are
 * played (worker.h), clients are real connections. Link with heart_floors.c, events/clock.c and the
 * supervisor's frames.c besides.
 */
#pragma once

#include <stdint.h>

#include "supervisor/record/failure.h"
#include "tests/heart.h"

struct floors {
    struct heart heart;
    struct sockaddr_un address; /* the front's */
    socklen_t address_size;
    char folder[64];        /* this test's; removed at its end */
    struct failure failure; /* the failure of the last floors_install */
};

extern struct floors floors;

/* Makes all, with the workers of the config, which are ready. config: text of skepd.yaml, in which each %s is the
 * folder. */
void floors_start(const char *config);
/* Frees all. The test has freed everything above them by then. */
void floors_end(void);

/* Turns the loop until all that could come has come; no time passes. */
void floors_settle(void);
/* Time passes, in steps small enough for each timer to have its turn. */
void floors_pass(uint64_t ms);

/* Writes a file below the folder, with the folders on its way. */
void floors_write(const char *path, const char *text);
/* Writes another skepd.yaml, as for floors_start; nobody reads it yet. */
void floors_write_config(const char *config);
/* text: its skep.yaml. As versions_install. */
int floors_install(const char *text);
/* NULL: there is none. */
struct tenant *floors_tenant(const char *name);
/* The name of the tenant that a request for the host would go to; "" if there is none. */
const char *floors_route(const char *host);

/* ---- clients: each asks once */
struct floors_client {
    int fd;
};
void floors_ask(struct floors_client *client, const char *host);
/* The status of its answer, which has come; 0: it waits. */
unsigned floors_status(struct floors_client *client);
void floors_leave(struct floors_client *client);
