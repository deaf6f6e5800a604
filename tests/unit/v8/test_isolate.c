/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker/isolate.h: requests, modules, errors, and the globals of a tenant.
 */
#include "tests/unit/v8/isolate_fixture.h"

/* ---- ordinary requests */

static void test_handler_answers(void **state)
{
    (void) state;
    struct isolate *isolate = load(
        "export default { fetch(request) {\n"
        "    return new Response(request.method + ' ' + request.url + ' '\n"
        "        + request.headers.get('x-latin'), { status: 201, headers: { 'x-a': 'b' } });\n"
        "} };");
    for (uint64_t id = 1; id < 4; id++) {
        assert_int_equal(get(isolate, id), ISOLATE_OK);
        assert_int_equal(host.n_responses, 1);
        assert_int_equal(host.n_done, 1);
        assert_int_equal(host.outcome, ISOLATE_REQUEST_OK);
        assert_int_equal(host.status, 201);
        assert_string_equal(host.body, "GET http://example.com/path?q=1 caf\xc3\xa9");
        assert_contains(host.head, "x-a: b\n");
    }
    struct isolate_memory memory;
    isolate_get_memory(isolate, &memory);
    assert_in_range(memory.heap_used, 1, memory.heap_limit);
    isolate_free(isolate);
}

static void test_env_is_given_to_the_handler(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    const struct isolate_env env = { bytes("NAME"), bytes("w\xc3\xb6rld") };
    add(isolate, "main.js",
        "export default { fetch: (request, env) => new Response('hello ' + env.NAME) };");
    assert_int_equal(isolate_set_env(isolate, &env, 1), 0);
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_OK);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "hello w\xc3\xb6rld");
    isolate_free(isolate);
}

static void test_throwing_handler_is_an_exception_of_the_request(void **state)
{
    (void) state;
    struct isolate *isolate =
        load("export default { async fetch() { throw new TypeError('broken'); } };");
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_int_equal(host.n_responses, 0);
    assert_int_equal(host.outcome, ISOLATE_REQUEST_EXCEPTION);
    assert_contains(host.message, "TypeError: broken");
    assert_contains(host.message, "main.js:1");
    isolate_free(isolate);
}

static void test_refused_response_is_no_crash(void **state)
{
    (void) state;
    struct isolate *isolate = load("export default { fetch: () => new Response('x') };");
    host.respond_result = -ENOENT;
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_int_equal(host.n_responses, 0);
    host.respond_result = 0;
    assert_int_equal(get(isolate, 2), ISOLATE_OK);
    assert_int_equal(host.n_responses, 1);
    isolate_free(isolate);
}

static void test_clock_is_frozen_inside_an_entry(void **state)
{
    (void) state;
    isolate_freeze_clock(0);
    assert_answer("(() => { const t = Date.now(); for (let i = 0; i < 1e7; i++); "
                  "return Date.now() - t; })()",
                  "0");
}

static uint64_t held(struct isolate *isolate)
{
    struct isolate_memory memory;

    isolate_get_memory(isolate, &memory);
    return memory.heap_held;
}

static void test_an_idle_isolate_gives_the_room_of_its_garbage_back(void **state)
{
    (void) state;
    struct isolate *isolate = load("const kept = Array.from({ length: 1000 }, (_, i) => ({ i }));\n"
                                   "export default { fetch: () => new Response(kept.length) };");
    assert_true(isolate_rest(isolate));
    assert_false(isolate_rest(isolate)); /* has not grown */
    for (uint64_t id = 1; id <= 2000; id++)
        assert_int_equal(get(isolate, id), ISOLATE_OK);
    const uint64_t before = held(isolate);
    assert_true(isolate_rest(isolate));
    assert_true(held(isolate) + 700000 < before);
    assert_false(isolate_rest(isolate));
    assert_int_equal(get(isolate, 2001), ISOLATE_OK);
    assert_string_equal(host.body, "1000");
    isolate_free(isolate);
}

static void test_a_large_heap_is_left_alone(void **state)
{
    (void) state;
    struct isolate *isolate =
        load("const kept = Array.from({ length: 300000 }, (_, i) => ({ i, text: `${i}` }));\n"
             "export default { fetch: () => new Response(kept.length) };");
    assert_false(isolate_rest(isolate));
    isolate_free(isolate);
}

/* ---- errors at load */

static void assert_load_fails(struct isolate *isolate, const char *const *parts)
{
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_EXCEPTION);
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOAD_FAILED);
    for (; *parts; parts++)
        assert_contains(isolate_error(isolate), *parts);
    isolate_free(isolate);
}

