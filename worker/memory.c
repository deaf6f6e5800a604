/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/memory.h"

#define STEP_BYTES (INT64_C(64) << 10) /* bytes between two publications */
#define BYTES_PER_KIB 1024

struct account {
    int64_t held;  /* may be negative: blocks of a former account of the same name */
    int64_t low;   /* nothing has to be done while held is from low on, */
    uint64_t span; /* and at most this much above it */
    int64_t alarm;
    uint32_t *published_kib; /* borrowed: see memory_publish; NULL: none */
    memory_alarm_fn on_alarm;
    void *owner;
    bool is_open;
};

static struct account accounts[MEMORY_ACCOUNTS];
static uint32_t n_used = 1; /* names that were ever given out; MEMORY_OWN is one */
static _Thread_local uint32_t current;

/* Loads a value; loads and stores are plain ones to the processor. The sentry's thread may meet the
 * main one in MEMORY_OWN: a block that is lost to the account then does no harm. */
static int64_t load(const int64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static uint32_t to_kib(int64_t bytes)
{
    int64_t kib = bytes > 0 ? bytes / BYTES_PER_KIB : 0;

    return kib < UINT32_MAX ? (uint32_t) kib : UINT32_MAX;
}

static void set_window(struct account *account, int64_t held)
{
    int64_t high = held + STEP_BYTES;

    if (account->on_alarm && account->alarm - 1 < high)
        high = account->alarm - 1;
    account->low = held - STEP_BYTES;
    account->span = high > account->low ? (uint64_t) (high - account->low) : 0;
}

static void step(struct account *account)
{
    int64_t held = load(&account->held);
    memory_alarm_fn on_alarm = account->on_alarm;

    if (account->published_kib)
        __atomic_store_n(account->published_kib, to_kib(held), __ATOMIC_RELAXED);
    if (!on_alarm || held < account->alarm)
        on_alarm = NULL;
    else
        account->on_alarm = NULL; /* allocations of the callback must not call it again */
    set_window(account, held);
    if (on_alarm)
        on_alarm(account->owner);
}

static inline void count(uint32_t name, int64_t bytes)
{
    struct account *account = &accounts[name];
    int64_t held = load(&account->held) + bytes;

    __atomic_store_n(&account->held, held, __ATOMIC_RELAXED);
    if ((uint64_t) (held - account->low) > account->span)
        step(account);
}

uint32_t memory_add(size_t bytes)
{
    uint32_t name = current;

    count(name, (int64_t) bytes);
    return name;
}

void memory_add_to(uint32_t account, size_t bytes)
{
    count(account, (int64_t) bytes);
}

void memory_remove(uint32_t account, size_t bytes)
{
    count(account, -(int64_t) bytes);
}

uint32_t memory_enter(uint32_t account)
{
    uint32_t before = current;

    current = account;
    return before;
}

void memory_leave(uint32_t before)
{
    current = before;
}

/* Opens the closed account with the least left in it; the rest will be freed from the new
 * account. */
uint32_t memory_open(void)
{
    uint32_t best = MEMORY_OWN;

    for (uint32_t i = 1; i < n_used; i++)
        if (!accounts[i].is_open && (best == MEMORY_OWN || accounts[i].held < accounts[best].held))
            best = i;
    if ((best == MEMORY_OWN || accounts[best].held > 0) && n_used < MEMORY_UNCOUNTED)
        best = n_used++;
    if (best == MEMORY_OWN)
        return best;
    count(MEMORY_OWN, accounts[best].held);
    accounts[best] = (struct account){ .is_open = true };
    return best;
}

void memory_close(uint32_t account)
{
    if (account == MEMORY_OWN)
        return;
    memory_publish(account, NULL);
    accounts[account].on_alarm = NULL;
    accounts[account].is_open = false;
}

size_t memory_held(uint32_t account)
{
    int64_t held = load(&accounts[account].held);

    return held > 0 ? (size_t) held : 0;
}

void memory_publish(uint32_t account, uint32_t *kib)
{
    if (account == MEMORY_OWN)
        return;
    accounts[account].published_kib = kib;
    step(&accounts[account]);
}

void memory_set_alarm(uint32_t account, size_t bytes, memory_alarm_fn on_alarm, void *owner)
{
    struct account *self = &accounts[account];

    if (account == MEMORY_OWN)
        return;
    self->alarm = bytes < INT64_MAX ? (int64_t) bytes : INT64_MAX;
    self->on_alarm = bytes < INT64_MAX ? on_alarm : NULL;
    self->owner = owner;
    step(self);
}
