/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker/host.h: the worker's reports of limits, places and waiting requests.
 */
#include "tests/unit/v8/host_fixture.h"

#include "common/io.h"

enum {
    CPU_MS = SKEP__WORKER__LIMIT__LIMIT_CPU_MS,
    CPU_STARTUP_MS = SKEP__WORKER__LIMIT__LIMIT_CPU_STARTUP_MS,
    HEAP_MIB = SKEP__WORKER__LIMIT__LIMIT_HEAP_MIB,
    EXTERNAL_MIB = SKEP__WORKER__LIMIT__LIMIT_EXTERNAL_MIB,
    TIMERS = SKEP__WORKER__LIMIT__LIMIT_TIMERS,
    LOG_KIB = SKEP__WORKER__LIMIT__LIMIT_LOG_KIB,
};

#define EXCEEDED SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED
#define CAUGHT_UP SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP
#define LOADED SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED
#define STOPPED SKEP__WORKER__FROM_WORKER__MESSAGE_STOPPED
#define LOG SKEP__WORKER__FROM_WORKER__MESSAGE_LOG
#define CLIENT_GONE SKEP__WORKER__CANCEL_REASON__CANCEL_CLIENT_GONE
#define WALL SKEP__WORKER__CANCEL_REASON__CANCEL_WALL_REQUEST
#define UNLOADED SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED
#define DONE SKEP__WORKER__FROM_WORKER__MESSAGE_DONE
#define HEAD SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD

#define KEEP_ALL "const kept = [];\n"
#define CASES                                                                                    \
    KEEP_ALL SLEEP HANDLER(                                                                      \
        "if (path === '/loop') for (;;);\n"                                                      \
        "if (path === '/burn') for (let i = 0; i < 1e8; i++);\n"                                 \
        "if (path === '/heap') for (let list = [];;) list = [list, 1, 2, 3];\n"                  \
        "if (path === '/heap_some') for (let i = 0; i < 8e5; i++) kept.push([i, i, i, i]);\n"    \
        "if (path === '/external') try { for (;;) kept.push(new ArrayBuffer(1 << 20)); }\n"      \
        "    catch (error) { kept.length = 0; return new Response(error.name); }\n"              \
        "if (path === '/external_some') for (let i = 0; i < 20; i++)\n"                          \
        "    kept.push(new ArrayBuffer(1 << 20));\n"                                             \
        "if (path === '/garbage') for (let i = 0; i < 200; i++) new ArrayBuffer(1 << 20);\n"     \
        "if (path === '/wasm') try {\n"                                                          \
        "    const memory = new WebAssembly.Memory({ initial: 1 });\n"                           \
        "    for (let i = 0; i < 30; i++) memory.grow(16);\n"                                    \
        "} catch (error) { return new Response(error.name); }\n"                                 \
        "if (path === '/timers') try { for (let i = 0; i < 20; i++) setTimeout(() => {}, 9e6); " \
        "}\n"                                                                                    \
        "    catch (error) { return new Response(error.name); }\n"                               \
        "if (path === '/log') for (let i = 0; i < 30; i++) console.log('x'.repeat(100));\n")

static const struct {
    const char *path;
    int limit;
    int outcome;
    const char *body;      /* NULL: none */
    uint64_t least, most;  /* bounds of used */
    const char *mild_path; /* over the limit, and ends by itself if it is not stopped */
    const char *mild_body;
} cases[] = {
    { "/loop", CPU_MS, SKEP__WORKER__OUTCOME__OUTCOME_CPU_REQUEST, NULL, 30000, 60000, "/burn",
      "ok" },
    { "/heap", HEAP_MIB, SKEP__WORKER__OUTCOME__OUTCOME_MEM_ISOLATE, NULL, 16 << 10, 64 << 10,
      "/heap_some", "ok" },
    { "/external", EXTERNAL_MIB, SKEP__WORKER__OUTCOME__OUTCOME_OK, "RangeError", 16 << 10,
      18 << 10, "/external_some", "ok" },
    { "/wasm", EXTERNAL_MIB, SKEP__WORKER__OUTCOME__OUTCOME_OK, "RangeError", 16 << 10, 34 << 10,
      "/wasm", "ok" },
    { "/timers", TIMERS, SKEP__WORKER__OUTCOME__OUTCOME_OK, "RangeError", 9, 9, "/timers", "ok" },
    { "/log", LOG_KIB, SKEP__WORKER__OUTCOME__OUTCOME_OK, "ok", 1024, 1200, "/log", "ok" },
};

