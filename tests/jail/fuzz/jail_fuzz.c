/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The long form of the jail tests: all numbers by all ways with all patterns, then random calls until
 * the time is up. scripts/jail-fuzz builds and runs it. Exit status 1 after any surprise.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/jail/fuzz/fuzz.h"
#include "tests/jail/numbers.h"

#define CALLS_OF_BATCH 50000
#define BATCHES_OF_PROBES 40
#define FOREIGN_OF_BATCH 10
#define MAX_SURPRISES 10
#define MAX_SECONDS UINT64_C(86400)

struct run {
    struct hive hive;
    struct cell *sibling;
    uint64_t seed;
    bool has_int80;
    struct timespec start;
    /* The results. */
    struct numbers_tally tally;
    uint64_t random_calls, random_refused;
};

static double seconds_since(const struct timespec *start)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) (now.tv_sec - start->tv_sec) + (double) (now.tv_nsec - start->tv_nsec) * 1e-9;
}

static void on_surprise(struct run *run, uint64_t seed, const char *text)
{
    run->tally.surprises++;
    printf("surprise: %s\n  again: scripts/jail-fuzz --random-only --seconds 1 --seed %" PRIu64
           "\n",
           text, seed);
    (void) fflush(stdout);
}

/* Checks that the neighbour and the spawner still answer. */
static void check_others(struct run *run, uint64_t seed)
{
    const struct probe_ask ask = {
        .kind = PROBE_SYSTEM_CALL,
        .number = seccomp_syscall_resolve_name("getpid"),
    };
    struct probe_reply reply = { 0 };

    if (!cell_ask(run->sibling, &ask, &reply) || reply.result != 1)
        on_surprise(run, seed, "the neighbour was hurt");
    if (spawner_pid(run->hive.spawner, 0) == 0)
        on_surprise(run, seed, "the spawner was hurt");
}

/* ---- random calls */

static void print_note(struct run *run, const struct cell *cell, uint64_t seed)
{
    char text[256];
    size_t have = 0;

    for (size_t i = 0; i < 7; i++)
        have += (size_t) snprintf(text + have, sizeof text - have, "%s0x%" PRIx64, i ? ", " : "",
                                  (uint64_t) FUZZ_NOTE(cell->board)[i]);
    char whole[320];
    (void) snprintf(whole, sizeof whole, "the probe died of (number, arguments) %s", text);
    on_surprise(run, seed, whole);
}

/* False if the probe is gone. */
static bool run_batch(struct run *run, struct cell *cell, bool jit, uint64_t seed,
                      uint64_t *refused)
{
    const struct probe_ask ask = {
        .kind = PROBE_FUZZ,
        .number = (int64_t) seed,
        .args = { CALLS_OF_BATCH, jit },
    };
    struct probe_reply reply = { 0 };

    if (!cell_ask(cell, &ask, &reply)) {
        print_note(run, cell, seed);
        return false;
    }
    run->random_calls += (uint64_t) reply.result;
    run->random_refused += reply.refused - *refused;
    *refused = reply.refused;
    if (reply.result != CALLS_OF_BATCH)
        on_surprise(run, seed, reply.text);
    return true;
}

/* Makes calls with random arguments by x32 and int 0x80, each of which has to kill. */
static void run_foreign(struct run *run, struct cell *entered, uint64_t seed)
{
#if defined(__x86_64__)
    const struct policy_context context = {
        .jit = true,
        .channel_fd = POLICY_CHANNEL_FD,
        .self = 1,
    };
    int64_t scratch = numbers_scratch(entered);
    unsigned before = run->tally.surprises;
    uint64_t state = fuzz_state(seed);

    for (unsigned i = 0; i < FOREIGN_OF_BATCH; i++) {
        struct call call;
        fuzz_pick(&state, &context, scratch, &call);
        (void) numbers_foreign_kills(entered, i % 2 ? PROBE_ABI_X32 : PROBE_ABI_INT80, &call,
                                     run->has_int80, &run->tally);
    }
    if (run->tally.surprises != before)
        on_surprise(run, seed, "see above");
#else
    (void) run;
    (void) entered;
    (void) seed;
#endif
}

/* Ends the probe. Nothing that it did to itself may show from outside. */
static void retire(struct run *run, struct cell *cell, bool jit, uint64_t seed)
{
    char text[192] = "";

    if (cell_attest(&run->hive, cell, jit, text, sizeof text) < 0)
        on_surprise(run, seed, text);
    int status = cell_end(&run->hive, cell);
    if (status != 0)
        on_surprise(run, seed, "the probe did not end by itself");
}

/* Runs two probes at a time: even seeds with jit, odd ones without, so that a seed alone repeats a failure. A round
 * ends early with the time, or with a probe. */