static void test_syntax_error_shows_line_and_caret(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "const a = 1;\n\tlet b = };\n");
    assert_load_fails(isolate,
                      (const char *const[]){ "SyntaxError: Unexpected token '}'", "main.js:2:10",
                                             "\n    \tlet b = };\n    \t        ^", NULL });
}

static void test_throwing_module_shows_its_stack(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "function f() {\n    throw new Error('no');\n}\nf();\n");
    assert_load_fails(isolate,
                      (const char *const[]){ "Error: no\nmain.js:2:11\n", "    at f (main.js:2:11)",
                                             "    at main.js:4:1", NULL });
}

static void test_missing_import_names_its_place(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "import './lib/a.js';\n");
    add(isolate, "lib/a.js", "// one\nimport x from '../../etc/passwd';\n");
    assert_load_fails(
        isolate, (const char *const[]){
                     "Cannot find module '../../etc/passwd' imported from lib/a.js:2:", NULL });
}

static void test_missing_default_export_fails_the_load(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "export const fetch = 1;\n");
    assert_load_fails(isolate, (const char *const[]){ "fetch", NULL });
}

static void test_rejected_top_level_await_fails_the_load(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "await Promise.reject(new RangeError('late'));\n");
    assert_load_fails(isolate, (const char *const[]){ "RangeError: late", "main.js:1:", NULL });
}

/* ---- modules that are checked, and not run */

struct found {
    char text
        [4096]; /* "file:line:column: text\n" for each fault; "(unused) " before files that nothing imports */
    size_t size;
};

static void on_problem(void *owner, const struct isolate_problem *problem)
{
    struct found *found = owner;
    char place[64];
    (void) snprintf(place, sizeof(place), ":%u:%u: ", problem->line, problem->column);
    keep(found->text, sizeof(found->text), &found->size,
         bytes(problem->is_unused ? "(unused) " : ""));
    keep(found->text, sizeof(found->text), &found->size, problem->file);
    keep(found->text, sizeof(found->text), &found->size, bytes(place));
    keep(found->text, sizeof(found->text), &found->size, problem->text);
    keep(found->text, sizeof(found->text), &found->size, bytes("\n"));
}

/* Asserts the faults of an isolate to which files were added, and frees it. */
static void assert_found(struct isolate *isolate, const char *expected)
{
    struct found found = { .size = 0 };
    assert_int_equal(isolate_check(isolate, bytes("main.js"), on_problem, &found), ISOLATE_OK);
    found.text[found.size] = '\0';
    assert_string_equal(found.text, expected);
    assert_string_equal(host.log, "");
    assert_int_equal(host.n_timers, 0);
    isolate_free(isolate);
}

static void test_check_runs_nothing(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "import './loop.js';\nconsole.log('main'); setTimeout(() => {}, 1);\n"
        "export default { fetch() {} };\nfor (;;);\n");
    add(isolate, "loop.js", "import { a } from './circle.js';\nexport const b = a;\nfor (;;);\n");
    add(isolate, "circle.js", "import { b } from './loop.js';\nexport const a = () => b;\n");
    add(isolate, "unused.js", "console.log('unused');\n");
    assert_found(isolate, "");
}

static void test_check_finds_every_fault_of_files_and_imports(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "import './lib/a.js';\nimport './gone.js';\nimport 'hono';\nimport './lib/b';\n"
        "import d from './d.json' with { type: 'webassembly' };\nimport e from './e.json';\n"
        "import w from './w.wasm';\nimport 'node:fs';\nexport default {};\n");
    add(isolate, "lib/a.js", "export const a = 1;\nlet b = };\n");
    add(isolate, "lib/b.js", "import './nowhere.js';\n");
    add(isolate, "d.json", "{}");
    add(isolate, "e.json", "{ \"a\": 1,\n  \"b\": }\n");
    add(isolate, "w.wasm", "no wasm");
    assert_found(
        isolate,
        "lib/a.js:2:9: SyntaxError: Unexpected token '}'\n"
        "main.js:2:8: Cannot find module './gone.js'\n"
        "main.js:3:8: Cannot find module 'hono'; packages have to be bundled, for instance "
        "with esbuild --bundle --format=esm\n"
        "main.js:4:8: Cannot find module './lib/b'; did you mean './lib/b.js'?\n"
        "main.js:5:15: 'd.json' is not of type 'webassembly'\n"
        "e.json:2:8: SyntaxError: Unexpected token '}', \"{ \"a\": 1,\n  \"b\": }\n\" is "
        "not valid JSON\n"
        "w.wasm:0:0: CompileError: WasmModuleObject::Compile(): expected magic word 00 61 73 "
        "6d, found 6e 6f 20 77 @+0\n"
        "main.js:8:8: Cannot find module 'node:fs'; of the modules of Node.js there is "
        "node:async_hooks only, see docs/tenant.md\n");
}

