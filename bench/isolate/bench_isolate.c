/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and time of isolates, for scripts/bench isolate: `bench_isolate COUNT` reads cases from standard input, one a line: a name,
 * the requests that each isolate answers, the body of a handler, with tabs between. For each case it makes COUNT isolates in a process
 * of its own, and prints a line of JSON: proportional set size for each isolate in KiB, before and after they have rested, and CPU
 * times in microseconds. The name "bare" stands for V8 without the JS layer, "new" for isolates that have loaded nothing. No jail, no
 * supervisor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/pack_head.h"
#include "worker/isolate.h"
#include "worker/snapshot.h"
#include "worker/v8/testing/bare.h"
#include "worker/warm_up.h"

#define HEAP_MIB 64
#define EXTERNAL_MIB 64
#define COUNT_MAX 1000
#define SOURCE_BYTES 4096
#define HEAD_BYTES 256

static void on_log(void *host, uint64_t request, enum isolate_log_level level,
                   struct isolate_bytes text)
{
    (void) host;
    (void) request;
    if (level == ISOLATE_LOG_ERROR)
        fprintf(stderr, "%.*s\n", (int) text.size, (const char *) text.data);
}

static int on_respond(void *host, uint64_t request, uint32_t status, struct isolate_bytes head,
                      struct isolate_bytes body, bool end)
{
    (void) request;
    (void) head;
    (void) body;
    (void) end;
    *(uint32_t *) host = status;
    return 0;
}

static int64_t on_send_body(void *host, uint64_t request, struct isolate_bytes data, bool end)
{
    (void) host;
    (void) request;
    (void) data;
    (void) end;
    return 1 << 16;
}

static void on_consume_body(void *host, uint64_t request, size_t size)
{
    (void) host;
    (void) request;
    (void) size;
}

static void on_done(void *host, uint64_t request, enum isolate_outcome outcome,
                    struct isolate_bytes message)
{
    (void) host;
    (void) request;
    if (outcome != ISOLATE_REQUEST_OK)
        fprintf(stderr, "%.*s\n", (int) message.size, (const char *) message.data);
}

static int64_t on_set_timer(void *host, uint64_t request, uint64_t delay_ms, bool repeat)
{
    (void) host;
    (void) request;
    (void) delay_ms;
    (void) repeat;
    return 1;
}

static uint64_t on_keep_timer(void *host, int64_t timer)
{
    (void) host;
    (void) timer;
    return 0;
}

static void on_clear_timer(void *host, int64_t timer)
{
    (void) host;
    (void) timer;
}

static void on_woken(void *host, uint64_t request)
{
    (void) host;
    (void) request;
}

static const struct isolate_host ops = {
    .log = on_log,
    .respond = on_respond,
    .send_body = on_send_body,
    .consume_body = on_consume_body,
    .done = on_done,
    .set_timer = on_set_timer,
    .keep_timer = on_keep_timer,
    .clear_timer = on_clear_timer,
    .woken = on_woken,
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_isolate: %s\n", what);
    exit(1);
}

static uint64_t thread_ns(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

/* Returns the proportional set size of this process in KiB. */
static long pss_kib(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    long kib = -1;

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "Pss:", 4) == 0)
            kib = strtol(line + 4, NULL, 10);
    if (file)
        (void) fclose(file);
    if (kib < 0)
        die("no /proc/self/smaps_rollup");
    return kib;
}

static struct isolate_bytes text(const char *string)
{
    return (struct isolate_bytes){ (const uint8_t *) string, strlen(string) };
}

struct times {
    uint64_t new_ns, load_ns, first_ns, others_ns;
};

static uint32_t status;

static struct isolate *make(struct times *times)
{
    static const struct isolate_options options = {
        .ops = &ops,
        .host = &status,
        .heap_mib = HEAP_MIB,
        .external_mib = EXTERNAL_MIB,
        .tenant = "bench",
    };
    struct isolate *isolate;
    uint64_t before = thread_ns();

    if (isolate_new(&options, &isolate) < 0)
        die("no isolate");
    times->new_ns += thread_ns() - before;
    return isolate;
}

static void load(struct isolate *isolate, const char *source, struct times *times)
{
    uint64_t before = thread_ns();

    if (isolate_set_env(isolate, NULL, 0) < 0 ||
        isolate_add_file(isolate, text("bench.js"), text(source)) < 0 ||
        isolate_load(isolate, text("bench.js")) != ISOLATE_OK)
        die(isolate_error(isolate));
    times->load_ns += thread_ns() - before;
}

