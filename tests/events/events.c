/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random sequences of events for the core of the supervisor, with invariants after each, and
 * failures shrunk to short sequences. Each run is a process of its own, so that a crash is a
 * failure like any other.
 *
 *   events [--events N] [--seed S] [--length L] [--patience T] [--shrink T]
 *                     sequences S, S+1, ... of L events until there were N. A sequence that takes
 *                     T seconds of CPU time stands still; one that fails is shrunk for T seconds.
 *   events FILE...    sequences that are kept, see steps.h
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/events/asks.h"
#include "tests/events/steps.h"
#include "tests/events/world.h"

#define LENGTH 120
#define WARM_UP 40
#define HEAP_SLACK 96 /* glibc's own bytes where the heap was grown */
#define LENGTH_MAX 10000

/* The report of a run to the process that has started it. */
struct report {
    uint64_t seed; /* seed of the sequence that is played */
    uint64_t events;
    size_t step;
    char text[1024]; /* the invariant that has failed; "": none */
};
static struct report *report;
static unsigned shrink_s = 60;   /* time for shrinking a sequence */
static unsigned patience_s = 10; /* CPU time of a sequence; with more it counts as standing still */

/* AddressSanitizer reads this in builds that have it. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8";
}

void events_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void) vsnprintf(report->text, sizeof report->text, format, args);
    va_end(args);
    if (getenv("EVENTS_ABORT"))
        abort();
    _exit(1);
}

/* ---- memory */

/* With these glibc keeps no chunks aside, so that it counts each byte in use, and fills freed ones.
 * (AddressSanitizer has a malloc of its own, which does both.) */
static const char tunables[] =
    "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0:glibc.malloc.perturb=165";

static void restart_with_tunables(char **argv)
{
    if (getenv("GLIBC_TUNABLES"))
        return;
    (void) setenv("GLIBC_TUNABLES", tunables, 1);
    (void) execv("/proc/self/exe", argv);
}

/* Checks that an ended world leaves nothing behind: as much memory is in use as after the first
 * one. */
static void check_memory(void)
{
    static size_t first;
    size_t used = mallinfo2().uordblks;

    if (first == 0)
        first = used;
    if (used > first + HEAP_SLACK)
        events_fail("%zu bytes were not freed", used - first);
}

/* Plays a short world, so that all lasting memory is allocated. */
static void warm_up(void)
{
    struct step steps[WARM_UP];

    steps_make(0, steps, WARM_UP);
    world_start();
    for (size_t i = 0; i < WARM_UP; i++)
        step_play(&steps[i]);
    world_end();
    check_memory();
}

/* ---- one sequence */

/* Limits the process's CPU time, which does not depend on the host's other load. SIGPROF ends the
 * process. */
static void set_patience(unsigned seconds)
{
    const struct itimerval patience = { .it_value.tv_sec = seconds };

    (void) setitimer(ITIMER_PROF, &patience, NULL);
}

static void play(const struct step *steps, size_t n)
{
    set_patience(patience_s);
    if (report->events == 0)
        warm_up();
    world_start();
    for (size_t i = 0; i < n; i++) {
        report->step = i;
        step_play(&steps[i]);
        report->events++;
    }
    report->step = n;
    world_end();
    check_memory();
    set_patience(0);
}

/* Waits for a run. Returns whether it has failed, with the reason in the report. */
static bool has_failed(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid)
        return true;
    if (status == 0)
        return false;
    if (report->text[0] == '\0' && WIFSIGNALED(status))
        (void) snprintf(report->text, sizeof report->text,
                        WTERMSIG(status) == SIGPROF ? "it stands still" : "it died of signal %d",
                        WTERMSIG(status));
    else if (report->text[0] == '\0')
        (void) snprintf(report->text, sizeof report->text, "it ended with status %d",
                        WEXITSTATUS(status));
    return true;
}

static void silence(void)
{
    if (!getenv("EVENTS_VERBOSE"))
        log_silence();
    (void) signal(SIGPIPE, SIG_IGN);
}

/* Plays the steps in a process of its own. Returns whether they fail. */
static bool fails(const struct step *steps, size_t n)
{
    *report = (struct report){ 0 };
    pid_t pid = fork();

    if (pid == 0) {
        silence();
        if (!getenv("EVENTS_VERBOSE") && !freopen("/dev/null", "w", stderr))
            exit(1);
        play(steps, n);
        exit(0);
    }
    return has_failed(pid);
}

/* ---- shrinking */

struct shrink {
    struct step *steps;
    size_t n;
    char text[1024]; /* the failure to keep */
    time_t until;
};

/* Returns whether two failures are the same but for their numbers. */
static bool is_same(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strspn(a, "0123456789");
        b += strspn(b, "0123456789");
        if (*a != *b || *a == '\0')
            return *a == *b;
    }
}

/* Keeps the candidate if it fails in the same way. */
static bool keep_if_fails(struct shrink *shrink, const struct step *candidate, size_t n)
{
    if (time(NULL) > shrink->until || !fails(candidate, n) || !is_same(report->text, shrink->text))
        return false;
    memmove(shrink->steps, candidate, n * sizeof *candidate);
    shrink->n = n;
    return true;
}

