/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs all numbers through probes: see numbers.h.
 */
#include "tests/jail/numbers.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static const struct probe_plan counting = { .lock = PROBE_SEALED, .counts = true };
static const struct probe_plan entered = { .lock = PROBE_ENTERED };

static void print_call(const char *what, const struct call *call)
{
    print_error("%s: call %" PRId64 " (0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64
                ", 0x%" PRIx64 ", 0x%" PRIx64 ")\n",
                what, call->number, (uint64_t) call->args[0], (uint64_t) call->args[1],
                (uint64_t) call->args[2], (uint64_t) call->args[3], (uint64_t) call->args[4],
                (uint64_t) call->args[5]);
}

int64_t numbers_scratch(struct cell *cell)
{
    const struct probe_ask ask = { .kind = PROBE_SCRATCH };
    struct probe_reply reply = { 0 };

    assert_true(cell_ask(cell, &ask, &reply));
    return reply.result;
}

/* Returns NULL, or what is wrong with the answer. */
static const char *judge(enum expected expected, int error, const struct probe_reply *reply,
                         bool was_refused)
{
    switch (expected) {
    case EXPECT_REFUSED:
        return was_refused ? NULL : "passed without a row";
    case EXPECT_ALLOWED:
        return was_refused ? "refused with a row" : NULL;
    case EXPECT_ERROR:
        return was_refused || reply->result != -1 || reply->error != error ? "not its row's error"
                                                                           : NULL;
    case EXPECT_NOTHING:
        break;
    }
    return "policy_row_fits errs";
}

bool numbers_compare(struct cell *cell, const struct policy_context *context,
                     const struct call *call, unsigned *refused, struct numbers_tally *tally)
{
    struct probe_ask ask = { .kind = PROBE_SYSTEM_CALL, .number = call->number };
    struct probe_reply reply = { 0 };
    int error = 0;
    const enum expected expected = calls_expect(context, call, &error);

    memcpy(ask.args, call->args, sizeof ask.args);
    if (!cell_ask(cell, &ask, &reply)) {
        print_call("the probe died", call);
        fail();
    }
    bool was_refused = reply.refused == *refused + 1;
    const char *wrong = reply.refused > *refused + 1 ? "refused more than once"
                                                     : judge(expected, error, &reply, was_refused);
    *refused = (unsigned) reply.refused;
    tally->calls++;
    tally->refused += was_refused;
    if (wrong) {
        print_call(wrong, call);
        tally->surprises++;
    }
    return wrong == NULL;
}

void numbers_try_native(struct hive *hive, bool jit, struct numbers_tally *tally)
{
    const struct policy_context context = {
        .jit = jit,
        .channel_fd = POLICY_CHANNEL_FD,
        .self = 1,
    };
    struct cell *cell = cell_start(hive, &counting, jit);
    int64_t scratch = numbers_scratch(cell);
    unsigned refused = 0;

    tally->probes++;
    for (int number = -1; number < CALLS_NUMBERS; number++)
        for (size_t i = 0; i < calls_n_patterns; i++) {
            struct call call = { .number = number };
            int error;
            memcpy(call.args, calls_patterns[i].args, sizeof call.args);
            scratch_resolve(call.args, scratch);
            if (calls_is_past_filters(number) ||
                (calls_expect(&context, &call, &error) == EXPECT_ALLOWED &&
                 !calls_defuse(&call, scratch)))
                continue;
            (void) numbers_compare(cell, &context, &call, &refused, tally);
        }
    assert_int_equal(cell_end(hive, cell), 0);
}

bool numbers_has_int80(struct hive *hive)
{
#if defined(__x86_64__)
    const struct probe_ask ask = { .kind = PROBE_INT80 };
    struct cell *cell = cell_start(hive, &entered, true);
    struct probe_reply reply = { 0 };

    if (!cell_ask(cell, &ask, &reply))
        return false;
    assert_int_equal(reply.result, 1); /* the child's pid */
    assert_int_equal(cell_end(hive, cell), 0);
    return true;
#else
    (void) hive;
    return false;
#endif
}

bool numbers_foreign_kills(struct cell *entered_cell, enum probe_abi abi, const struct call *call,
                           bool has_int80, struct numbers_tally *tally)
{
    const int by = abi == PROBE_ABI_INT80 && !has_int80 ? SIGSEGV : SIGSYS;
    struct probe_ask ask = { .kind = PROBE_CHILD_CALL, .abi = abi, .number = call->number };
    struct probe_reply reply = { 0 };

    memcpy(ask.args, call->args, sizeof ask.args);
    assert_true(cell_ask(entered_cell, &ask, &reply));
    int status = (int) reply.result;
    tally->calls++;
    tally->probes++;
    if (WIFSIGNALED(status) && WTERMSIG(status) == by) {
        tally->refused++;
        return true;
    }
    char what[64];
    (void) snprintf(what, sizeof what, "%s: wait status 0x%x",
                    abi == PROBE_ABI_X32 ? "x32" : "int 0x80", (unsigned) status);
    print_call(what, call);
    tally->surprises++;
    return false;
}

void numbers_try_foreign(struct hive *hive, enum probe_abi abi, bool all_patterns,
                         struct numbers_tally *tally)
{
    bool has_int80 = numbers_has_int80(hive);
    struct cell *cell = cell_start(hive, &entered, true);
    int64_t scratch = numbers_scratch(cell);

    tally->probes++;
    for (int number = 0; number < CALLS_NUMBERS; number++)
        for (size_t i = 0; i < calls_n_patterns; i++) {
            struct call call = { .number = number };
            if (!all_patterns && i != (size_t) number % calls_n_patterns)
                continue;
            memcpy(call.args, calls_patterns[i].args, sizeof call.args);
            scratch_resolve(call.args, scratch);
            (void) numbers_foreign_kills(cell, abi, &call, has_int80, tally);
        }
    assert_int_equal(cell_end(hive, cell), 0);
}
