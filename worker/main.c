/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skep-worker: started by the spawner with fd 3 (channel) and fd 4 (scoreboard), in its own
 * namespaces, with an empty environment. Loads all that needs files, confines itself, says hello.
 * Before hello every failure ends the process with a line on standard error.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "proto/scoreboard.h"
#include "worker/host.h"
#include "worker/isolate.h"
#include "worker/jail.h"
#include "worker/jail_report.h"
#include "worker/sentry.h"
#include "worker/snapshot.h"

#define CHANNEL_FD 3
#define SCOREBOARD_FD 4
/* One WebAssembly memory: 1 GiB of 64 KiB pages at most, on top of each tenant's external_mib. */
#define WASM_MAX_MEM_PAGES 16384

static struct scoreboard *board;

__attribute__((noreturn)) static void die(int error, const char *what)
{
    log_error_errno(error, "%s", what);
    _exit(1);
}

/* Writes the last words of a worker whose V8 cannot go on, for the supervisor to find on the
 * scoreboard. */
static void on_fatal(bool is_oom, const char *location)
{
    (void) location;
    atomic_store(&board->threads[SCOREBOARD_MAIN_THREAD].last_words,
                 is_oom ? LAST_WORDS_HEAP_OOM : LAST_WORDS_V8_FATAL);
}

/* Writes the heap of the running isolate, which was last measured before this entry. */
static void on_fatal_heap(uint64_t heap_used)
{
    uint32_t running = atomic_load(&board->threads[SCOREBOARD_MAIN_THREAD].running_placement);
    uint64_t kib = heap_used >> 10;

    for (size_t i = 0; running != 0 && i < SCOREBOARD_PLACEMENTS; i++)
        if (atomic_load(&board->placements[i].placement) == running)
            atomic_store(&board->placements[i].heap_kib,
                         kib < UINT32_MAX ? (uint32_t) kib : UINT32_MAX);
}

static struct scoreboard *map_scoreboard(void)
{
    void *page = mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, SCOREBOARD_FD, 0);

    if (page == MAP_FAILED)
        die(-errno, "cannot map the scoreboard");
    (void) close(SCOREBOARD_FD);
    return page;
}

/* Parses the spawner's arguments; see execute in spawner/exec.c. */
static void parse_arguments(int argc, char **argv, struct jail_options *ret)
{
    static const char jit[] = "--jit=", layers[] = "--layers=", report[] = "--report";
    char *end = NULL;

    if (argc < 3 || argc > 4 || strncmp(argv[2], layers, strlen(layers)) != 0 ||
        (argc == 4 && strcmp(argv[3], report) != 0) || strncmp(argv[1], jit, strlen(jit)) != 0 ||
        jit_parse(argv[1] + strlen(jit), &ret->jit) < 0) {
        log_error("skep-worker is started by skepd only");
        _exit(2);
    }
    ret->layers = (layer_set) strtoul(argv[2] + strlen(layers), &end, 16) & LAYERS_ALL;
    ret->is_report = argc == 4;
}

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    /* Timers need no precision that would cost a timerfd; there is one thread, so no locks. */
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    if (!base)
        die(-ENOMEM, "cannot make the event loop");
    return base;
}

#ifndef SKEP_UNJAILED
static int start_jail(const struct jail_options *jail, struct jail_failure *failure)
{
    return jail_start(jail, failure);
}

static int lock_in(const struct jail_options *jail, struct sentry **ret_sentry,
                   struct jail_failure *failure)
{
    int r = jail_enter(jail, failure);

    if (r < 0)
        return r;
    *failure = (struct jail_failure){ LAYER_SECCOMP, "the sentry cannot start" };
    r = sentry_start(ret_sentry);
    return r < 0 ? r : jail_seal(jail, failure);
}
#else
static int start_jail(const struct jail_options *jail, struct jail_failure *failure)
{
    (void) jail;
    (void) failure;
    return 0;
}

static int lock_in(const struct jail_options *jail, struct sentry **ret_sentry,
                   struct jail_failure *failure)
{
    (void) jail;
    *failure = (struct jail_failure){ LAYER_SECCOMP, "the sentry cannot start" };
    return sentry_start(ret_sentry);
}
#endif

/* Runs the throw-away worker: all of a start but V8. */
static _Noreturn void run_report(const struct jail_options *jail)
{
    struct jail_failure failure = { 0 };
    struct sentry *sentry;

    int r = start_jail(jail, &failure);
    if (r == 0) {
        (void) make_base();
        r = lock_in(jail, &sentry, &failure);
    }
    jail_report_run(jail, r, &failure);
}

static void start_v8(const char *argv0, enum jit_mode jit, struct isolate **ret_blank)
{
    const struct isolate_platform_options platform = {
        .argv0 = argv0,
        .jit = jit,
        .wasm_max_mem_pages = WASM_MAX_MEM_PAGES,
        .blank_heap_mib = HOST_BLANK_HEAP_MIB,
        .snapshot = { skep_snapshot, skep_snapshot_size },
        .on_fatal = on_fatal,
        .on_fatal_heap = on_fatal_heap,
    };
    int r = isolate_platform_init(&platform, ret_blank);

    if (r < 0)
        die(r, "cannot start V8");
}

int main(int argc, char **argv)
{
    struct jail_options jail = { .channel_fd = CHANNEL_FD };
    struct jail_failure failure = { 0 };
    struct isolate *blank = NULL;
    struct sentry *sentry;
    struct host *host;

    log_init("skep-worker", LOG_LEVEL_WARNING);
    parse_arguments(argc, argv, &jail);
    (void) signal(SIGPIPE, SIG_IGN);
    board = map_scoreboard();
    jail.scoreboard = board;
    if (jail.is_report)
        run_report(&jail);
    int r = io_set_nonblocking(CHANNEL_FD);
    if (r < 0)
        die(r, "fd 3 is not a channel");
    r = start_jail(&jail, &failure);
    if (r < 0)
        die(r, failure.step);
    start_v8(argv[0], jail.jit, &blank);
    struct host_options options = {
        .base = make_base(), .channel_fd = CHANNEL_FD, .scoreboard = board, .blank = blank
    };
    r = host_new(&options, &host);
    if (r < 0)
        die(r, "cannot make the channel");
    r = lock_in(&jail, &sentry, &failure);
    if (r < 0)
        die(r, failure.step);
    log_silence(); /* the filter allows writing to the channel only */
    r = host_start(host, sentry);
    if (r < 0)
        die(r, "cannot say hello");
    (void) event_base_dispatch(options.base);
    /* The supervisor is gone, or will see the end of file: nothing to save. */
    _exit(0);
}