static void test_check_names_an_export_that_is_not_there(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "import { a,\n  b } from './a.js';\nexport default { a, b };\n");
    add(isolate, "a.js", "export const a = 1;\n");
    assert_found(isolate,
                 "main.js:2:3: SyntaxError: The requested module './a.js' does not provide an "
                 "export named 'b'\n");
}

static void test_check_misses_a_default_export(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "export function fetch() {}\n");
    assert_found(isolate,
                 "main.js:0:0: no default export: expected export default { fetch(request, env, "
                 "ctx) { \xe2\x80\xa6 } } or addEventListener(\"fetch\", \xe2\x80\xa6)\n");
    isolate = new_isolate();
    add(isolate, "main.js", "import './a.js';\n");
    add(isolate, "a.js", "addEventListener('fetch', () => {});\n");
    assert_found(isolate, "");
    isolate = new_isolate();
    add(isolate, "main.js", "export { default } from './a.js';\n");
    add(isolate, "a.js", "let a; export default a;\n");
    assert_found(isolate, "");
}

static void test_check_tells_faults_of_unused_files_apart(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js", "export default {};\n");
    add(isolate, "page.js", "import './gone.js';\n");
    add(isolate, "data.json", "[");
    assert_found(isolate, "(unused) data.json:1:2: SyntaxError: Unexpected end of JSON input\n"
                          "(unused) page.js:1:8: Cannot find module './gone.js'\n");
    /* While the main module has faults, unused files are not known. */
    isolate = new_isolate();
    add(isolate, "main.js", "export default {;\n");
    add(isolate, "page.js", "import './gone.js';\n");
    assert_found(isolate, "main.js:1:17: SyntaxError: Unexpected token ';'\n");
}

static void test_bad_paths_are_refused(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    const char *const bad[] = { "",       "/etc/passwd", "../a.js", "a//b.js",
                                "./a.js", "a/../b.js",   "\xff.js" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(isolate_add_file(isolate, bytes(bad[i]), bytes("")), -EINVAL);
    add(isolate, "a.js", "");
    assert_int_equal(isolate_add_file(isolate, bytes("a.js"), bytes("")), -EEXIST);
    isolate_free(isolate);
}

/* ---- modules */

static void test_top_level_await_with_a_timer_loads_later(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "const word = await new Promise((done) => setTimeout(() => done('later'), 10));\n"
        "export default { fetch: () => new Response(word) };\n");
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_OK);
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOADING);
    assert_int_equal(host.n_timers, 1);
    run_timers(isolate, 0);
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOADED);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "later");
    isolate_free(isolate);
}

static void test_modules_of_all_kinds_are_imported(void **state)
{
    (void) state;
    static const uint8_t wasm[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "import data from './data/d.json' with { type: 'json' };\n"
        "import page from './page.html';\n"
        "import empty from './empty.wasm';\n"
        "import { twice, url } from './lib/twice.mjs';\n"
        "import bare from 'bare';\n"
        "new WebAssembly.Instance(empty);\n"
        "export default { async fetch() {\n"
        "    const late = await import('./lib/late.js');\n"
        "    const again = await import('./lib/late.js');\n"
        "    return new Response([data.list[1], page, twice(4), url, bare, late.default,\n"
        "        late === again, import.meta.url].join());\n"
        "} };\n");
    add(isolate, "data/d.json", "{ \"list\": [1, 2] }");
    add(isolate, "page.html", "<p>");
    add(isolate, "lib/twice.mjs",
        "import '../main.js';\n"
        "export const twice = (x) => 2 * x, url = import.meta.url;\n");
    add(isolate, "lib/late.js", "export { default } from '../bare.js';\n");
    add(isolate, "bare.js", "export default 'bare';\n");
    assert_int_equal(isolate_add_file(isolate, bytes("empty.wasm"),
                                      (struct isolate_bytes){ wasm, sizeof(wasm) }),
                     0);
    enum isolate_result r = isolate_load(isolate, bytes("main.js"));
    if (r != ISOLATE_OK)
        fail_msg("%s", isolate_error(isolate));
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "2,<p>,8,file:///lib/twice.mjs,bare,bare,true,file:///main.js");
    isolate_free(isolate);
}

