/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is next at a resource that several share by weight: deficit round robin (Shreedhar and
 * Varghese, 1995). Each round gives every entry a quantum in proportion to its weight; an entry runs
 * when what it has been given covers what it costs. Entries that need many rounds for that lie in
 * the list of the round in which they will have enough, so a decision takes the same time however
 * many wait and however much they cost. A pure data structure: no clock, no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define RUN_QUEUE_ROUNDS 1024
/* What a round gives to an entry of weight 100, and the most that one decision may cost. */
#define RUN_QUANTUM_US 1000
#define RUN_COST_MAX_US 1000000

/* Embedded in what waits. All zero: waits nowhere. */
struct run_entry {
    TAILQ_ENTRY(run_entry) entry;
    uint64_t round; /* in which it runs */
    int64_t deficit_us;
    uint32_t cost_us, weight;
    bool is_waiting;
};
TAILQ_HEAD(run_list, run_entry);

/* All zero: empty. Does not own its entries. */
struct run_queue {
    struct run_list rounds[RUN_QUEUE_ROUNDS]; /* valid where the bit in used is set */
    uint64_t used[RUN_QUEUE_ROUNDS / 64];
    uint64_t round;
    unsigned n;
};

/* Starts to wait, for a round after this one; what it had over when it left is gone. cost_us: of its
 * next turn, cut at RUN_COST_MAX_US. weight: at least 1. */
void run_queue_join(struct run_queue *queue, struct run_entry *entry, uint32_t cost_us,
                    uint32_t weight);
/* Waits no more. */
void run_queue_leave(struct run_queue *queue, struct run_entry *entry);
/* Whose turn it is; it stays the next until it is charged or leaves. NULL if nobody waits. */
struct run_entry *run_queue_next(struct run_queue *queue);
/* Puts off an entry that cannot take its turn yet: those of this round and the next come before it. */
void run_queue_postpone(struct run_queue *queue, struct run_entry *entry);
/* It has had its turn, which cost this, and waits for another. */
void run_queue_charge(struct run_queue *queue, struct run_entry *entry, uint32_t cost_us,
                      uint32_t next_cost_us);
/* A turn has cost this, and not what it was charged with. What it gets back brings its next turn nearer,
 * and no more than that one; also if it waits no more and joins again. queue: where it waits, if it
 * does. */
void run_queue_settle(struct run_queue *queue, struct run_entry *entry, uint32_t charged_us,
                      uint32_t cost_us);
