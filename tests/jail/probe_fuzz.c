/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random calls inside the probe: see fuzz/fuzz.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/jail/fuzz/fuzz.h"
#include "worker/jail_trap.h"

/* xorshift64*: the same calls from the same seed, on every machine. */
static uint64_t next(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(2685821657736338717);
}

uint64_t fuzz_state(uint64_t seed)
{
    uint64_t state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);

    state ^= state >> 31;
    return state ? state : 1;
}

static uint64_t below(uint64_t *state, uint64_t bound)
{
    return (next(state) >> 16) % bound;
}

static int64_t pick_value(uint64_t *state, int64_t scratch)
{
    static const int64_t known[] = {
        0,         1,         2,         3,          4,          5,         7,         8,
        9,         16,        64,        255,        4096,       65536,     -1,        -2,
        -100,      INT32_MIN, INT32_MAX, UINT32_MAX, INT64_MIN,  INT64_MAX, FIONREAD,  TIOCSTI,
        PROT_EXEC, PROT_READ, 0x22,      0x32,       0x10000000, 0x3d0f00,  1LL << 32, 1LL << 47,
    };
    uint64_t bits = next(state);

    switch (below(state, 8)) {
    case 0:
    case 1:
        return known[below(state, ARRAY_LEN(known))];
    case 2: /* a descriptor, perhaps */
        return (int64_t) below(state, 10);
    case 3:
        return scratch + (int64_t) below(state, sizeof(struct scratch));
    case 4:
        return (int64_t) (UINT64_C(1) << below(state, 64));
    case 5: /* few bits */
        bits &= next(state);
        return (int64_t) (bits & next(state));
    case 6: /* an int below garbage */
        return (int64_t) (next(state) << 32 | below(state, 16));
    default:
        return (int64_t) bits;
    }
}

/* Picks a value that the row wants, or one with one bit changed. */
static void pick_checked(uint64_t *state, const struct policy_syscall *row,
                         const struct policy_context *context, int64_t args[static 6])
{
    for (size_t i = 0; i < POLICY_MAX_ARGS; i++) {
        const struct policy_arg *arg = &row->args[i];
        if (arg->check == POLICY_NO_CHECK || below(state, 8) == 0)
            continue;
        uint64_t value = calls_fitting_value(arg, context);
        if (arg->check == POLICY_INT_MASKED || arg->check == POLICY_LONG_MASKED)
            value |= next(state) & ~arg->mask;
        if (below(state, 3) == 0)
            value ^= UINT64_C(1) << below(state, 64);
        args[arg->index] = (int64_t) value;
    }
}

void fuzz_pick(uint64_t *state, const struct policy_context *context, int64_t scratch,
               struct call *ret_call)
{
    const struct policy_syscall *row = NULL;

    ret_call->number = (int64_t) below(state, CALLS_NUMBERS);
    if (below(state, 2) == 0) {
        row = &policy_worker_running.rows[below(state, policy_worker_running.n_rows)];
        int number = seccomp_syscall_resolve_name(row->name);
        if (number >= 0) /* no numbers of the other architecture */
            ret_call->number = number;
    }
    for (size_t i = 0; i < 6; i++)
        ret_call->args[i] = pick_value(state, scratch);
    if (row)
        pick_checked(state, row, context, ret_call->args);
    if (below(state, 16) == 0) /* the kernel drops the upper half, and so must the filter */
        ret_call->number |= (int64_t) (next(state) << 32);
}

static void note(struct scoreboard *board, const struct call *call)
{
    atomic_store_explicit(&FUZZ_NOTE(board)[0], (uint64_t) call->number, memory_order_relaxed);
    for (size_t i = 0; i < 6; i++)
        atomic_store_explicit(&FUZZ_NOTE(board)[i + 1], (uint64_t) call->args[i],
                              memory_order_relaxed);
}

/* Returns NULL, or what is wrong with the answer. */
static const char *make_call(const struct call *call, enum expected expected, int expected_error)
{
    const int64_t *a = call->args;
    unsigned before = jail_trap_count();

    errno = 0;
    long result = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    int error = errno;
    unsigned traps = jail_trap_count() - before;
    if (traps > 1)
        return "refused more than once";
    switch (expected) {
    case EXPECT_REFUSED:
        return traps == 1 ? NULL : "passed without a row";
    case EXPECT_ALLOWED:
        return traps == 0 ? NULL : "refused with a row";
    case EXPECT_ERROR:
        return traps == 0 && result == -1 && error == expected_error ? NULL : "not its row's error";
    case EXPECT_NOTHING:
        break;
    }
    return "policy_row_fits errs";
}

int64_t fuzz_run(const struct probe_ask *ask, struct scoreboard *board, char *text, size_t size)
{
    const struct policy_context context = {
        .jit = ask->args[1] != 0,
        .channel_fd = POLICY_CHANNEL_FD,
        .self = 1,
    };
    const int64_t scratch = (int64_t) (intptr_t) scratch_get();
    uint64_t state = fuzz_state((uint64_t) ask->number);
    int64_t made = 0;

    while (made < ask->args[0]) {
        struct call call;
        int error = 0;
        fuzz_pick(&state, &context, scratch, &call);
        enum expected expected = calls_expect(&context, &call, &error);
        if (calls_is_past_filters(call.number) ||
            (expected == EXPECT_ALLOWED && !calls_defuse(&call, scratch)))
            continue;
        note(board, &call);
        const char *wrong = make_call(&call, expected, error);
        if (wrong) {
            (void) snprintf(
                text, size,
                "%s: %" PRId64 " (0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ")",
                wrong, call.number, call.args[0], call.args[1], call.args[2], call.args[3]);
            return made;
        }
        made++;
    }
    return made;
}
