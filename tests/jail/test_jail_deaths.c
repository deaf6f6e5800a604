/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that crashes, aborts or runs out of memory ends visibly as that under each filter, on
 * each thread, and never as one that broke the policy: blame is by what the end looks like.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/jail/hive.h"

#define MEMORY (UINT64_C(160) << 20)

static struct hive hive;

/* abort, of process 1 of its namespace, which ignores what has no handler: the signal changes nothing, and
 * the C library goes on to an instruction that faults. */
static bool is_abort(int signal)
{
    return signal == SIGABRT || signal == SIGSEGV || signal == SIGTRAP || signal == SIGILL;
}

static bool is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS;
}

static bool is_trap(int signal)
{
    return signal == SIGILL || signal == SIGTRAP;
}

static bool is_division(int signal)
{
    return signal == SIGFPE || is_trap(signal);
}

static const struct {
    const char *name;
    bool (*is_expected)(int signal); /* NULL: it lives */
} ends[] = {
    { "abort", is_abort },          { "assert", is_abort },
    { "double free", is_abort },    { "smashed stack", is_abort },
    { "stack overflow", is_fault }, { "trap instruction", is_trap },
    { "write to NULL", is_fault },  { "division by zero", is_division },
    { "jump to data", is_fault },   { "huge malloc", NULL },
    { "out of memory", NULL },      { "failed thread", NULL },
};

static size_t death_named(const char *name)
{
    for (size_t i = 0; i < probe_n_deaths; i++)
        if (strcmp(probe_deaths[i].name, name) == 0)
            return i;
    fail_msg("no death named %s", name);
    return 0;
}

static void assert_ends(size_t i, const struct probe_plan *plan, bool jit, bool on_thread)
{
    const char *where = on_thread ? "on the second thread" : "on the main thread";
    const struct probe_ask ask = {
        .kind = on_thread ? PROBE_THREAD_DIE : PROBE_DIE,
        .number = (int64_t) death_named(ends[i].name),
    };
    struct cell *cell = cell_start(&hive, plan, jit);
    struct probe_reply reply = { 0 };

    bool lives = cell_ask(cell, &ask, &reply);
    if (!lives)
        await_readable(cell->pidfd);
    uint32_t last_words = cell->board->threads[0].last_words;
    int status = lives ? cell_end(&hive, cell) : cell_wait(&hive, cell);
    if (last_words != LAST_WORDS_NONE)
        fail_msg("%s %s: last words %u", ends[i].name, where, last_words);
    if (lives && reply.result != 0)
        fail_msg("%s %s: %s", ends[i].name, where, strerror((int) -reply.result));
    bool (*is_expected)(int) = ends[i].is_expected;
    bool fits = is_expected ? !lives && WIFSIGNALED(status) && is_expected(WTERMSIG(status))
                            : lives && status == 0;
    if (!fits)
        fail_msg("%s %s: wait status 0x%x", ends[i].name, where, (unsigned) status);
}

static void assert_all_end(const struct probe_plan *plan)
{
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        for (int on_thread = 0; on_thread <= 1; on_thread++)
            assert_ends(i, plan, i % 2 == 0, on_thread);
}

static void test_deaths_under_the_startup_filter_are_what_they_are(void **state)
{
    const struct probe_plan plan = {
        .lock = PROBE_STARTED,
        .second_thread = true,
        .memory = MEMORY,
    };

    (void) state;
    assert_all_end(&plan);
}

static void test_deaths_under_the_running_filter_are_what_they_are(void **state)
{
    const struct probe_plan plan = { .lock = PROBE_SEALED, .memory = MEMORY };

    (void) state;
    assert_all_end(&plan);
}

static void test_every_death_is_expected_to_be_something(void **state)
{
    (void) state;
    assert_int_equal(ARRAY_LEN(ends), probe_n_deaths);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        (void) death_named(ends[i].name);
}

static int start_hive(void **state)
{
    (void) state;
    hive_init(&hive, NULL);
    return 0;
}

static int stop_hive(void **state)
{
    (void) state;
    hive_done(&hive);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_death_is_expected_to_be_something),
        cmocka_unit_test(test_deaths_under_the_startup_filter_are_what_they_are),
        cmocka_unit_test(test_deaths_under_the_running_filter_are_what_they_are),
    };

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    return cmocka_run_group_tests(tests, start_hive, stop_hive);
}
