/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor without processes: front, ledger, slots, tenants and deploys as main makes them, on a loop whose time
 * a test moves. The spawner and the store are played here (their two functions are wrapped by the linker), workers
 * in worker.c, clients in client.c.
 */
#pragma once

#include "tests/events/client.h"
#include "tests/events/worker.h"
#include "tests/heart.h"

#define CLIENTS 14

struct world {
    struct heart heart;
    struct sockaddr_un address; /* address of the front */
    socklen_t address_size;
    struct client clients[CLIENTS];
    struct played_worker workers[WORKERS];
    int next_pid;
    unsigned deaths;     /* deaths of workers */
    char *folder;        /* owned; folder of skepd.yaml */
    struct drain *drain; /* owned; NULL: skepd is not to end */
};

extern struct world world;

void world_start(void);
/* Ends all that is open and waits until nothing moves; fails the run if something does not end, or
 * a count is not 0. */
void world_end(void);
/* Runs the loop and all actors around it until nothing moves any more. */
void world_settle(void);
/* Lets time pass, in steps small enough for each timer to have its turn. */
void world_pass(uint64_t ms);
uint64_t world_now_ns(void);
/* Fails the run if bytes that a client has taken do not come back to the worker's window. */
void world_check_credit(void);

struct played_worker *world_worker(unsigned n);
/* Sends the bytes on the socket of a worker; while they do not fit, runs the loop. */
void world_send(int fd, const void *data, size_t size);
/* Returns whether the supervisor lets the worker work. */
bool world_has_attested(const struct played_worker *worker);

/* ---- messages of the spawner */
void world_spawned(struct played_worker *worker);
void world_not_spawned(struct played_worker *worker);
/* The worker's process ends. is_memory: the kernel's OOM killer. */
void world_exited(struct played_worker *worker, int wait_status);

/* ---- deeds of the operator */
void world_install(unsigned tenant, unsigned variant);
void world_remove(unsigned tenant);
void world_reload(unsigned variant);
/* skepd is told to end: what it has accepted is still answered. */
void world_drain(void);
#define TENANTS 6
const char *world_tenant_name(unsigned tenant);
struct tenant *world_tenant(unsigned tenant);
