/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and texts that a tenant's JavaScript chooses, and the frames that carry them. */
#include "tests/unit/v8/host_fixture.h"

#include "proto/frame.h"

#define EXCEEDED SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED

/* Behaviour of "/n" of TENANT, by n. */
#define TENANT                                                                                \
    HANDLER("const huge = [2 ** 31, 2 ** 32 - 1, 2 ** 40, 2 ** 52, Number.MAX_SAFE_INTEGER, " \
            "1e300, Infinity, -1, -Infinity, NaN];\n"                                         \
            "const attempt = (f) => { try { return f(); } catch (e) { return e; } };\n"       \
            "const steps = {\n"                                                               \
            "buffer: (n) => new ArrayBuffer(n),\n"                                            \
            "resizable: (n) => new ArrayBuffer(0, { maxByteLength: n }).resize(n),\n"         \
            "doubles: (n) => new Float64Array(n),\n"                                          \
            "wasm: (n) => new WebAssembly.Memory({ initial: n, maximum: n }),\n"              \
            "text: (n) => 'x'.repeat(n),\n"                                                   \
            "timer: (n) => clearTimeout(setTimeout(() => {}, n)),\n"                          \
            "kept: (n) => setTimeout(() => {}, n),\n"                                         \
            "abort: (n) => AbortSignal.timeout(n),\n"                                         \
            "clear: (n) => { clearTimeout(n); clearInterval(-n); },\n"                        \
            "status: (n) => new Response('', { status: n }),\n"                               \
            "clone: (n) => structuredClone(new ArrayBuffer(n)),\n"                            \
            "blob: (n) => new Blob(['abc']).slice(n, -n),\n"                                  \
            "log: (n) => console.log(n, 'x'.repeat(n % 1e6)),\n"                              \
            "};\n"                                                                            \
            "for (const n of huge) attempt(() => steps[path.slice(1)](n));\n"                 \
            "return new Response('lives');")

static const char *const paths[] = {
    "/buffer", "/resizable", "/doubles", "/wasm",  "/text", "/timer", "/kept",
    "/abort",  "/clear",     "/status",  "/clone", "/blob", "/log",
};

static void test_no_number_that_javascript_chooses_leaves_its_bounds(void **state)
{
    (void) state;
    for (unsigned observed = 0; observed < 2; observed++) {
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
            Skep__Worker__Limits limits = usual_limits();
            limits.observed = observed ? 1U << SKEP__WORKER__LIMIT__LIMIT_TIMERS : 0;
            world->n_frames = 0;
            assert_int_equal(load(1, 0, limits, TENANT), 0);
            send_request(1, 7, paths[i]);
            const struct frame *done = await_done(7);
            if (done->code != SKEP__WORKER__OUTCOME__OUTCOME_OK)
                fail_msg("%s: %s", paths[i], done->text);
            for (size_t n = 0; n < world->n_frames; n++)
                if (world->frames[n].kind == EXCEEDED)
                    assert_in_range(world->frames[n].used, 0, EXCEEDED_USED_MAX);
            unload(1);
        }
    }
}

/* A wish that is too large is reported as the largest value that there is. */
static void test_wish_beyond_all_memory_is_told_as_the_most(void **state)
{
    (void) state;
    assert_int_equal(load(1, 0, usual_limits(), TENANT), 0);
    send_request(1, 7, "/buffer");
    (void) await_done(7);
    const struct frame *exceeded = find_frame(EXCEEDED, 7);
    assert_non_null(exceeded);
    assert_int_equal(exceeded->code, SKEP__WORKER__LIMIT__LIMIT_EXTERNAL_MIB);
    assert_int_equal(exceeded->used, EXCEEDED_USED_MAX);
    unload(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_number_that_javascript_chooses_leaves_its_bounds),
        TEST(test_wish_beyond_all_memory_is_told_as_the_most),
    };

    return cmocka_run_group_tests(tests, start_process, NULL);
}
