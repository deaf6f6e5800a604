/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that a request touches in the supervisor hangs off one struct server, without globals.
 * main.c makes it; every module reaches its neighbours through it. Loop thread only.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config/config.h"
#include "supervisor/helpers/health.h"
#include "supervisor/jail/level.h"
#include "supervisor/record/life.h"
#include "supervisor/record/record.h"

struct admin;
struct cgroup_tree;
struct deploys;
struct http_front;
struct notify;
struct router;
struct service;
struct sockets;
struct spawner;
struct store;
struct placements;
struct slots;
struct ledger;
struct metrics;
struct reader;
struct reload;
struct tenants;
struct versions;

struct server {
    struct event_base *base;
    struct config *config;
    struct cgroup_tree *cgroups; /* NULL: workers have none */
    struct spawner *spawner;
    struct jail_state jail;
    struct http_front *front;
    struct tenants *tenants;
    struct slots *slots;
    struct ledger *ledger;
    struct placements *placements;
    struct admin *admin;
    struct sockets *sockets; /* inherited and own; NULL in tests */
    struct notify *notify;   /* NULL: nobody is to be notified */
    struct service *service; /* NULL in tests */
    struct metrics *metrics; /* NULL: no endpoint */
    struct reload *reload;   /* NULL in tests of the admin socket */
    struct versions *versions;
    struct reader *reader; /* NULL in tests: files are read in the loop */
    struct record record;
    struct store *store; /* NULL: nothing can be deployed */
    struct deploys *deploys;
    struct health health; /* of the helper processes */
    uint64_t max_files;   /* descriptors that the process may have */
    struct life life;
    bool is_dev; /* one tenant, which gets every request */
};
