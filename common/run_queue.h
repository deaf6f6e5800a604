/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue at a resource that several share by weight: deficit round robin (Shreedhar and
 * Varghese, 1995). Each round gives every entry a quantum in proportion to its weight; an entry
 * runs when its quanta cover its cost. Entries that need many rounds for that lie in the list of
 * the round in which they will have enough, so a decision takes the same time however many wait and
 * however much they cost. A pure data structure: no clock, no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define RUN_QUEUE_ROUNDS 1024
/* Quantum of an entry of weight 100, and the highest cost of a turn. */
#define RUN_QUANTUM_US 1000
#define RUN_COST_MAX_US 1000000

/* A waiting entry, embedded in its owner. All zero: waits nowhere. */
struct run_entry {
    TAILQ_ENTRY(run_entry) entry;
    uint64_t round; /* the round in which the entry runs */
    int64_t deficit_us;
    uint32_t cost_us, weight;
    bool is_waiting;
};
TAILQ_HEAD(run_list, run_entry);

/* All zero: empty. Entries are borrowed. */
struct run_queue {
    struct run_list rounds[RUN_QUEUE_ROUNDS]; /* valid where the bit in used is set */
    uint64_t used[RUN_QUEUE_ROUNDS / 64];
    uint64_t round;
    unsigned n;
};

/* Adds an entry, for a round after this one; the quanta left over when it left before are gone.
 * cost_us: of its next turn, cut at RUN_COST_MAX_US. weight: at least 1. */
void run_queue_join(struct run_queue *queue, struct run_entry *entry, uint32_t cost_us,
                    uint32_t weight);
/* Removes an entry. */
void run_queue_leave(struct run_queue *queue, struct run_entry *entry);
/* Returns the entry whose turn it is; it stays the next until it is charged or leaves. NULL if the
 * queue is empty. */
struct run_entry *run_queue_next(struct run_queue *queue);
/* Puts off an entry that cannot take its turn yet: the entries of this round and the next come
 * before it. */
void run_queue_postpone(struct run_queue *queue, struct run_entry *entry);
/* Charges an entry for the turn that it has had, and lets it wait for another. */
void run_queue_charge(struct run_queue *queue, struct run_entry *entry, uint32_t cost_us,
                      uint32_t next_cost_us);
/* Corrects the charge of a turn to its true cost. A refund brings the entry's next turn nearer, and
 * no more than that one; also if the entry waits no more and joins again. queue: the one that it
 * waits in, if it waits. */
void run_queue_settle(struct run_queue *queue, struct run_entry *entry, uint32_t charged_us,
                      uint32_t cost_us);
