/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Escapes, by name, that native code in a worker would try. Each is tried in a sealed probe, where
 * the filter has to refuse it, and, if another layer should stop it as well, in a probe with every
 * layer but the filters. The tables are in escapes_*.c.
 */
#include <errno.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/jail/escapes.h"
#include "tests/jail/hive.h"

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif

/* One worker of each kind for all escapes: only these may be hurt. */
struct stage {
    struct cell *sealed, *entered;
    int64_t scratch[2]; /* scratch memory of these two */
    unsigned refused;
};

static struct hive hive;
static struct cell *sibling;
static struct stage stages[2]; /* without and with jit */

/* The subject of one test. */
struct trial {
    const struct escape *escape;
    struct stage *stage;
    char name[64];
};

static int64_t ask_scratch(struct cell *cell)
{
    const struct probe_ask ask = { .kind = PROBE_SCRATCH };
    struct probe_reply reply = { 0 };

    assert_true(cell_ask(cell, &ask, &reply));
    return reply.result;
}

static void start_stage(struct stage *stage, bool jit)
{
    const struct probe_plan counting = { .lock = PROBE_SEALED, .counts = true };
    const struct probe_plan entered = { .lock = PROBE_ENTERED };

    stage->sealed = cell_start(&hive, &counting, jit);
    stage->entered = cell_start(&hive, &entered, jit);
    stage->scratch[0] = ask_scratch(stage->sealed);
    stage->scratch[1] = ask_scratch(stage->entered);
    stage->refused = 0;
}

/* Checks that the cell lives, and is as it was. */
static void assert_unharmed(struct cell *cell)
{
    const struct probe_ask ask = {
        .kind = PROBE_SYSTEM_CALL,
        .number = seccomp_syscall_resolve_name("getpid"),
    };
    struct probe_reply reply = { 0 };

    assert_true(cell_ask(cell, &ask, &reply));
    assert_int_equal(reply.result, 1);
}

static int64_t resolve(int64_t arg)
{
    switch (arg) {
    case ESCAPE_SIBLING:
        return sibling->pid;
    case ESCAPE_SUPERVISOR:
        return getpid();
    case ESCAPE_SPAWNER:
        return spawner_pid(hive.spawner, 0);
    }
    return arg;
}

static bool ask_for(struct cell *cell, const struct escape *escape, int64_t scratch,
                    struct probe_reply *ret_reply)
{
    struct probe_ask ask = {
        .kind = PROBE_SYSTEM_CALL,
        .number = seccomp_syscall_resolve_name(escape->call),
    };

    assert_true(ask.number >= 0);
    for (size_t i = 0; i < ARRAY_LEN(ask.args); i++)
        ask.args[i] = resolve(escape->args[i]);
    scratch_resolve(ask.args, scratch);
    return cell_ask(cell, &ask, ret_reply);
}

static void try_sealed(struct stage *stage, const struct escape *escape)
{
    struct probe_reply reply = { 0 };

    if (!ask_for(stage->sealed, escape, stage->scratch[0], &reply))
        fail_msg("the sealed probe died");
    bool was_refused = reply.refused == stage->refused + 1;
    stage->refused = (unsigned) reply.refused;
    bool fits = escape->sealed == ESCAPE_REFUSED
                    ? was_refused
                    : !was_refused && reply.result == -1 && reply.error == escape->sealed;
    if (!fits)
        fail_msg("sealed: %ld, %s, %s", (long) reply.result, strerror((int) reply.error),
                 was_refused ? "refused" : "not refused");
}

static void try_entered(struct stage *stage, const struct escape *escape)
{
    struct probe_reply reply = { 0 };

    if (!ask_for(stage->entered, escape, stage->scratch[1], &reply))
        fail_msg("the probe without filters died");
    if (escape->entered == ESCAPE_HARMLESS)
        return;
    /* A kernel that was built without the call is as good. */
    bool fits =
        escape->entered == ESCAPE_FAILS || reply.error == escape->entered || reply.error == ENOSYS;
    if (reply.result != -1 || !fits)
        fail_msg("without filters: %ld, %s", (long) reply.result, strerror((int) reply.error));
}

static void try_escape(void **state)
{
    const struct trial *trial = *state;

    try_sealed(trial->stage, trial->escape);
    if (trial->escape->entered != ESCAPE_NOT_TRIED)
        try_entered(trial->stage, trial->escape);
    assert_unharmed(trial->stage->sealed);
    assert_unharmed(trial->stage->entered);
    assert_unharmed(sibling);
    assert_true(spawner_pid(hive.spawner, 0) > 0);
}

/* Memory-deny-write-execute is there from Linux 6.3 on. */
static void test_kernel_refuses_pages_that_become_code(void **state)
{
    const struct escape gain = {
        "",
        "mprotect",
        { SCRATCH(page), 4096, PROT_READ | PROT_EXEC },
        .entered = EACCES,
    };
    struct stage *stage = &stages[0];
    struct escape escape = gain;

    (void) state;
    if (prctl(PR_GET_MDWE, 0, 0, 0, 0) < 0)
        skip();
    escape.args[0] =
        (stage->scratch[1] + (int64_t) offsetof(struct scratch, page) + 4095) & ~INT64_C(4095);
    try_entered(stage, &escape);
    escape.args[2] = PROT_READ | PROT_WRITE | PROT_EXEC;
    try_entered(stage, &escape);
}

/* Tests the counter itself: an allowed call does not move it. */
static void test_allowed_call_is_not_counted_as_refused(void **state)
{
    const struct escape harmless = { "", "getpid", { 0 }, .sealed = 0 };
    struct probe_reply reply = { 0 };

    (void) state;
    assert_true(ask_for(stages[1].sealed, &harmless, 0, &reply));
    assert_int_equal(reply.result, 1);
    assert_int_equal(reply.refused, stages[1].refused);
}

static int start_all(void **state)
{
    (void) state;
    hive_init(&hive, NULL);
    const struct probe_plan quiet = { .lock = PROBE_SEALED };
    sibling = cell_start(&hive, &quiet, true);
    start_stage(&stages[false], false);
    start_stage(&stages[true], true);
    return 0;
}

static int stop_all(void **state)
{
    (void) state;
    hive_done(&hive);
    return 0;
}

#define MAX_TRIALS 320

/* Lists a test for each escape whose call this architecture has. */
static size_t list_trials(struct CMUnitTest *tests)
{
    static struct trial trials[MAX_TRIALS];
    size_t n = 0;

    for (size_t i = 0; i < escape_n_groups; i++)
        for (const struct escape *e = escape_groups[i].escapes; e->what && n < MAX_TRIALS; e++) {
            struct trial *trial = &trials[n];
            if (seccomp_syscall_resolve_name(e->call) < 0)
                continue;
            *trial = (struct trial){ .escape = e, .stage = &stages[escape_groups[i].jit] };
            (void) snprintf(trial->name, sizeof trial->name, "%s: %s", escape_groups[i].name,
                            e->what);
            tests[n++] = (struct CMUnitTest){
                .name = trial->name,
                .test_func = try_escape,
                .initial_state = trial,
            };
        }
    return n;
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[MAX_TRIALS + 2];

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    size_t n = list_trials(tests);
    if (n < 190 || n == MAX_TRIALS) /* a table is missing */
        return 1;
    tests[n++] = (struct CMUnitTest) cmocka_unit_test(test_kernel_refuses_pages_that_become_code);
    tests[n++] = (struct CMUnitTest) cmocka_unit_test(test_allowed_call_is_not_counted_as_refused);
    return _cmocka_run_group_tests("escapes", tests, n, start_all, stop_all);
}