static void test_any_file_is_imported_as_data(void **state)
{
    (void) state;
    static const uint8_t wasm[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "import font from './f.ttf';\n"
        "import view from './f.ttf' with { type: 'bytes' };\n"
        "import text from './f.ttf' with { type: 'text' };\n"
        "import style from './s.css';\n"
        "import code from './c.js' with { type: 'text' };\n"
        "import types from './t.ts' with { type: 'text' };\n"
        "import json from './d.json' with { type: 'bytes' };\n"
        "import empty from './empty.wasm?module';\n"
        "import same from './empty.wasm';\n"
        "const late = await import('./f.ttf');\n"
        "const refused = await import('./t.ts').catch((error) => error.message);\n"
        "const own = new Uint8Array(font);\n"
        "own[0] = 0;\n"
        "export default { fetch() { return new Response([font instanceof ArrayBuffer, own, view, "
        "text,\n"
        "    style, code, types, json instanceof Uint8Array, json.length, empty === same,\n"
        "    late.default === font, view.buffer === font, refused].join()); } };\n");
    add(isolate, "f.ttf", "AB");
    add(isolate, "s.css", "a {}");
    add(isolate, "c.js", "let let");
    add(isolate, "t.ts", "type A = 1");
    add(isolate, "d.json", "[1]");
    assert_int_equal(isolate_add_file(isolate, bytes("empty.wasm"),
                                      (struct isolate_bytes){ wasm, sizeof(wasm) }),
                     0);
    if (isolate_load(isolate, bytes("main.js")) != ISOLATE_OK)
        fail_msg("%s", isolate_error(isolate));
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body,
                        "true,0,66,65,66,AB,a {},let let,type A = 1,true,3,true,true,false,"
                        "'t.ts' is no ES module: bundle it, for instance with esbuild --bundle "
                        "--format=esm");
    isolate_free(isolate);
}

static void test_bad_json_and_wrong_types_are_errors(void **state)
{
    (void) state;
    struct isolate *isolate = new_isolate();
    add(isolate, "main.js",
        "const tries = [() => import('./bad.json'),\n"
        "    () => import('./bad.json', { with: { type: 'webassembly' } }),\n"
        "    () => import('./bad.json', { with: { color: 'red' } }),\n"
        "    () => import('./bad.wasm'), () => import('./none.js'), () => import('./'),\n"
        "    () => import('./bad.js'), () => import('./bad.js')];\n"
        "const names = [];\n"
        "for (const attempt of tries)\n"
        "    names.push(await attempt().then(() => 'ok', (error) => error.name));\n"
        "export default { fetch: () => new Response(names.join()) };\n");
    add(isolate, "bad.json", "{");
    add(isolate, "bad.wasm", "nonsense");
    add(isolate, "bad.js", "let let;");
    assert_int_equal(isolate_load(isolate, bytes("main.js")), ISOLATE_OK);
    assert_int_equal(isolate_load_state(isolate), ISOLATE_LOADED);
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "SyntaxError,TypeError,TypeError,CompileError,TypeError,"
                                   "TypeError,SyntaxError,SyntaxError");
    isolate_free(isolate);
}

static void test_importing_itself_while_it_runs_is_no_crash(void **state)
{
    (void) state;
    struct isolate *isolate =
        load("let found;\n"
             "import('./main.js').then((space) => { found = typeof space.default.fetch; });\n"
             "export default { fetch: () => new Response(found) };\n");
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "function");
    isolate_free(isolate);
}

/* ---- absent globals */

static void test_dangerous_globals_are_absent(void **state)
{
    (void) state;
    assert_answer("[typeof SharedArrayBuffer, typeof FinalizationRegistry, typeof WeakRef, "
                  "typeof __skep, typeof gc, typeof d8].join()",
                  "undefined,undefined,undefined,undefined,undefined,undefined");
    assert_answer("(() => { try { eval('1'); } catch (e) { return e.name; } })()", "EvalError");
    assert_answer("(() => { try { new Function('1'); } catch (e) { return e.name; } })()",
                  "EvalError");
    assert_answer("(() => { try { Atomics.wait(new Int32Array(new WebAssembly.Memory("
                  "{ initial: 1, maximum: 1, shared: true }).buffer), 0, 0, 5); "
                  "} catch (e) { return e.name; } })()",
                  "TypeError");
    assert_answer("new Date(0).toString()",
                  "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)");
}

