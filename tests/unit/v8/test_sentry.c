/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sentry's stop reaches JavaScript wherever V8 runs it, with anything queued behind it.
 */
#include "tests/unit/v8/host_fixture.h"

#define CPU_REQUEST SKEP__WORKER__OUTCOME__OUTCOME_CPU_REQUEST

/* A WebAssembly module with the start function m.f, which is imported. */
#define STARTS                                                                                    \
    "const starts = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 7, 1, 1, " \
    "109, 1, 102, 0, 0, 8, 1, 0]);\n"

/* When spin() is stopped, its microtask, which spins too, must not run any more. */
#define SPIN "const spin = () => { Promise.resolve().then(() => { for (;;); }); for (;;); };\n"

static const char *const spinners[] = {
    "spin();",
    "Promise.resolve().then(spin); await 0;",
    "await WebAssembly.instantiate(starts, { m: { f: spin } });",
    "await WebAssembly.instantiate(starts, { get m() { spin(); } });",
    "Object.defineProperty(WebAssembly.Module.prototype, 'then', { get: spin });\n"
    "await WebAssembly.compile(starts);",
    "Object.defineProperty(WebAssembly.Instance.prototype, 'then', { get: spin });\n"
    "await WebAssembly.instantiate(new WebAssembly.Module(starts), { m: { f() {} } });",
    "Object.defineProperty(Object.prototype, 'then', { configurable: true, get: spin });\n"
    "await WebAssembly.instantiate(starts, { m: { f() {} } });",
    "setTimeout(spin, 0); await new Promise(() => {});",
    "console.log({ toString: spin, get a() { spin(); } }); spin();",
    "const e = new Error('x'); Error.prepareStackTrace = spin; e.stack; throw e;",
    "Error.prepareStackTrace = spin; throw new Error('x');",
    "throw { get stack() { spin(); }, toString: spin, [Symbol.toPrimitive]: spin };",
    "structuredClone({ get a() { spin(); } });",
    "await import({ toString: spin });",
    "await import('./main.js', { with: { get type() { spin(); } } });",
    "await import('./main.js', { get with() { spin(); } });",
    "return new Response(new ReadableStream({ pull: spin }));",
    "return new Response({ toString: spin });",
    "return { then: spin };",
    "return new Response('', { headers: [{ get [Symbol.iterator]() { spin(); } }] });",
    "JSON.parse('[1]', spin);",
    "[3, 2, 1].sort(spin);",
    "'x'.replace(/x/, spin);",
    "new Proxy({}, { get: spin }).x;",
    "await new Promise(spin);",
    "await Promise.all({ get [Symbol.iterator]() { spin(); } });",
    "const c = class extends Promise { static get [Symbol.species]() { spin(); } };\n"
    "await new c(() => {}).then();",
    "queueMicrotask(spin); await 0;",
    "(function f() { try { f(); } finally { spin(); } })();",
};

static void test_spinner_is_stopped_wherever_v8_has_called_it(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof spinners / sizeof spinners[0]; i++) {
        Skep__Worker__Limits limits = usual_limits();
        char source[2048];

        (void) snprintf(source, sizeof source, STARTS SPIN HANDLER("%s\n"), spinners[i]);
        world->n_frames = 0;
        limits.cpu_ms = 20;
        assert_int_equal(load(1, 0, limits, source), 0);
        send_request(1, 1, "/");
        const struct frame *done = await_done(1);
        if (done->code != CPU_REQUEST)
            fail_msg("%s: %d: %s", spinners[i], done->code, done->text);
        unload_if_there(1);
    }
}

/* Some of the modules spin while V8 reports why the load has failed. */
static const char *const modules[] = {
    "spin();",
    "Error.prepareStackTrace = spin; export default {};",
    "Error.prepareStackTrace = spin; export default { get fetch() { throw new Error('x'); } };",
    "Error.prepareStackTrace = spin; export default { get fetch() { spin(); } };",
    "Error.prepareStackTrace = spin; throw new Error('x');",
    "throw { toString: spin, get stack() { spin(); }, get message() { spin(); } };",
    "Error.prepareStackTrace = spin; await import('./none.js');",
    "Error.prepareStackTrace = spin;\n"
    "import('./none.js').catch((e) => e.stack); export default {};",
    "Error.prepareStackTrace = spin; export { late as default }; none; let late;",
    "Error.prototype.toString = spin; Error.prepareStackTrace = spin; export default 1;",
};

static void test_spinner_of_a_load_is_stopped(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        Skep__Worker__Limits limits = usual_limits();
        char source[2048];

        (void) snprintf(source, sizeof source, SPIN "%s\n", modules[i]);
        world->n_frames = 0;
        limits.cpu_startup_ms = 100;
        send_load(1, 0, &limits, source);
        const struct frame *loaded = await_frame(SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, 1);
        if (loaded->code != SKEP__WORKER__LOAD_RESULT__LOAD_CPU_STARTUP)
            fail_msg("%s: %d: %s", modules[i], loaded->code, loaded->text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_spinner_is_stopped_wherever_v8_has_called_it),
        TEST(test_spinner_of_a_load_is_stopped),
    };

    return cmocka_run_group_tests(tests, start_process, NULL);
}
