/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For fuzz targets: the supervisor without processes. All code from the HTTP front to the channels
 * is real, on a real loop; the target plays workers and clients, and the spawner is dead.
 */
#pragma once

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/channel.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/worker.h"
#include "tests/heart.h"

/* Not assert, which is not in every build. The message of a failure is libFuzzer's stack. */
#define CHECK(condition)                    \
    do {                                    \
        if (!(condition))                   \
            rig_fail(#condition, __LINE__); \
    } while (0)
_Noreturn void rig_fail(const char *condition, int line);

/* Number of bytes before the frames in the target's input. Defined by the target. */
extern const size_t fuzz_options_bytes;

struct rig {
    struct heart heart;
    struct sockaddr_un address; /* address of the front */
    socklen_t address_size;
};

/* Makes all but workers, admin socket and tenants. config: text of skepd.yaml, the same in each call. Loop, config and
 * spawner are made at the first call and kept, the others are new each time. */
struct rig *rig_start(const char *config);
void rig_stop(struct rig *rig);
/* Installs a version of a tenant. text: the skep.yaml. Versions get the numbers 1, 2, 3 ... in the
 * order of the calls. */
void rig_install(struct rig *rig, const char *text, const char *dir);
/* Does the same with a manifest, which it takes over. */
void rig_install_manifest(struct rig *rig, struct manifest *manifest, const char *dir);
void rig_turn(struct rig *rig);
/* Runs the checks that otherwise only timers would run. */
void rig_tick(struct rig *rig);

/* ---- a worker: its slot in the supervisor, and the other end of its channel */

struct rig_worker {
    struct worker *worker; /* borrowed from the slots; NULL after its end */
    int fd;
};

/* Starts a worker, in WORKER_BOOTING: the spawner has been asked for it. */
void rig_worker_start(struct rig *rig, const char *cordon, enum slot_kind kind,
                      struct rig_worker *ret_worker);
/* The spawner reports that the process is there. */
void rig_worker_spawned(struct rig *rig, struct rig_worker *peer);
/* Moves the worker to WORKER_READY without hello and attestation, which only a jailed process
 * passes. */
void rig_worker_become_ready(struct rig *rig, struct rig_worker *peer);
/* The spawner reports that it has ended, or that it could not be started; no other comes after it. */
void rig_worker_exit(struct rig *rig, struct rig_worker *peer, int wait_status);
void rig_worker_done(struct rig_worker *peer);
/* Reads all that it was sent, and drops it. */
void rig_drop_input(int fd);

/* ---- a client of the front */

struct rig_client {
    int fd; /* -1: none */
    llhttp_t parser;
    unsigned asked, begun, ended; /* numbers of requests and of answers */
    bool is_cut_off;
    unsigned status; /* status of the last answer */
    size_t body_size;
};

void rig_client_start(struct rig *rig, struct rig_client *client);
/* Sends one request, or a part of one (is_new: its beginning). */
void rig_client_ask(struct rig_client *client, const void *data, size_t size, bool is_new);
/* Reads all that has come. Anything but one well-formed answer for each request is a failure. */
void rig_client_read(struct rig_client *client);
void rig_client_done(struct rig_client *client);
