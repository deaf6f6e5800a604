/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants that hold up others: how long JavaScript of one tenant ran in a worker while requests of
 * others waited for that worker, and what follows. Pure functions; the caller gives the times and
 * acts on the results. Supervisor.
 *
 * A worker runs one piece of JavaScript at a time. Short pieces take turns (run_queue.h), so any
 * number of them holds up nobody for long; only long ones count here. Their length is CPU time of
 * the worker's process, so that a tenant is not blamed for a host that is busy.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A shorter piece of JavaScript holds up nobody: a stretch of work in a worker is about as long. */
#define HOLDUP_PIECE_MS 5
/* Part of a load that does not count: honest tenants need it, each once, and all at a time where a
 * worker is new. */
#define HOLDUP_LOAD_MS 250
/* Rate at which counts are forgotten: this many ms in each second of the worker's own time (own_time.h). A tenant that holds up others
 * for a smaller part of the time stays among them. */
#define HOLDUP_FORGET_MS_PER_S 100
/* A worker is pressed when this much was counted for all tenants in it. */
#define HOLDUP_PRESSED_MS 80
/* Least count of a tenant that goes apart because of it. */
#define HOLDUP_PART_MS 35
/* A worker that the tenant's requests in it are likely to hold up for so long is replaced. */
#define HOLDUP_REMAINING_MS 60
/* In a worker that is pressed, a request that may hold up others goes this long after the last one. */
#define HOLDUP_PAUSE_MS 150

/* Time that was counted for one tenant, or for all in one worker. All zero: none. */
struct holdup {
    uint64_t held_ns; /* at at_ns */
    uint64_t at_ns;
};

/* The piece of JavaScript that a worker runs, by its claim. All zero: none. */
struct holdup_piece {
    uint64_t request, since_ns;
    uint64_t cpu_from_ns; /* CPU time of the worker when the piece was seen first */
    uint64_t counted_ns;  /* part of its length that was counted */
};

/* The worker runs this request since since_ns (both 0: none), and has used cpu_ns of CPU time. Returns
 * by how much a long piece has grown since the last call; 0 if it is short, or was not seen before.
 * spared_ns: how much of its length counts for nothing. */
uint64_t holdup_look(struct holdup_piece *piece, uint64_t request, uint64_t since_ns,
                     uint64_t cpu_ns, uint64_t spared_ns);
/* How long the piece has run by now. */
uint64_t holdup_piece_ns(const struct holdup_piece *piece, uint64_t cpu_ns);

void holdup_add(struct holdup *holdup, uint64_t held_ns, uint64_t now_ns);
/* The worker has waited for a processor for so long since the last look at the count: nothing is
 * forgotten for that time, in which nobody could have gone on. */
void holdup_wait(struct holdup *holdup, uint64_t waited_ns, uint64_t now_ns);
/* Returns the rest of the count. */
uint64_t holdup_held_ns(const struct holdup *holdup, uint64_t now_ns);
bool holdup_is_pressed(const struct holdup *worker, uint64_t now_ns);

enum holdup_step {
    HOLDUP_STAY,
    HOLDUP_PART,    /* the tenant goes to a worker apart */
    HOLDUP_REPLACE, /* also, all others go to a fresh worker: this one is held up for too long */
    HOLDUP_STEPS,
};

struct holdup_facts {
    uint64_t worker_ns;    /* counted for all tenants in the worker */
    uint64_t tenant_ns;    /* counted for this tenant */
    uint64_t remaining_ms; /* CPU time that the tenant's requests in the worker are likely to use */
    bool is_apart;         /* the tenant's next requests go to another worker already */
};

/* Decides about a tenant with a placement in a worker that was just held up. */
enum holdup_step holdup_decide(const struct holdup_facts *facts);