static void test_structured_clone(void **state)
{
    (void) state;
    assert_answer("(() => { const m = structuredClone(new Map([[1, { d: new Date(5) }]])); "
                  "return m.get(1).d.getTime(); })()",
                  "5");
    assert_answer("(() => { const b = new ArrayBuffer(8); "
                  "const c = structuredClone({ b }, { transfer: [b] }); "
                  "return [b.byteLength, c.b.byteLength].join(); })()",
                  "0,8");
    assert_answer("(() => { try { structuredClone(() => 1); } catch (e) { return e.name; } })()",
                  "DataCloneError");
    assert_answer("(() => { const b = new ArrayBuffer(8); "
                  "try { structuredClone(b, { transfer: [b, b] }); } "
                  "catch (e) { return e.name; } })()",
                  "DataCloneError");
}

static void test_text_is_encoded_and_decoded(void **state)
{
    (void) state;
    assert_answer("new TextDecoder().decode(new TextEncoder()"
                  ".encode('h\\u00e9 \\u{1f600} \\ud800'))",
                  "h\xc3\xa9 \xf0\x9f\x98\x80 \xef\xbf\xbd");
    assert_answer("(() => { try { new TextDecoder('utf-8', { fatal: true }).decode("
                  "new Uint8Array([0xed, 0xa0, 0x80])); } catch (e) { return e.name; } })()",
                  "TypeError");
    assert_answer("new TextDecoder().decode(new Uint8Array([0xf0, 0x9f, 0x92, 65, 0xff])).length",
                  "3");
    assert_answer("(() => { const to = new Uint8Array(4); "
                  "const r = new TextEncoder().encodeInto('a\\u20acb', to); "
                  "return [r.read, r.written].join(); })()",
                  "2,4");
}

static void test_unhandled_rejections_are_reported(void **state)
{
    (void) state;
    struct isolate *isolate =
        load("export default { async fetch() {\n"
             "    Promise.reject(new Error('nobody cares'));\n"
             "    Promise.reject(new Error('somebody cares')).catch(() => {});\n"
             "    return new Response('x');\n} };\n");
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_contains(host.log, "nobody cares");
    assert_null(strstr(host.log, "somebody cares"));
    isolate_free(isolate);
}

static void test_isolates_do_not_share_globals(void **state)
{
    (void) state;
    struct isolate *one = load("globalThis.secret = 1;\n"
                               "export default { fetch: () => new Response(String(secret)) };");
    struct isolate *other = load("export default { fetch: () => new Response(typeof secret) };");
    assert_int_equal(isolate_count(), 2);
    assert_int_equal(get(other, 1), ISOLATE_OK);
    assert_string_equal(host.body, "undefined");
    assert_int_equal(get(one, 1), ISOLATE_OK);
    assert_string_equal(host.body, "1");
    isolate_free(one);
    isolate_free(other);
}

int main(void)
{
    if (start_v8() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_handler_answers),
        TEST(test_env_is_given_to_the_handler),
        TEST(test_throwing_handler_is_an_exception_of_the_request),
        TEST(test_refused_response_is_no_crash),
        TEST(test_clock_is_frozen_inside_an_entry),
        TEST(test_an_idle_isolate_gives_the_room_of_its_garbage_back),
        TEST(test_a_large_heap_is_left_alone),
        TEST(test_syntax_error_shows_line_and_caret),
        TEST(test_throwing_module_shows_its_stack),
        TEST(test_missing_import_names_its_place),
        TEST(test_missing_default_export_fails_the_load),
        TEST(test_rejected_top_level_await_fails_the_load),
        TEST(test_check_runs_nothing),
        TEST(test_check_finds_every_fault_of_files_and_imports),
        TEST(test_check_names_an_export_that_is_not_there),
        TEST(test_check_misses_a_default_export),
        TEST(test_check_tells_faults_of_unused_files_apart),
        TEST(test_bad_paths_are_refused),
        TEST(test_top_level_await_with_a_timer_loads_later),
        TEST(test_modules_of_all_kinds_are_imported),
        TEST(test_any_file_is_imported_as_data),
        TEST(test_bad_json_and_wrong_types_are_errors),
        TEST(test_importing_itself_while_it_runs_is_no_crash),
        TEST(test_dangerous_globals_are_absent),
        TEST(test_structured_clone),
        TEST(test_text_is_encoded_and_decoded),
        TEST(test_unhandled_rejections_are_reported),
        TEST(test_isolates_do_not_share_globals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