/* Answers requests from the number first on. Returns the CPU time. */
static uint64_t serve(struct isolate *isolate, uint64_t first, uint64_t n)
{
    static const char *const texts[] = {
        "GET", "http://a.test/", "host", "a.test", "accept", "*/*"
    };
    uint8_t packed[HEAD_BYTES];
    const size_t size = pack_head(packed, sizeof texts / sizeof *texts, texts);
    uint64_t before = thread_ns();

    for (uint64_t id = first; id < first + n; id++) {
        const struct isolate_request request = {
            .id = id,
            .method = text(texts[0]),
            .url = text(texts[1]),
            .head = { packed, size },
            .end = true,
        };
        status = 0;
        if (isolate_dispatch(isolate, &request) != ISOLATE_OK || status != 200)
            die("no answer");
    }
    return thread_ns() - before;
}

static uint64_t per(uint64_t ns, uint64_t n)
{
    return n > 0 ? ns / n / 1000 : 0;
}

struct numbered {
    const char *name, *source;
    uint64_t n_requests;
};

/* Makes isolates and has them answer. */
static void make_all(const struct numbered *what, int count, struct isolate **isolates,
                     struct times *times)
{
    for (int i = 0; i < count; i++) {
        uint64_t before = thread_ns();
        if (strcmp(what->name, "bare") == 0) {
            if (bare_new(HEAP_MIB) < 0)
                die("no isolate");
            times->new_ns += thread_ns() - before;
            continue;
        }
        isolates[i] = make(times);
        if (what->n_requests == 0)
            continue;
        load(isolates[i], what->source, times);
        times->first_ns += serve(isolates[i], 1, 1);
        times->others_ns += serve(isolates[i], 2, what->n_requests - 1);
    }
}

/* In a process of its own. */
static _Noreturn void run(const struct numbered *what, int count)
{
    static struct isolate *isolates[COUNT_MAX];
    struct times times = { 0 }, ignored = { 0 };
    uint64_t rest_ns, context_ns = 0;
    int n_rested = 0;

    struct isolate *first = make(&ignored); /* makes what all isolates of a process share */
    load(first, what->source, &ignored);
    (void) serve(first, 1, 1);
    isolate_trim();
    const long before = pss_kib();
    make_all(what, count, isolates, &times);
    isolate_trim();
    const long busy = pss_kib() - before;
    rest_ns = thread_ns();
    for (int i = 0; i < count && isolates[i]; i++)
        n_rested += isolate_rest(isolates[i]);
    rest_ns = thread_ns() - rest_ns;
    isolate_trim();
    const long idle = pss_kib() - before;
    for (int i = 0; i < count && isolates[i]; i++)
        context_ns += isolate_time_context(isolates[i]);
    const uint64_t n = (uint64_t) count;
    printf("{\"name\": \"%s\", \"kib\": %.1f, \"idle_kib\": %.1f, \"new_us\": %lu, \"context_us\": "
           "%lu, "
           "\"load_us\": %lu, \"first_us\": %lu, \"others_us\": %lu, \"rest_us\": %lu}\n",
           what->name, (double) busy / count, (double) idle / count, per(times.new_ns, n),
           per(context_ns, n), per(times.load_ns, n), per(times.first_ns, n),
           per(times.others_ns, n * (what->n_requests > 1 ? what->n_requests - 1 : 0)),
           per(rest_ns, (uint64_t) n_rested));
    (void) fflush(stdout);
    _exit(0);
}

static void run_line(char *line, int count)
{
    char source[SOURCE_BYTES];
    int how;
    char *rest = line;
    const char *name = strsep(&rest, "\t");
    const char *requests = strsep(&rest, "\t");

    if (!requests || !rest)
        die("a line has a name, a number and a handler's body");
    (void) snprintf(source, sizeof source,
                    "export default { async fetch(request, env, ctx) { %s } };", rest);
    const struct numbered what = { name, source, strtoul(requests, NULL, 10) };
    const pid_t pid = fork();
    if (pid == 0)
        run(&what, count);
    if (pid < 0 || waitpid(pid, &how, 0) != pid || how != 0)
        die("a case has failed");
}

int main(int argc, char **argv)
{
    const struct isolate_platform_options options = {
        .argv0 = argv[0],
        .jit = JIT_ON,
        .wasm_max_mem_pages = 1024,
        .blank_heap_mib = HEAP_MIB,
        .snapshot = { skep_snapshot, skep_snapshot_size },
    };
    char line[SOURCE_BYTES];
    const int count = argc > 1 ? atoi(argv[1]) : 0;

    if (count < 1 || count > COUNT_MAX)
        die("usage: bench_isolate COUNT < CASES");
    int r = isolate_platform_init(&options, NULL);
    if (r < 0)
        die(strerror(-r));
    warm_up_request(); /* so that parts of the layer come from the code cache, as in a worker */
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        run_line(line, count);
    }
    return 0;
}