/* Leaves out parts: halves of the sequence first, single steps last. */
static void leave_out(struct shrink *shrink, struct step *candidate)
{
    for (size_t part = (shrink->n + 1) / 2; part > 0; part = part == 1 ? 0 : (part + 1) / 2)
        for (size_t at = 0; at < shrink->n;) {
            size_t cut = part < shrink->n - at ? part : shrink->n - at;
            memcpy(candidate, shrink->steps, at * sizeof *candidate);
            memcpy(candidate + at, shrink->steps + at + cut,
                   (shrink->n - at - cut) * sizeof *candidate);
            if (!keep_if_fails(shrink, candidate, shrink->n - cut))
                at += cut;
        }
}

/* Makes numbers small, so that the steps read well. */
static void simplify(struct shrink *shrink, struct step *candidate)
{
    for (size_t i = 0; i < shrink->n; i++)
        for (unsigned which = 0; which < 3; which++)
            for (uint32_t value = 0; value < 3; value++) {
                memcpy(candidate, shrink->steps, shrink->n * sizeof *candidate);
                uint32_t *number = which == 0   ? &candidate[i].a
                                   : which == 1 ? &candidate[i].b
                                                : &candidate[i].c;
                if (*number <= value)
                    break;
                *number = value;
                if (keep_if_fails(shrink, candidate, shrink->n))
                    break;
            }
}

static void shrink_and_print(const struct step *steps, size_t n, const char *text)
{
    struct shrink shrink = { .steps = calloc(n + 1, sizeof *steps), .n = n };
    struct step *candidate = calloc(n + 1, sizeof *steps);
    size_t before;

    if (!shrink.steps || !candidate)
        exit(1);
    memcpy(shrink.steps, steps, n * sizeof *steps);
    (void) snprintf(shrink.text, sizeof shrink.text, "%s", text);
    shrink.until = time(NULL) + shrink_s;
    do {
        before = shrink.n;
        leave_out(&shrink, candidate);
    } while (shrink.n < before);
    simplify(&shrink, candidate);
    (void) printf("# %s\n", shrink.text);
    for (size_t i = 0; i < shrink.n; i++)
        step_print(stdout, &shrink.steps[i]);
    free(shrink.steps);
    free(candidate);
}

/* ---- runs */

struct options {
    uint64_t events, seed;
    size_t length;
};

/* Plays all sequences. In the process of the run. */
static _Noreturn void play_all(const struct options *options)
{
    static struct step steps[LENGTH_MAX];

    silence();
    for (uint64_t seed = options->seed; report->events < options->events; seed++) {
        report->seed = seed;
        steps_make(seed, steps, options->length);
        play(steps, options->length);
    }
    exit(0);
}

static int run(const struct options *options)
{
    static struct step steps[LENGTH_MAX];

    pid_t pid = fork();
    if (pid == 0)
        play_all(options);
    if (!has_failed(pid)) {
        (void) printf("%" PRIu64 " events, seeds %" PRIu64 " to %" PRIu64 "\n", report->events,
                      options->seed, report->seed);
        return 0;
    }
    uint64_t seed = report->seed;
    char text[1024];
    (void) snprintf(text, sizeof text, "%s", report->text);
    (void) printf("# seed %" PRIu64 ", step %zu, after %" PRIu64 " events: %s\n", seed,
                  report->step, report->events, text);
    (void) fflush(stdout);
    steps_make(seed, steps, options->length);
    if (fails(steps, options->length))
        shrink_and_print(steps, options->length, report->text);
    else
        (void) printf("# alone it does not fail: what is left of sequences before it does it\n");
    return 1;
}

static int play_files(char **paths)
{
    static struct step steps[LENGTH_MAX];
    int status = 0;

    for (; *paths; paths++) {
        size_t n = steps_read(*paths, steps, LENGTH_MAX);
        if (!fails(steps, n))
            continue;
        (void) printf("%s: %s\n", *paths, report->text);
        status = 1;
    }
    return status;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        { "events", required_argument, NULL, 'e' }, { "seed", required_argument, NULL, 's' },
        { "length", required_argument, NULL, 'l' }, { "patience", required_argument, NULL, 'p' },
        { "shrink", required_argument, NULL, 'k' }, { NULL, 0, NULL, 0 },
    };
    struct options options = { .events = 100000, .seed = 1, .length = LENGTH };
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name == 'e')
            options.events = strtoull(optarg, NULL, 10);
        else if (name == 's')
            options.seed = strtoull(optarg, NULL, 10);
        else if (name == 'l')
            options.length = strtoul(optarg, NULL, 10);
        else if (name == 'p')
            patience_s = (unsigned) strtoul(optarg, NULL, 10);
        else if (name == 'k')
            shrink_s = (unsigned) strtoul(optarg, NULL, 10);
        else
            return 2;
    }
    restart_with_tunables(argv);
    if (options.length == 0 || options.length > LENGTH_MAX)
        return 2;
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return 2;
    return optind < argc ? play_files(argv + optind) : run(&options);
}
