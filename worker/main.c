/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skep-worker: started by the spawner with fd 3 (channel) and fd 4 (scoreboard), in its own
 * namespaces, with an empty environment. Loads all that needs files, locks itself in, says
 * hello. Before hello every failure ends the process with a line on standard error.
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

/* V8 cannot go on: the last words, for the supervisor to find on the page. */
static void on_fatal(bool is_oom, const char *location)
{
    (void) location;
    atomic_store(&board->last_words, is_oom ? LAST_WORDS_HEAP_OOM : LAST_WORDS_V8_FATAL);
}

static struct scoreboard *map_scoreboard(void)
{
    void *page = mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, SCOREBOARD_FD, 0);

    if (page == MAP_FAILED)
        die(-errno, "cannot map the scoreboard");
    (void) close(SCOREBOARD_FD);
    return page;
}

static bool parse_jit(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--jit=on") == 0)
        return true;
    if (argc == 2 && strcmp(argv[1], "--jit=off") == 0)
        return false;
    log_error("skep-worker is started by skepd only");
    _exit(2);
}

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    /* Timers need no precision that would cost a timerfd; one thread, so no locks. */
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    if (!base)
        die(-ENOMEM, "cannot make the event loop");
    return base;
}

static void lock_in(const struct jail_options *jail, struct sentry **ret_sentry)
{
    const char *step = NULL;
    int r;

#ifndef SKEP_UNJAILED
    r = jail_enter(jail, &step);
    if (r < 0)
        die(r, step);
#endif
    r = sentry_start(ret_sentry);
    if (r < 0)
        die(r, "cannot start the sentry");
#ifndef SKEP_UNJAILED
    r = jail_seal(jail, &step);
    if (r < 0)
        die(r, step);
#else
    (void) jail;
    (void) step;
#endif
}

int main(int argc, char **argv)
{
    struct jail_options jail = { .channel_fd = CHANNEL_FD };
    struct sentry *sentry;
    struct host *host;

    log_init("skep-worker", LOG_LEVEL_WARNING);
    jail.jit = parse_jit(argc, argv);
    (void) signal(SIGPIPE, SIG_IGN);
    board = map_scoreboard();
    jail.scoreboard = board;
    int r = io_set_nonblocking(CHANNEL_FD);
    if (r < 0)
        die(r, "fd 3 is not a channel");

    struct isolate_platform_options platform = {
        .argv0 = argv[0],
        .jit = jail.jit,
        .wasm_max_mem_pages = WASM_MAX_MEM_PAGES,
        .blank_heap_mib = HOST_BLANK_HEAP_MIB,
        .snapshot = { skep_snapshot, skep_snapshot_size },
        .on_fatal = on_fatal,
    };
    struct isolate *blank = NULL;
    r = isolate_platform_init(&platform, &blank);
    if (r < 0)
        die(r, "cannot start V8");

    struct host_options options = {
        .base = make_base(), .channel_fd = CHANNEL_FD, .scoreboard = board, .blank = blank
    };
    r = host_new(&options, &host);
    if (r < 0)
        die(r, "cannot make the channel");
    lock_in(&jail, &sentry);
    log_silence(); /* the filter lets it write to the channel only */
    r = host_start(host, sentry);
    if (r < 0)
        die(r, "cannot say hello");
    (void) event_base_dispatch(options.base);
    /* The supervisor is gone, or will see the end of file: nothing to save. */
    _exit(0);
}
