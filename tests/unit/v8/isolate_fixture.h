/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of worker/isolate.h: a host that remembers all calls, and a tenant from a
 * few lines of JavaScript. Real V8, real snapshot, no jail.
 */
#pragma once

#include "tests/pack_head.h"
#include "worker/isolate.h"
#include "worker/snapshot.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

enum { TIMERS_MAX = 64, HEAP_MIB = 32, EXTERNAL_MIB = 16 };

struct host {
    uint32_t status;
    char head[1024];
    char body[8192];
    size_t body_size;
    int n_responses;
    int n_parts; /* parts of bodies, for tests that count them */
    int n_done;
    enum isolate_outcome outcome;
    char message[4096];
    char log[16384];
    size_t log_size;
    int64_t timers[TIMERS_MAX];
    size_t n_timers;
    int64_t last_timer;
    int respond_result;
};

static inline struct isolate_bytes bytes(const char *text)
{
    return (struct isolate_bytes){ (const uint8_t *) text, strlen(text) };
}

static inline struct isolate_bytes text_bytes(struct head_text text)
{
    return (struct isolate_bytes){ (const uint8_t *) text.data, text.size };
}

static inline void keep(char *to, size_t size, size_t *at, struct isolate_bytes from)
{
    size_t n = from.size < size - 1 - *at ? from.size : size - 1 - *at;
    if (n > 0)
        memcpy(to + *at, from.data, n);
    *at += n;
    to[*at] = '\0';
}

static inline void on_log(void *data, uint64_t request, enum isolate_log_level level,
                          struct isolate_bytes text)
{
    struct host *host = data;
    (void) request;
    (void) level;
    keep(host->log, sizeof(host->log), &host->log_size, text);
    keep(host->log, sizeof(host->log), &host->log_size, bytes("\n"));
}

static inline int on_respond(void *data, uint64_t request, uint32_t status,
                             struct isolate_bytes head, struct isolate_bytes body, bool end)
{
    struct head packed;

    struct host *host = data;
    (void) request;
    (void) end;
    if (host->respond_result < 0)
        return host->respond_result;
    host->n_responses++;
    host->status = status;
    size_t at = 0;
    assert_int_equal(head_open(head.data, head.size, 0, HEAD_FIELDS_MAX, &packed), 0);
    while (packed.n_texts > 0) {
        keep(host->head, sizeof(host->head), &at, text_bytes(head_next(&packed)));
        keep(host->head, sizeof(host->head), &at, bytes(packed.n_texts % 2 == 1 ? ": " : "\n"));
    }
    host->body_size = 0;
    keep(host->body, sizeof(host->body), &host->body_size, body);
    return 0;
}

static inline int64_t on_send_body(void *data, uint64_t request, struct isolate_bytes part,
                                   bool end)
{
    struct host *host = data;
    (void) request;
    (void) end;
    keep(host->body, sizeof(host->body), &host->body_size, part);
    return 65536;
}

static inline void on_consume_body(void *data, uint64_t request, size_t size)
{
    (void) data;
    (void) request;
    (void) size;
}

static inline void on_done(void *data, uint64_t request, enum isolate_outcome outcome,
                           struct isolate_bytes message)
{
    struct host *host = data;
    size_t at = 0;
    (void) request;
    host->n_done++;
    host->outcome = outcome;
    keep(host->message, sizeof(host->message), &at, message);
}

static inline int64_t on_set_timer(void *data, uint64_t request, uint64_t delay_ms, bool repeat)
{
    struct host *host = data;
    (void) request;
    (void) delay_ms;
    (void) repeat;
    if (host->n_timers == TIMERS_MAX)
        return -EDQUOT;
    host->timers[host->n_timers++] = ++host->last_timer;
    return host->last_timer;
}

static inline void on_clear_timer(void *data, int64_t timer)
{
    struct host *host = data;
    for (size_t i = 0; i < host->n_timers; i++)
        if (host->timers[i] == timer)
            host->timers[i] = 0;
}

static inline uint64_t on_keep_timer(void *data, int64_t timer)
{
    (void) data;
    (void) timer;
    return 0;
}