static Skep__Worker__Limits limits_for(int limit)
{
    Skep__Worker__Limits limits = usual_limits();

    if (limit == CPU_MS)
        limits.cpu_ms = 30;
    return limits;
}

static void test_each_limit_that_is_met_is_told_once_before_the_end(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world->n_frames = 0;
        uint32_t tenant = (uint32_t) i + 1;
        assert_int_equal(load(tenant, 0, limits_for(cases[i].limit), CASES), 0);
        send_request(tenant, 7, cases[i].path);
        const struct frame *done = await_done(7);
        const struct frame *exceeded = find_frame(EXCEEDED, 7);
        if (!exceeded)
            fail_msg("%s: nothing was said", cases[i].path);
        assert_true(exceeded < done);
        assert_int_equal(count_frames(EXCEEDED), 1);
        assert_int_equal(exceeded->code, cases[i].limit);
        assert_false(exceeded->observed);
        assert_in_range(exceeded->used, cases[i].least, cases[i].most);
        assert_int_equal(done->code, cases[i].outcome);
        if (cases[i].body)
            assert_string_equal(find_frame(HEAD, 7)->text, cases[i].body);
        unload_if_there(tenant);
    }
}

static void test_observed_limit_is_told_and_stops_nothing(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Skep__Worker__Limits limits = limits_for(cases[i].limit);
        limits.observed = UINT32_C(1) << cases[i].limit;
        world->n_frames = 0;
        uint32_t tenant = (uint32_t) i + 1;
        assert_int_equal(load(tenant, 0, limits, CASES), 0);
        for (uint64_t id = 7; id < 9; id++) { /* in the same isolate */
            send_request(tenant, id, cases[i].mild_path);
            const struct frame *done = await_done(id);
            const struct frame *exceeded = find_frame(EXCEEDED, id);
            if (!exceeded)
                fail_msg("%s: nothing was said", cases[i].mild_path);
            assert_true(exceeded < done);
            assert_int_equal(exceeded->code, cases[i].limit);
            assert_true(exceeded->observed);
            assert_true(exceeded->used >= cases[i].least);
            assert_int_equal(done->code, SKEP__WORKER__OUTCOME__OUTCOME_OK);
            assert_string_equal(find_frame(HEAD, id)->text, cases[i].mild_body);
        }
        assert_int_equal(count_frames(EXCEEDED), 2);
        unload_if_there(tenant);
    }
}

static void test_memory_that_a_collection_frees_is_not_over_a_limit(void **state)
{
    (void) state;
    for (uint32_t observed = 0; observed < 2; observed++) {
        Skep__Worker__Limits limits = usual_limits();
        limits.observed = observed << EXTERNAL_MIB;
        world->n_frames = 0;
        assert_int_equal(load(observed + 1, 0, limits, CASES), 0);
        send_request(observed + 1, 7, "/garbage");
        assert_int_equal(await_done(7)->code, SKEP__WORKER__OUTCOME__OUTCOME_OK);
        assert_null(find_frame(EXCEEDED, 7));
        unload(observed + 1);
    }
}

static void test_load_over_its_cpu_time_is_told_before_loaded(void **state)
{
    Skep__Worker__Limits limits = usual_limits();

    (void) state;
    limits.cpu_startup_ms = 20;
    assert_int_equal(load(1, 0, limits, "for (;;);" CASES),
                     SKEP__WORKER__LOAD_RESULT__LOAD_CPU_STARTUP);
    const struct frame *exceeded = find_frame(EXCEEDED, 0);
    assert_non_null(exceeded);
    assert_true(exceeded < find_frame(LOADED, 1));
    assert_int_equal(exceeded->code, CPU_STARTUP_MS);
    assert_false(exceeded->observed);
    assert_in_range(exceeded->used, 20000, 60000);

    world->n_frames = 0;
    limits.observed = 1U << CPU_STARTUP_MS;
    assert_int_equal(load(2, 0, limits, "for (let i = 0; i < 1e8; i++);" CASES), 0);
    exceeded = find_frame(EXCEEDED, 0);
    assert_non_null(exceeded);
    assert_true(exceeded->observed);
    unload(2);
}

