/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side for jail tests: a real spawner, and cells, which are probes that it
 * started. Everything here fails the running cmocka test instead of returning errors.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/scoreboard.h"
#include "supervisor/helpers/health.h"
#include "supervisor/helpers/spawner.h"
#include "tests/jail/probe.h"

#define HIVE_CELLS 64

struct cell {
    unsigned slot;
    bool used, answered, exited;
    int error; /* error of the spawner */
    const char *step;
    pid_t pid;
    int pidfd;
    int stat_fd, statm_fd;
    int channel_fd;
    int wait_status;
    uint64_t cpu_ns;                /* CPU time of an ended cell */
    const struct scoreboard *board; /* the page that the probe writes */
    bool has_facts;
    int facts_error;
    struct jail_facts facts; /* facts of the last cell_look */
};

struct hive {
    struct event_base *base;
    struct spawner *spawner;
    struct cell cells[HIVE_CELLS];
    int cgroup_fd;        /* the cgroup in which cells are started; 0: none */
    layer_set layers;     /* layers that cells get: all that work here */
    struct health health; /* health of the spawners, where one is in reserve */
};

/* worker_path: NULL for this test program itself, as a probe. Finds out which layers work here. */
void hive_init(struct hive *hive, const char *worker_path);
/* Does the same, with a second spawner, which is there on return. */
void hive_init_with_reserve(struct hive *hive);
void hive_done(struct hive *hive);

/* Asks for a worker, and waits for the answer: cell->error. Takes a free slot. */
struct cell *cell_spawn(struct hive *hive, const struct probe_plan *plan, bool jit);

/* Starts a probe, which locks itself in as the plan says, and fails if the probe found anything
 * wrong. */
struct cell *cell_start(struct hive *hive, const struct probe_plan *plan, bool jit);

/* Reads the probe's first reply. */
void cell_read_reply(struct cell *cell, struct probe_reply *ret_reply);

/* Asks the cell and waits for its reply; false if it died instead. */
bool cell_ask(struct cell *cell, const struct probe_ask *ask, struct probe_reply *ret_reply);

/* Has the spawner look at the cell's jail: cell->facts. Returns 0 or the spawner's error. */
int cell_look(struct hive *hive, struct cell *cell);

/* Does the same, and judges the facts: as attest_judge. */
int cell_attest(struct hive *hive, struct cell *cell, bool jit, char *text, size_t size);

/* Waits until the spawner reports the end. Returns the wait status. The cell is free again then. */
int cell_wait(struct hive *hive, struct cell *cell);

/* Closes the channel, so that the probe ends by itself, and waits. */
int cell_end(struct hive *hive, struct cell *cell);

/* Fails unless the descriptor becomes readable (a pidfd: the process ended). */
void await_readable(int fd);

/* Runs the function in a process of its own, and fails if a check in it does. */
void run_apart(void (*run)(void));
