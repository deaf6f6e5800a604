/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run_queue.h"

#include <assert.h>
#include <stddef.h>

#define WORD_BITS 64
#define WORDS (RUN_QUEUE_ROUNDS / WORD_BITS)

static unsigned slot_of(uint64_t round)
{
    return (unsigned) (round % RUN_QUEUE_ROUNDS);
}

static uint32_t cut_cost(uint32_t cost_us)
{
    return cost_us < RUN_COST_MAX_US ? cost_us : RUN_COST_MAX_US;
}

static int64_t cut_owed(int64_t owed_us, int64_t most_us)
{
    return owed_us > most_us ? most_us : owed_us < -most_us ? -most_us : owed_us;
}

static int64_t quantum_us(const struct run_entry *entry)
{
    int64_t quantum = (int64_t) entry->weight * RUN_QUANTUM_US / 100;

    return quantum > 0 ? quantum : 1;
}

/* Puts the entry into the round in which its deficit will cover its cost, or as near to that as the
 * rounds reach. Never into the present round: an entry that comes back again and again would be
 * served in it for ever. */
static void plan(struct run_queue *queue, struct run_entry *entry)
{
    int64_t quantum = quantum_us(entry);
    int64_t lacking = entry->cost_us - entry->deficit_us;
    int64_t rounds = lacking > 0 ? (lacking + quantum - 1) / quantum : 1;

    if (rounds > RUN_QUEUE_ROUNDS - 1)
        rounds = RUN_QUEUE_ROUNDS - 1;
    entry->deficit_us += rounds * quantum;
    entry->round = queue->round + (uint64_t) rounds;
    unsigned slot = slot_of(entry->round);
    uint64_t bit = UINT64_C(1) << slot % WORD_BITS;
    if (!(queue->used[slot / WORD_BITS] & bit))
        TAILQ_INIT(&queue->rounds[slot]);
    queue->used[slot / WORD_BITS] |= bit;
    TAILQ_INSERT_TAIL(&queue->rounds[slot], entry, entry);
}

static void take_out(struct run_queue *queue, struct run_entry *entry)
{
    unsigned slot = slot_of(entry->round);

    TAILQ_REMOVE(&queue->rounds[slot], entry, entry);
    if (TAILQ_EMPTY(&queue->rounds[slot]))
        queue->used[slot / WORD_BITS] &= ~(UINT64_C(1) << slot % WORD_BITS);
}

void run_queue_join(struct run_queue *queue, struct run_entry *entry, uint32_t cost_us,
                    uint32_t weight)
{
    assert(!entry->is_waiting && weight > 0);
    entry->is_waiting = true;
    entry->cost_us = cut_cost(cost_us);
    entry->weight = weight;
    /* The deficit is not zero if the last turns were settled after the entry had left. */
    entry->deficit_us = cut_owed(entry->deficit_us, entry->cost_us);
    if (queue->n == 0)
        queue->round = 0; /* the same few lists again and again, while there is no contention */
    queue->n++;
    plan(queue, entry);
}

void run_queue_leave(struct run_queue *queue, struct run_entry *entry)
{
    assert(entry->is_waiting);
    take_out(queue, entry);
    entry->is_waiting = false;
    entry->deficit_us = 0;
    queue->n--;
}

/* Returns the first slot in use from the present round on; there is one. */
static unsigned first_used(const struct run_queue *queue)
{
    unsigned from = slot_of(queue->round), word = from / WORD_BITS;
    uint64_t bits = queue->used[word] & UINT64_MAX << from % WORD_BITS;

    for (unsigned i = 0; bits == 0 && i < WORDS; i++) {
        word = (word + 1) % WORDS;
        bits = queue->used[word];
    }
    return word * WORD_BITS + (unsigned) __builtin_ctzll(bits);
}

struct run_entry *run_queue_next(struct run_queue *queue)
{
    while (queue->n > 0) {
        struct run_entry *entry = TAILQ_FIRST(&queue->rounds[first_used(queue)]);
        queue->round = entry->round;
        if (entry->deficit_us >= entry->cost_us)
            return entry;
        take_out(queue, entry);
        plan(queue, entry);
    }
    return NULL;
}

void run_queue_charge(struct run_queue *queue, struct run_entry *entry, uint32_t cost_us,
                      uint32_t next_cost_us)
{
    assert(entry->is_waiting);
    entry->deficit_us -= cut_cost(cost_us);
    entry->cost_us = cut_cost(next_cost_us);
    if (entry->deficit_us >= entry->cost_us)
        return;
    take_out(queue, entry);
    plan(queue, entry);
}

void run_queue_postpone(struct run_queue *queue, struct run_entry *entry)
{
    assert(entry->is_waiting);
    take_out(queue, entry);
    entry->deficit_us -= quantum_us(entry); /* the quantum of the next round */
    plan(queue, entry);
}

void run_queue_settle(struct run_queue *queue, struct run_entry *entry, uint32_t charged_us,
                      uint32_t cost_us)
{
    int64_t back_us = (int64_t) cut_cost(charged_us) - cut_cost(cost_us);

    if (!entry->is_waiting)
        entry->deficit_us = cut_owed(entry->deficit_us + back_us, RUN_COST_MAX_US);
    if (!entry->is_waiting || back_us == 0)
        return;
    /* The entry is planned anew: take back the quanta of the rounds that it was to wait for. */
    entry->deficit_us -= (int64_t) (entry->round - queue->round) * quantum_us(entry);
    entry->deficit_us += back_us;
    if (entry->deficit_us > entry->cost_us)
        entry->deficit_us = entry->cost_us;
    if (entry->round == queue->round && entry->deficit_us >= entry->cost_us)
        return;
    take_out(queue, entry);
    plan(queue, entry);
}