static void test_place_is_what_the_supervisor_says(void **state)
{
    (void) state;
    assert_int_equal(load(5, 17, usual_limits(), CASES), 0);
    assert_int_equal(world->board.placements[17].placement, 5);
    uint64_t cpu_of_load = world->board.placements[17].cpu_ns;
    assert_true(cpu_of_load > 0);
    send_request(5, 7, "/burn");
    (void) await_done(7);
    assert_true(world->board.placements[17].cpu_ns > cpu_of_load + 5000000);
    unload(5);
    assert_int_equal(world->board.placements[17].placement, 0);
    assert_int_equal(world->board.placements[17].cpu_ns, 0);

    assert_int_equal(load(6, 17, usual_limits(), "throw 1;"),
                     SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED);
    assert_int_equal(load(7, 17, usual_limits(), CASES), 0);
    unload(7);
}

static void assert_load_breaks(uint32_t place)
{
    Skep__Worker__Limits limits = usual_limits();

    send_load(9, place, &limits, CASES);
    while (!event_base_got_break(world->base))
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
}

static void test_place_that_is_taken_is_a_breach(void **state)
{
    (void) state;
    assert_int_equal(load(1, 3, usual_limits(), CASES), 0);
    assert_load_breaks(3);
}

static void test_place_that_does_not_exist_is_a_breach(void **state)
{
    (void) state;
    assert_load_breaks(SCOREBOARD_PLACEMENTS);
}

static void test_worker_says_once_for_a_read_that_its_requests_wait(void **state)
{
    (void) state;
    assert_int_equal(
        load(1, 0, usual_limits(), SLEEP HANDLER("if (path === '/wait') await sleep(20);\n")), 0);
    send_request(1, 1, "/");
    (void) await_done(1);
    assert_int_equal(count_frames(CAUGHT_UP), 0); /* the Done says the same */
    send_request(1, 2, "/wait");
    send_request(1, 3, "/");
    send_request(1, 4, "/wait");
    (void) await_done(2);
    (void) await_done(4);
    assert_int_equal(count_frames(CAUGHT_UP), 1);
    const struct frame *caught_up = find_frame(CAUGHT_UP, 0);
    assert_true(find_frame(HEAD, 3) < caught_up);
    assert_true(caught_up < find_frame(HEAD, 2));
    unload(1);
}

/* ---- timers of module code */

#define TICKING                                                                             \
    "let ticks = 0; setInterval(() => { ticks++; }, 1); let once = 0;\n"                    \
    "setTimeout(() => { once++; }, 1);\n" SLEEP HANDLER(                                    \
        "for (let i = 0; i < 1000 && path === '/wait' && ticks < 6; i++) await sleep(1);\n" \
        "return new Response(`${ticks} ${once}`);\n")

static void pass_time(unsigned ms)
{
    const struct timeval pause = { .tv_usec = (suseconds_t) ms * 1000 };

    assert_int_equal(event_base_loopexit(world->base, &pause), 0);
    while (!event_base_got_exit(world->base))
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
}

static void test_timers_of_module_code_run_only_beside_a_request(void **state)
{
    (void) state;
    assert_int_equal(load(1, 0, usual_limits(), TICKING), 0);
    pass_time(30);
    send_request(1, 1, "/");
    (void) await_done(1);
    assert_string_equal(find_frame(HEAD, 1)->text, "0 0"); /* they run after the handler */
    pass_time(30);
    send_request(1, 2, "/");
    (void) await_done(2);
    assert_string_equal(find_frame(HEAD, 2)->text, "1 1"); /* once for the request before */
    send_request(1, 3, "/wait");
    (void) await_done(3);
    assert_true(strtol(find_frame(HEAD, 3)->text, NULL, 10) > 5);
    unload(1);
}

static void
test_waiting_timer_that_ends_the_isolate_fails_the_request_that_it_ran_beside(void **state)
{
    Skep__Worker__Limits limits = usual_limits();

    (void) state;
    limits.cpu_ms = limits.cpu_startup_ms = 20000;
    assert_int_equal(
        load(1, 0, limits,
             "setTimeout(() => { for (let list = [];;) list = [list, 1]; }, 1);\n" HANDLER("")),
        0);
    pass_time(20);
    send_request(1, 1, "/");
    assert_int_equal(await_done(1)->code, SKEP__WORKER__OUTCOME__OUTCOME_MEM_ISOLATE);
    assert_non_null(find_frame(HEAD, 1));
    assert_int_equal(find_frame(EXCEEDED, 0)->code, HEAP_MIB);
    (void) await_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED, 1);
}