static inline void on_woken(void *data, uint64_t request)
{
    (void) data;
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

static struct host host; /* host of the running test */

static inline struct isolate *new_isolate_with(const struct isolate_host *with)
{
    struct isolate_options options = {
        .ops = with,
        .host = &host,
        .heap_mib = HEAP_MIB,
        .external_mib = EXTERNAL_MIB,
        .tenant = "test",
    };
    struct isolate *isolate = NULL;
    memset(&host, 0, sizeof(host));
    assert_int_equal(isolate_new(&options, &isolate), 0);
    assert_non_null(isolate);
    return isolate;
}

static inline struct isolate *new_isolate(void)
{
    return new_isolate_with(&ops);
}

static inline void add(struct isolate *isolate, const char *path, const char *source)
{
    assert_int_equal(isolate_add_file(isolate, bytes(path), bytes(source)), 0);
}

static inline void run_timers(struct isolate *isolate, uint64_t request)
{
    for (size_t i = 0; i < host.n_timers; i++) {
        if (host.timers[i] == 0)
            continue;
        int64_t timer = host.timers[i];
        host.timers[i] = 0;
        assert_int_equal(isolate_on_timer(isolate, request, timer), ISOLATE_OK);
    }
    host.n_timers = 0;
}

/* Returns a loaded isolate whose main.js is the source. */
static inline struct isolate *load_with(const struct isolate_host *with, const char *source)
{
    struct isolate *isolate = new_isolate_with(with);
    add(isolate, "main.js", source);
    enum isolate_result r = isolate_load(isolate, bytes("main.js"));
    if (r != ISOLATE_OK)
        fail_msg("load: %d: %s", r, isolate_error(isolate));
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOADED);
    return isolate;
}

static inline struct isolate *load(const char *source)
{
    return load_with(&ops, source);
}

static inline enum isolate_result get(struct isolate *isolate, uint64_t id)
{
    static const char url[] = "http://example.com/path?q=1";
    static const char *const texts[] = { "GET", url, "host", "example.com", "x-latin", "caf\xe9" };
    uint8_t packed[256];
    size_t size = pack_head(packed, sizeof texts / sizeof *texts, texts);
    const struct isolate_request request = {
        .id = id,
        .method = bytes("GET"),
        .url = bytes(url),
        .head = { packed, size },
        .end = true,
    };
    host.n_done = 0;
    host.n_responses = 0;
    host.body[0] = '\0';
    return isolate_dispatch(isolate, &request);
}

static inline void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

/* Asserts the answer of a handler that returns String(expression), evaluated in the request. */
static inline void assert_answer(const char *expression, const char *expected)
{
    char source[4096];
    (void) snprintf(source, sizeof(source),
                    "export default { async fetch(request) {\n"
                    "    return new Response(String(await (%s)));\n} };\n",
                    expression);
    struct isolate *isolate = load(source);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    if (host.n_responses != 1)
        fail_msg("no response: %s", host.message);
    assert_string_equal(host.body, expected);
    isolate_free(isolate);
}

static inline int no_isolate_is_left(void **state)
{
    (void) state;
    return isolate_count() == 0 ? 0 : -1;
}

static inline void on_fatal(bool is_oom, const char *location)
{
    (void) fprintf(stderr, "V8 died: %s%s\n", is_oom ? "out of memory: " : "", location);
}

static inline int start_v8_with(void (*fatal)(bool is_oom, const char *location))
{
    const struct isolate_platform_options options = {
        .argv0 = "test",
        .jit = getenv("SKEP_TEST_JITLESS") ? JIT_OFF : JIT_ON,
        .wasm_max_mem_pages = 1024,
        .blank_heap_mib = 32,
        .snapshot = { skep_snapshot, skep_snapshot_size },
        .on_fatal = fatal,
    };
    int r = isolate_platform_init(&options, NULL);
    if (r < 0) {
        (void) fprintf(stderr, "isolate_platform_init: %s\n", strerror(-r));
    }
    return r;
}

static inline int start_v8(void)
{
    return start_v8_with(on_fatal);
}

#define TEST(function) cmocka_unit_test_teardown(function, no_isolate_is_left)