static void run_round(struct run *run, struct cell *entered, uint64_t *seed, double end)
{
    const struct probe_plan counting = { .lock = PROBE_SEALED, .counts = true };
    struct cell *cells[2];
    uint64_t refused[2] = { 0 };
    bool lives[2] = { true, true };

    for (size_t i = 0; i < 2; i++)
        cells[i] = cell_start(&run->hive, &counting, i == 0);
    run->tally.probes += 2;
    for (unsigned i = 0; i < BATCHES_OF_PROBES && lives[0] && lives[1]; i++, (*seed)++) {
        size_t which = *seed % 2;
        lives[which] = run_batch(run, cells[which], which == 0, *seed, &refused[which]);
        run_foreign(run, entered, *seed);
        check_others(run, *seed);
        if (seconds_since(&run->start) >= end)
            break;
    }
    for (size_t i = 0; i < 2; i++)
        if (lives[i])
            retire(run, cells[i], i == 0, *seed);
        else
            (void) cell_wait(&run->hive, cells[i]);
}

static void run_random(struct run *run, double seconds)
{
    const struct probe_plan plan = { .lock = PROBE_ENTERED };
    struct cell *entered = cell_start(&run->hive, &plan, true);
    double end = seconds_since(&run->start) + seconds;
    uint64_t seed = run->seed;

    run->tally.probes++;
    while (seconds_since(&run->start) < end && run->tally.surprises < MAX_SURPRISES)
        run_round(run, entered, &seed, end);
    (void) cell_end(&run->hive, entered);
}

/* ---- all numbers */

static void print_tally(const char *what, const struct numbers_tally *tally, double seconds)
{
    printf("%-24s %9u calls, %9u refused, %6u processes, %u surprises, %.1f s\n", what,
           tally->calls, tally->refused, tally->probes, tally->surprises, seconds);
    (void) fflush(stdout);
}

static void add(struct numbers_tally *sum, const struct numbers_tally *tally)
{
    sum->calls += tally->calls;
    sum->refused += tally->refused;
    sum->probes += tally->probes;
    sum->surprises += tally->surprises;
}

static void run_numbers(struct run *run)
{
    static const struct {
        const char *name;
        enum probe_abi abi;
        bool jit;
    } ways[] = {
        { "native, jit on", PROBE_NATIVE, true },
        { "native, jit off", PROBE_NATIVE, false },
#if defined(__x86_64__)
        { "x32", PROBE_ABI_X32, true },
        { "int 0x80", PROBE_ABI_INT80, true },
#endif
    };

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct numbers_tally tally = { 0 };
        struct timespec start;
        (void) clock_gettime(CLOCK_MONOTONIC, &start);
        if (ways[i].abi == PROBE_NATIVE)
            numbers_try_native(&run->hive, ways[i].jit, &tally);
        else
            numbers_try_foreign(&run->hive, ways[i].abi, true, &tally);
        print_tally(ways[i].name, &tally, seconds_since(&start));
        add(&run->tally, &tally);
        check_others(run, run->seed);
    }
}

static int run_all(uint64_t seed, double seconds, bool random_only)
{
    const struct probe_plan quiet = { .lock = PROBE_SEALED };
    static struct run run;

    run.seed = seed;
    (void) clock_gettime(CLOCK_MONOTONIC, &run.start);
    hive_init(&run.hive, NULL);
    run.has_int80 = numbers_has_int80(&run.hive);
    run.sibling = cell_start(&run.hive, &quiet, true);
    printf("seed %" PRIu64 ", numbers 0 to %d, %zu patterns of arguments\n", seed,
           CALLS_NUMBERS - 1, calls_n_patterns);
    if (!run.has_int80)
        printf("this kernel has no int 0x80: it is a fault with any filter and without\n");
    if (!random_only)
        run_numbers(&run);
    struct numbers_tally numbers = run.tally;
    run_random(&run, seconds);
    printf("%-24s %9" PRIu64 " calls, %9" PRIu64 " refused\n", "random, native", run.random_calls,
           run.random_refused);
    printf("%-24s %9u calls, %9u refused\n", "random, x32 and int 0x80",
           run.tally.calls - numbers.calls, run.tally.refused - numbers.refused);
    printf("all: %" PRIu64 " calls, %u processes, %.0f s, %u surprises\n",
           run.random_calls + run.tally.calls, run.tally.probes, seconds_since(&run.start),
           run.tally.surprises);
    hive_done(&run.hive);
    return run.tally.surprises > 0;
}

static uint64_t parse_number(const char *text, uint64_t most)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value > most) {
        (void) fprintf(stderr, "jail_fuzz: %s is not a number from 0 to %" PRIu64 "\n", text, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seconds", required_argument, NULL, 's' },
        { "seed", required_argument, NULL, 'r' },
        { "random-only", no_argument, NULL, 'o' },
        { NULL, 0, NULL, 0 },
    };
    uint64_t seed = 0, seconds = 300;
    bool random_only = false;
    int option;

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t) sizeof seed)
        return 2;
    seed >>= 32; /* short enough to be typed */
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        switch (option) {
        case 's':
            seconds = parse_number(optarg, MAX_SECONDS);
            break;
        case 'r':
            seed = parse_number(optarg, UINT64_MAX);
            break;
        case 'o':
            random_only = true;
            break;
        default:
            return 2;
        }
    if (optind < argc)
        return 2;
    return run_all(seed, (double) seconds, random_only);
}