/* ---- memory that is kept */

static size_t resident_bytes(void)
{
    unsigned long size, resident;
    FILE *statm = fopen("/proc/self/statm", "re");

    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu %lu", &size, &resident), 2);
    (void) fclose(statm);
    return resident * 4096;
}

static void test_blocks_of_buffers_are_kept_for_a_second(void **state)
{
    static const struct timeval patience = { .tv_sec = 240 };

    (void) state;
    assert_int_equal(
        load(1, 0, usual_limits(),
             HANDLER("const held = [];\n"
                     "for (let i = 0; i < 12; i++) held.push(new Uint8Array(1 << 20).fill(1));\n"
                     "globalThis.held = held;\n")),
        0);
    send_request(1, 1, "/");
    (void) await_done(1);
    unload(1);
    size_t kept = resident_bytes();
    uint64_t from_ns = io_now_ns();
    assert_int_equal(event_base_loopexit(world->base, &patience), 0);
    /* 12 MiB go; a blank isolate, which the worker makes meanwhile, may take half of it. */
    while (resident_bytes() + (4 << 20) > kept) {
        assert_int_equal(event_base_loop(world->base, EVLOOP_ONCE), 0);
        assert_false(event_base_got_exit(world->base));
    }
    assert_in_range(io_now_ns() - from_ns, NSEC_PER_SEC / 2, UINT64_MAX);
}

/* ---- attribution of code */

/* clang-format off */
#define SHARED \
    SLEEP "let go, gate, shared, polls = 0;\n" \
    HANDLER( \
        "gate = gate ?? new Promise((resolve) => { go = resolve; });\n" \
        "if (path === '/continue') { await gate; console.log('continued'); await sleep(1);\n" \
        "    console.log('slept'); }\n" \
        "if (path === '/reject') { gate.then(() => { throw 1; }); await gate; await sleep(1); }\n" \
        "if (path === '/go') { go(); await sleep(1e6); }\n" \
        "if (path === '/share') {\n" \
        "    shared = shared ?? sleep(30).then(() => 'shared');\n" \
        "    return new Response(await shared); }\n" \
        "if (path === '/race') { setTimeout(() => console.log('left over'), 20); }\n" \
        "if (path === '/chain') {\n" \
        "    const next = () => { polls++; setTimeout(next, 1); };\n" \
        "    next(); }\n" \
        "if (path === '/interval') { setInterval(() => { polls++; }, 1); }\n" \
        "if (path === '/polls') return new Response(polls);\n" \
        "if (path === '/long') await sleep(1e6);\n" \
        "if (path === '/go_stop') { go(); for (;;); }\n" \
        "if (path === '/slices') for (;;) { for (let n = 0; n < 1e6; n++); await sleep(1); }\n" \
        "if (path === '/wait') await sleep(100);\n")
/* clang-format on */

static void test_continuation_belongs_to_its_own_request(void **state)
{
    static const char *const paths[] = { "/continue", "/reject" };

    (void) state;
    for (size_t i = 0; i < 2; i++) {
        uint32_t tenant = (uint32_t) i + 1;
        world->n_frames = 0;
        assert_int_equal(load(tenant, 0, usual_limits(), SHARED), 0);
        send_request(tenant, 1, paths[i]);
        send_request(tenant, 2, "/go");
        (void) await_done(1);
        assert_null(find_frame(DONE, 2)); /* the request in whose entry it ran */
        assert_non_null(find_frame(LOG, 1));
        assert_int_equal(count_frames(LOG), 2 - i);
        assert_null(find_frame(LOG, 2));
        unload(tenant);
    }
}

/* ---- after a stop */

static void stop_beside(uint32_t tenant, const char *path)
{
    Skep__Worker__Limits limits = usual_limits();

    world->n_frames = 0;
    limits.cpu_ms = 20;
    assert_int_equal(load(tenant, 0, limits, SHARED), 0);
    send_request(tenant, 1, path);
    send_request(tenant, 2, "/go_stop");
    assert_int_equal(await_done(2)->code, SKEP__WORKER__OUTCOME__OUTCOME_CPU_REQUEST);
}

static void test_isolate_that_was_stopped_ends_what_is_in_it_and_takes_no_more(void **state)
{
    (void) state;
    stop_beside(1, "/wait");
    assert_int_equal(count_frames(STOPPED), 1);
    assert_true(find_frame(STOPPED, 1) < find_frame(DONE, 2));
    send_request(1, 3, "/");
    assert_int_equal(await_done(3)->code, SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED);
    assert_null(find_frame(HEAD, 3));
    assert_int_equal(await_done(1)->code, SKEP__WORKER__OUTCOME__OUTCOME_OK);
    unload(1);
}

static void test_stop_between_two_slices_is_one_as_well(void **state)
{
    Skep__Worker__Limits limits = usual_limits();

    (void) state;
    limits.cpu_ms = 20;
    assert_int_equal(load(1, 0, limits, SHARED), 0);
    send_request(1, 1, "/slices"); /* over its budget while it waits for a timer */
    assert_int_equal(await_done(1)->code, SKEP__WORKER__OUTCOME__OUTCOME_CPU_REQUEST);
    assert_int_equal(count_frames(STOPPED), 1);
    unload(1);
}

static void test_isolate_that_is_reused_goes_on_after_a_stop(void **state)
{
    (void) state;
    world->reuse_after_stop = true;
    stop_beside(1, "/wait");
    assert_int_equal(count_frames(STOPPED), 0);
    (void) await_done(1);
    send_request(1, 4, "/");
    assert_int_equal(await_done(4)->code, SKEP__WORKER__OUTCOME__OUTCOME_OK);
    assert_null(find_frame(UNLOADED, 1));
    unload(1);
}

/* A worker that is asked for what a later release knows says so, and serves on. */
static void test_load_for_another_use_is_refused_by_name(void **state)
{
    Skep__Worker__LoadBegin begin = SKEP__WORKER__LOAD_BEGIN__INIT;
    Skep__Worker__Limits limits = usual_limits();

    (void) state;
    begin.placement = 1;
    begin.name = text_field("test");
    begin.main = text_field("main.js");
    begin.limits = &limits;
    begin.use = SKEP__WORKER__LOAD_USE__LOAD_COMPILE;
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN, &begin);
    struct frame *loaded = await_frame(LOADED, 1);
    assert_int_equal(loaded->code, SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED);
    assert_non_null(strstr(loaded->text, "LOAD_COMPILE"));
    begin.placement = 2;
    begin.use = (Skep__Worker__LoadUse) 77;
    send_to_worker(SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN, &begin);
    assert_non_null(strstr(await_frame(LOADED, 2)->text, "does not know"));
    assert_int_equal(load(3, 0, limits, CASES), 0);
}

static void test_long_answer_goes_in_parts_as_large_as_its_window(void **state)
{
    static const char source[] = "export default {"
                                 " fetch() { return new Response(new Uint8Array(300000)); } };";

    (void) state;
    assert_int_equal(load(1, 0, usual_limits(), source), 0);
    send_request(1, 7, "/");
    assert_int_equal(await_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_BODY, 7)->used,
                     ANSWER_CHUNK_MAX_BYTES);
    send_cancel(7, SKEP__WORKER__CANCEL_REASON__CANCEL_CLIENT_GONE);
    assert_int_equal(await_done(7)->code, SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED);
    unload(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: the memory of others is trimmed while it waits. */
        TEST(test_blocks_of_buffers_are_kept_for_a_second),
        TEST(test_each_limit_that_is_met_is_told_once_before_the_end),
        TEST(test_observed_limit_is_told_and_stops_nothing),
        TEST(test_memory_that_a_collection_frees_is_not_over_a_limit),
        TEST(test_load_over_its_cpu_time_is_told_before_loaded),
        TEST(test_place_is_what_the_supervisor_says),
        TEST(test_place_that_is_taken_is_a_breach),
        TEST(test_place_that_does_not_exist_is_a_breach),
        TEST(test_worker_says_once_for_a_read_that_its_requests_wait),
        TEST(test_timers_of_module_code_run_only_beside_a_request),
        TEST(test_waiting_timer_that_ends_the_isolate_fails_the_request_that_it_ran_beside),
        TEST(test_continuation_belongs_to_its_own_request),
        TEST(test_isolate_that_was_stopped_ends_what_is_in_it_and_takes_no_more),
        TEST(test_stop_between_two_slices_is_one_as_well),
        TEST(test_isolate_that_is_reused_goes_on_after_a_stop),
        TEST(test_load_for_another_use_is_refused_by_name),
        TEST(test_long_answer_goes_in_parts_as_large_as_its_window),
    };

    return cmocka_run_group_tests(tests, start_process, NULL);
}
