/* SPDX-License-Identifier: Apache-2.0 */
/* skep.yaml and routes: all that a tenant writes is checked, and each error has its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "config/manifest.h"
#include "config/manifest_bindings.h"
#include "tests/unit/config/limit_names.h"

#define FILE_NAME "/srv/a/skep.yaml"
#define START "name: a\nmain: a.js\n"

static struct manifest *parse(const char *text)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;

    if (manifest_parse(FILE_NAME, text, strlen(text), &manifest, &errors) < 0)
        fail_msg("%s", errors.text ? errors.text : "no memory");
    assert_int_equal(errors.count, 0);
    config_errors_done(&errors);
    return manifest;
}

/* expected: the lines without FILE_NAME ":" before each. */
static void expect_errors(const char *text, const char *expected)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;
    char *all = NULL;
    size_t all_size = 0;

    FILE *stream = open_memstream(&all, &all_size);
    assert_non_null(stream);
    for (const char *line = expected; *line;) {
        size_t length = strcspn(line, "\n");
        (void) fputs(FILE_NAME ":", stream);
        print_with_names(stream, line, length);
        (void) fputc('\n', stream);
        line += length + (line[length] == '\n');
    }
    (void) fclose(stream);
    assert_int_equal(manifest_parse(FILE_NAME, text, strlen(text), &manifest, &errors), -EINVAL);
    assert_null(manifest);
    assert_string_equal(errors.text, all);
    free(all);
    config_errors_done(&errors);
}

static void test_smallest_manifest_has_the_defaults(void **state)
{
    struct manifest *manifest = parse(START);
    const struct limits unset = { 0 };

    (void) state;
    assert_string_equal(manifest->file, FILE_NAME);
    assert_string_equal(manifest->name, "a");
    assert_string_equal(manifest->main, "a.js");
    assert_string_equal(manifest->cordon, "default");
    assert_int_equal(manifest->n_routes, 1);
    assert_string_equal(manifest->routes[0].host, "a.localhost");
    assert_string_equal(manifest->routes[0].path, "/");
    assert_false(manifest->routes[0].is_exact);
    assert_false(manifest->routes[0].is_suffix);
    assert_int_equal(manifest->n_env, 0);
    assert_int_equal(manifest->n_files, 0);
    assert_memory_equal(&manifest->limits, &unset, sizeof unset);
    (void) manifest_free(manifest);
}

static void test_full_manifest_is_read_as_it_stands(void **state)
{
    struct manifest *manifest = parse("name: hello\n"
                                      "main: ./src//worker.mjs\n"
                                      "routes: [\"Hello.Example.com/API/*\", \"*.example.com\"]\n"
                                      "cordon: loose\n"
                                      "env: { GREETING: hello, PORT: 8080, _e: \"\", on: off }\n"
                                      "limits:\n"
                                      "  cpu_ms: unlimited\n"
                                      "  heap_mib: 8\n");

    (void) state;
    assert_string_equal(manifest->main, "src/worker.mjs");
    assert_string_equal(manifest->cordon, "loose");
    assert_int_equal(manifest->n_routes, 2);
    assert_string_equal(manifest->routes[0].host, "hello.example.com");
    assert_string_equal(manifest->routes[0].path, "/API/");
    assert_int_equal(manifest->routes[0].line, 3);
    assert_true(manifest->routes[1].is_suffix);
    assert_int_equal(manifest->n_env, 4);
    assert_string_equal(manifest->env[1].name, "PORT");
    assert_string_equal(manifest->env[1].value, "8080");
    assert_string_equal(manifest->env[2].value, "");
    assert_string_equal(manifest->env[3].value, "off");
    assert_true(manifest->limits.cpu_ms == LIMIT_UNLIMITED);
    assert_int_equal(manifest->limits.heap_mib, 8);
    assert_int_equal(manifest->limits.queue, LIMIT_UNSET);
    assert_int_equal(manifest->lines.name, 1);
    assert_int_equal(manifest->lines.main, 2);
    assert_int_equal(manifest->lines.cordon, 4);
    assert_int_equal(manifest->lines.limits[0], 7);
    (void) manifest_free(manifest);
}

static void test_shape_of_the_file_is_checked(void **state)
{
    (void) state;
    expect_errors("nam: a\n",
                  "1: unknown key \"nam\": did you mean \"name\"? Expected one of "
                  "name, main, routes, cordon, "
                  "after_stop, eval, env, bindings, secrets, callers, allowed_hosts, limits\n"
                  "1: missing key \"name\": expected it in this mapping\n"
                  "1: missing key \"main\": expected it in this mapping");
    expect_errors(START "name: b\n", "3: duplicate key \"name\": it is in line 1 already");
    expect_errors(START "routes: x\n", "3: routes: a single value: expected a list ([a, b])");
    expect_errors(START "routes: []\n", "3: routes: empty list: expected at least 1");
    expect_errors(START "limits: {cpu_ms: {}}\n",
                  "3: limits.cpu_ms: a mapping: expected a single value");
    expect_errors(
        START "secrets: [A]\n",
        "3: secrets[0]: a single value: expected a mapping (key: value), as - { name: A }");
    expect_errors(START "a: *x\n", "3: aliases (\"*…\") are not supported: expected the value "
                                   "itself, or text with \"*\" in quotes");
}

static void test_names_are_labels_of_host_names(void **state)
{
    (void) state;
    expect_errors("name: A_b\nmain: a.js\ncordon: \"\\n\"\n",
                  "1: name: \"A_b\" is not a name: expected a-z, 0-9 and - (not first or last), at "
                  "most 63\n"
                  "3: cordon: \"\\x0a\" is not a name: expected a-z, 0-9 and - (not first or "
                  "last), at most 63");
    expect_errors("name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
                  "main: a.js\n",
                  "1: name: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
                  " is not a name: expected a-z, 0-9 and - (not first or last), at most 63");
}

static void test_main_must_be_a_module_inside_the_folder(void **state)
{
    (void) state;
    expect_errors("name: a\nmain: a.wasm\n", "2: main: \"a.wasm\": WASI programs are not supported "
                                             "yet: expected a .js or .mjs file");
    expect_errors("name: a\nmain: a.ts\n",
                  "2: main: \"a.ts\": not an ES module: expected a .js or .mjs file");
    expect_errors("name: a\nmain: /a.js\n",
                  "2: main: \"/a.js\": expected a path relative to skep.yaml");
    expect_errors("name: a\nmain: b/../../a.js\n",
                  "2: main: \"b/../../a.js\": expected a path without \"..\" and hidden files");
    expect_errors("name: a\nmain: .git/a.js\n",
                  "2: main: \".git/a.js\": expected a path without \"..\" and hidden files");
}

static void test_env_is_text_with_plain_names(void **state)
{
    (void) state;
    expect_errors(START "env: [A]\n", "3: env: not a mapping: expected NAME: text, or no such key");
    expect_errors(START "env:\n", "3: env: not a mapping: expected NAME: text, or no such key");
    expect_errors(START "env:\n  A: {b: c}\n  B: []\n  C:\n  D: null\n",
                  "4: env.A: a mapping or a list: expected text, such as \"\"\n"
                  "5: env.B: a mapping or a list: expected text, such as \"\"\n"
                  "6: env.C: no value: expected text, such as \"\"\n"
                  "7: env.D: no value: expected text, such as \"\"");
    expect_errors(START "env:\n  1A: x\n  \"a b\": x\n  __proto__: x\n  \"\": x\n",
                  "4: env: \"1A\" is not a name: expected A-Z, a-z, 0-9 and _, and no digit first\n"
                  "5: env: \"a b\" is not a name: expected A-Z, a-z, 0-9 and _, and no digit "
                  "first\n"
                  "6: env: \"__proto__\" is not a name: expected A-Z, a-z, 0-9 and _, and no digit "
                  "first\n"
                  "7: env: \"\" is not a name: expected A-Z, a-z, 0-9 and _, and no digit first");
    expect_errors(START "env: {A: \"x\\0\"}\n", "3: NUL character: expected text without it");
    expect_errors(START "env:\n  A: 1\n  A: 2\n",
                  "5: duplicate key \"A\": it is in line 4 already");
}

static void test_env_is_bounded(void **state)
{
    char *text = calloc(1, 40000);
    size_t n;

    (void) state;
    assert_non_null(text);
    n = (size_t) sprintf(text, START "env:\n");
    for (unsigned i = 0; i < TENANT_ENV_MAX + 1; i++)
        n += (size_t) sprintf(text + n, "  A%u: x\n", i);
    expect_errors(text, "4: env: 129 entries are too many: expected at most 128");
    n = (size_t) sprintf(text, START "env:\n  A: ");
    memset(text + n, 'x', TENANT_ENV_VALUE_MAX + 1);
    text[n + TENANT_ENV_VALUE_MAX + 1] = '\0';
    expect_errors(text, "4: env.A: too long: expected at most 32 KiB");
    free(text);
}

static void test_limits_are_numbers_in_bounds_or_unlimited(void **state)
{
    (void) state;
    expect_errors(START "limits:\n  cpu_ms: 0\n  wall_ms: lots\n  heap_mib: unlimited\n"
                        "  grace_ms: -5\n",
                  "4: limits.cpu_ms: 0 is out of range: expected 1 to 300000 ms, or unlimited\n"
                  "5: limits.wall_ms: lots is not a number: expected 10 to 3600000 ms, or "
                  "unlimited\n"
                  "6: limits.heap_mib: \"unlimited\" is not allowed: this limit needs a number\n"
                  "7: limits.grace_ms: -5 is not a number: expected 10 to 10000 ms");
    struct manifest *manifest = parse(START "limits: { hung_ms: off }\n");
    assert_true(manifest->limits.hung_ms == LIMIT_UNLIMITED);
    (void) manifest_free(manifest);
    expect_errors(START "limits: {cpu: 5}\n",
                  "3: unknown key \"cpu\" in limits: did you mean \"cpu_ms\"? Expected one of "
                  "{limits}");
}

static void test_keys_of_wrangler_are_answered_with_what_to_write(void **state)
{
    (void) state;
    expect_errors(
        START "kv_namespaces: [{binding: KV, id: x}]\nd1_databases: []\nqueues: {producers: []}\n"
              "r2_buckets:\n",
        "3: kv_namespaces: a key of wrangler: expected a namespace in bindings, as - { name: KV, "
        "kv: main }\n"
        "4: d1_databases: a key of wrangler: expected a database in bindings, as - { name: DB, "
        "sql: main, migrations: ./migrations }\n"
        "5: queues: skep has no queues: expected no such key; a table of a database in bindings "
        "(sql) can keep what is to be done\n"
        "6: r2_buckets: skep has no buckets: expected no such key; fetch() can ask a server that "
        "stores objects, by allowed_hosts and secrets");
}

static void test_tenant_cannot_say_that_a_limit_is_only_observed(void **state)
{
    static const char message[] = "4: limits.observe: only the operator decides what is not "
                                  "enforced: expected no such key, for it belongs in skepd.yaml";

    (void) state;
    expect_errors(START "limits:\n  observe: [cpu_ms]\n", message);
    expect_errors(START "limits:\n  observe:\n    - strikes\n", message);
    expect_errors(START "limits:\n  observe: []\n", message);
    expect_errors(
        START "observe: []\n",
        "3: unknown key \"observe\": expected one of name, main, "
        "routes, cordon, after_stop, eval, env, bindings, secrets, callers, allowed_hosts, limits");
}

static void test_bindings_and_callers_are_taken(void **state)
{
    struct manifest *manifest =
        parse(START "env: { A: x }\nbindings:\n  - { name: B, service: other }\n"
                    "  - name: C\n    service: third\ncallers: [d, e-f]\n");
    struct manifest *copy = NULL;

    (void) state;
    assert_int_equal(manifest->n_bindings, 2);
    assert_int_equal(manifest->bindings[1].kind, BINDING_SERVICE);
    assert_string_equal(manifest->bindings[1].name, "C");
    assert_string_equal(manifest->bindings[1].target, "third");
    assert_int_equal(manifest->bindings[1].line, 6);
    assert_ptr_equal(manifest_find_binding(manifest, "B"), &manifest->bindings[0]);
    assert_null(manifest_find_binding(manifest, "A"));
    assert_int_equal(manifest->n_callers, 2);
    assert_string_equal(manifest->callers[1], "e-f");
    assert_int_equal(manifest_copy(manifest, &copy), 0);
    assert_true(manifest_is_same(manifest, copy));
    copy->callers[1][0] = 'x';
    assert_false(manifest_is_same(manifest, copy));
    copy->callers[1][0] = 'e';
    copy->bindings[0].target[0] = 'x';
    assert_false(manifest_is_same(manifest, copy));
    (void) manifest_free(copy);
    (void) manifest_free(manifest);
}

static void test_storage_is_bound_by_the_name_of_a_namespace_or_database(void **state)
{
    struct manifest *manifest =
        parse(START "bindings:\n  - { name: KV, kv: carts }\n  - { name: DB, sql: orders }\n"
                    "  - { name: SAME, kv: carts }\n");

    (void) state;
    assert_int_equal(manifest->bindings[0].kind, BINDING_KV);
    assert_string_equal(manifest->bindings[0].target, "carts");
    assert_int_equal(manifest->bindings[1].kind, BINDING_SQL);
    assert_string_equal(manifest->bindings[1].target, "orders");
    assert_int_equal(manifest->bindings[2].kind, BINDING_KV);
    assert_ptr_equal(manifest_find_storage(manifest), &manifest->bindings[0]);
    (void) manifest_free(manifest);
    manifest = parse(START "bindings: [{ name: B, service: other }]\n");
    assert_null(manifest_find_storage(manifest));
    (void) manifest_free(manifest);
    expect_errors(
        START "bindings:\n  - { name: KV, kv: A_b }\n  - { name: DB, sql: a/b }\n",
        "4: bindings[0].kv: \"A_b\" is not the name of a namespace: expected a-z, 0-9 and "
        "- (not first or last), at most 63\n"
        "5: bindings[1].sql: \"a/b\" is not the name of a database: expected a-z, 0-9 and "
        "- (not first or last), at most 63");
    expect_errors(START "bindings: [{ name: KV, kv: a, sql: b }]\n",
                  "3: bindings[0]: both \"kv\" and \"sql\": expected one of them");
}

/* Writes bindings of one kind, each to another space, and one more to the first again. Returns text. */
static const char *many_bindings(const char *kind, unsigned n, char *text, size_t size)
{
    size_t have = (size_t) snprintf(text, size, START "bindings:\n");

    for (unsigned i = 0; i <= n; i++)
        have += (size_t) snprintf(text + have, size - have, "  - { name: N%u, %s: s%u }\n", i, kind,
                                  i < n ? i : 0);
    return text;
}

static void test_namespaces_and_databases_are_counted_once_each(void **state)
{
    char text[4096];

    (void) state;
    (void) manifest_free(parse(many_bindings("kv", TENANT_NAMESPACES_MAX, text, sizeof text)));
    (void) manifest_free(parse(many_bindings("sql", TENANT_DATABASES_MAX, text, sizeof text)));
    expect_errors(many_bindings("kv", TENANT_NAMESPACES_MAX + 1, text, sizeof text),
                  "24: bindings[20].kv: \"s20\" is one too many: expected at most 20 namespaces");
    expect_errors(many_bindings("sql", TENANT_DATABASES_MAX + 1, text, sizeof text),
                  "14: bindings[10].sql: \"s10\" is one too many: expected at most 10 databases");
}

static void test_storage_needs_a_folder(void **state)
{
    static const char without[] = "listen: [\"127.0.0.1:80\"]\n";
    static const char with[] = "listen: [\"127.0.0.1:80\"]\nstate: /s\n";
    struct manifest *manifest = parse(START "bindings: [{ name: KV, kv: a }]\n");
    struct config_errors errors = { 0 };
    struct config *config = NULL;

    (void) state;
    assert_int_equal(config_parse("c", without, strlen(without), &config, &errors), 0);
    assert_int_equal(manifest_check(manifest, config, &errors), -EINVAL);
    assert_string_equal(
        errors.text,
        FILE_NAME ":3: bindings: \"KV\" needs storage, and skepd.yaml names no folder for it: "
                  "expected storage.folder (or state) there\n");
    config_errors_done(&errors);
    (void) config_free(config);
    assert_int_equal(config_parse("c", with, strlen(with), &config, &errors), 0);
    assert_int_equal(manifest_check(manifest, config, &errors), 0);
    (void) config_free(config);
    (void) manifest_free(manifest);
}

/* Writes the names of an entry's keys, of those alone that are a choice of kinds if wanted. Returns text. */
static const char *binding_names(bool of_choice, const char *quote, const char *between, char *text,
                                 size_t size)
{
    size_t have = 0;

    text[0] = '\0';
    for (size_t i = 0; i < manifest_binding_keys.n; i++) {
        const struct key *key = &manifest_binding_keys.rows[i];
        if (of_choice && !key->is_choice)
            continue;
        (void) snprintf(text + have, size - have, "%s%s%s%s", have > 0 ? between : "", quote,
                        key->name, quote);
        have = strlen(text);
    }
    return text;
}

static void test_bad_bindings_say_what_was_expected(void **state)
{
    (void) state;
    char expected[400], names[200];

    (void) snprintf(expected, sizeof expected,
                    "3: bindings[0]: missing key %s: expected it in this mapping",
                    binding_names(true, "\"", " or ", names, sizeof names));
    expect_errors(START "bindings: [{ name: B }]\n", expected);
    (void) snprintf(expected, sizeof expected,
                    "3: unknown key \"kind\" in bindings[0]: expected one of %s",
                    binding_names(false, "", ", ", names, sizeof names));
    expect_errors(START "bindings: [{ name: B, service: b, kind: x }]\n", expected);
    expect_errors(
        START "env: { A: x }\nbindings:\n  - { name: 1B, service: b }\n"
              "  - { name: A, service: b }\n  - { name: B, service: b }\n"
              "  - { name: B, service: a }\n  - { name: D, service: D_ }\n",
        "5: bindings[0].name: \"1B\" is not a name: expected A-Z, a-z, 0-9 and _, and no "
        "digit first\n"
        "6: bindings[1].name: \"A\" is taken: expected a name that neither env nor another "
        "binding has\n"
        "8: bindings[3].name: \"B\" is taken: expected a name that neither env nor another "
        "binding has\n"
        "8: bindings[3].service: \"a\" is this tenant itself, which cannot call itself: "
        "expected another one\n"
        "9: bindings[4].service: \"D_\" is not a tenant's name: expected a-z, 0-9 and - (not first "
        "or last), at most 63");
    expect_errors(START "callers: [b, b, a, B]\n",
                  "3: callers[1]: duplicate caller \"b\": expected each once\n"
                  "3: callers[2]: \"a\" is this tenant itself, which cannot call itself: expected "
                  "another one\n"
                  "3: callers[3]: \"B\" is not a tenant's name: expected a-z, 0-9 and - (not first "
                  "or last), at most 63");
}

static void test_eval_is_a_word_and_its_cordon_bounds_it(void **state)
{
    static const char text[] =
        "listen: [\"127.0.0.1:80\"]\ncordons: [{name: default, eval: load}]\n";
    static const struct {
        const char *text;
        enum eval_mode mode;
        bool is_refused;
    } rows[] = { { START, EVAL_LOAD, false },
                 { START "eval: load\n", EVAL_LOAD, false },
                 { START "eval: off\n", EVAL_OFF, false },
                 { START "eval: on\n", EVAL_ON, true } };
    struct config_errors errors = { 0 };
    struct config *config = NULL;

    (void) state;
    assert_int_equal(config_parse("c", text, strlen(text), &config, &errors), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct manifest *manifest = parse(rows[i].text);
        assert_int_equal(manifest->eval, rows[i].mode);
        assert_int_equal(manifest_check(manifest, config, &errors) < 0, rows[i].is_refused);
        (void) manifest_free(manifest);
    }
    assert_string_equal(errors.text,
                        FILE_NAME ":3: eval: \"on\" is not allowed: expected load, or eval: on in "
                                  "cordon \"default\"\n");
    config_errors_done(&errors);
    (void) config_free(config);
    expect_errors(START "eval: never\n",
                  "3: eval: \"never\" is unknown: expected one of load, on, off");
}

static void test_after_a_stop_an_isolate_is_fresh_unless_the_tenant_says_reuse(void **state)
{
    static const char *const texts[] = { START, START "after_stop: fresh\n",
                                         START "after_stop: reuse\n" };

    (void) state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct manifest *manifest = parse(texts[i]);
        assert_int_equal(manifest->reuse_after_stop, i == 2);
        (void) manifest_free(manifest);
    }
    expect_errors(START "after_stop: never\n",
                  "3: after_stop: \"never\" is unknown: expected one of fresh, reuse");
}

static void test_routes_are_checked_and_unique(void **state)
{
    (void) state;
    expect_errors(START "routes:\n  - a.example/*\n  - A.example\n  - http://x/\n",
                  "5: routes[1]: duplicate route \"A.example\": expected each once\n"
                  "6: routes[2]: \"http://x/\" is not a route: expected a host without scheme and "
                  "port");
}

static void test_patterns_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *host, *path;
        bool is_suffix, is_exact;
    } rows[] = {
        { "h.example/api/*", "h.example", "/api/", false, false },
        { "h.example/api*", "h.example", "/api", false, false },
        { "h.example/api", "h.example", "/api", false, true },
        { "h.example/", "h.example", "/", false, true },
        { "h.example/*", "h.example", "/", false, false },
        { "H.Example", "h.example", "/", false, false },
        { "*.h.example", "h.example", "/", true, false },
        { "*.h.example/A/b", "h.example", "/A/b", true, true },
        { "*", "", "/", false, false },
        { "*/*", "", "/", false, false },
        { "*/x/*", "", "/x/", false, false },
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct route_pattern pattern = { 0 };
        const char *reason = NULL;
        assert_int_equal(route_pattern_parse(rows[i].text, &pattern, &reason), 0);
        assert_string_equal(pattern.host, rows[i].host);
        assert_string_equal(pattern.path, rows[i].path);
        assert_int_equal(pattern.is_suffix, rows[i].is_suffix);
        assert_int_equal(pattern.is_exact, rows[i].is_exact);
        route_pattern_done(&pattern);
    }
}

static void test_route_is_printed_as_it_may_be_written(void **state)
{
    static const char *const rows[][2] = {
        { "h.example/api/*", "h.example/api/*" },
        { "h.example/api", "h.example/api" },
        { "H.Example", "h.example/*" },
        { "*.h.example", "*.h.example/*" },
        { "*", "*" },
        { "*/*", "*" },
        { "*/", "*/" },
        { "*/x/*", "*/x/*" },
    };
    char text[ROUTE_TEXT_BYTES];

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct route_pattern pattern = { 0 };
        const char *reason = NULL;
        assert_int_equal(route_pattern_parse(rows[i][0], &pattern, &reason), 0);
        assert_string_equal(route_pattern_text(&pattern, text), rows[i][1]);
        route_pattern_done(&pattern);
    }
}

static void test_bad_patterns_say_what_was_expected(void **state)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        { "", "expected HOST or HOST/PATH, such as \"hello.example.com/*\"" },
        { "/api/*", "expected HOST or HOST/PATH, such as \"hello.example.com/*\"" },
        { "*.", "expected a name after \"*.\"" },
        { "a*.b", "expected \"*\" only as the whole host, as \"*.\" before it, or at the end of "
                  "the path" },
        { "*.*", "expected \"*\" only as the whole host, as \"*.\" before it, or at the end of "
                 "the path" },
        { "a:80/", "expected a host without scheme and port" },
        { "b\xc3\xbc", "expected the host in ASCII (xn--…)" },
        { "a b/", "expected letters, digits, \"-\", \"_\" and \".\" in the host" },
        { "a..b", "expected no empty part between dots" },
        { ".a", "expected no empty part between dots" },
        { "a./", "expected no empty part between dots" },
        { "a/b*c", "expected \"*\" in the path only at its end" },
        { "a/**", "expected \"*\" in the path only at its end" },
        { "a/b?c", "expected a path without query and fragment" },
        { "a/b#c", "expected a path without query and fragment" },
        { "a/\xc3\xbc", "expected a path in ASCII, with %XX for all else" },
        { "a/ b", "expected a path in ASCII, with %XX for all else" },
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct route_pattern pattern = { 0 };
        const char *reason = NULL;
        assert_int_equal(route_pattern_parse(rows[i].text, &pattern, &reason), -EINVAL);
        assert_string_equal(reason, rows[i].reason);
        assert_null(pattern.host);
    }
}

static void test_manifest_is_checked_against_its_cordon(void **state)
{
    static const char text[] = "listen: [\"127.0.0.1:80\"]\n"
                               "cordons: [{name: a}, {name: loose, allow_unlimited: on}]\n";
    struct config_errors errors = { 0 };
    struct config *config = NULL;
    struct manifest *strange = parse(START);
    struct manifest *greedy = parse(
        START "limits: {wall_ms: 50,\n  cpu_ms: unlimited,\n  cpu_rate: unlimited}\ncordon: a\n");
    struct manifest *allowed =
        parse(START "limits: {cpu_ms: unlimited, cpu_rate: unlimited}\ncordon: loose\n");

    (void) state;
    assert_int_equal(config_parse("c", text, strlen(text), &config, &errors), 0);
    assert_int_equal(manifest_check(allowed, config, &errors), 0);
    assert_int_equal(errors.count, 0);
    assert_int_equal(manifest_check(strange, config, &errors), -EINVAL);
    assert_int_equal(manifest_check(greedy, config, &errors), -EINVAL);
    assert_string_equal(errors.text,
                        FILE_NAME ":1: cordon: unknown cordon \"default\": expected one of a, "
                                  "loose\n" FILE_NAME
                                  ":4: limits.cpu_ms: \"unlimited\" is not allowed: expected a "
                                  "number, or allow_unlimited: on in cordon \"a\"\n" FILE_NAME
                                  ":5: limits.cpu_rate: \"unlimited\" is not allowed: expected a "
                                  "number, or allow_unlimited: on in cordon \"a\"\n");
    config_errors_done(&errors);
    (void) config_free(config);
    (void) manifest_free(strange);
    (void) manifest_free(greedy);
    (void) manifest_free(allowed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smallest_manifest_has_the_defaults),
        cmocka_unit_test(test_full_manifest_is_read_as_it_stands),
        cmocka_unit_test(test_shape_of_the_file_is_checked),
        cmocka_unit_test(test_names_are_labels_of_host_names),
        cmocka_unit_test(test_main_must_be_a_module_inside_the_folder),
        cmocka_unit_test(test_env_is_text_with_plain_names),
        cmocka_unit_test(test_env_is_bounded),
        cmocka_unit_test(test_limits_are_numbers_in_bounds_or_unlimited),
        cmocka_unit_test(test_keys_of_wrangler_are_answered_with_what_to_write),
        cmocka_unit_test(test_tenant_cannot_say_that_a_limit_is_only_observed),
        cmocka_unit_test(test_bindings_and_callers_are_taken),
        cmocka_unit_test(test_storage_is_bound_by_the_name_of_a_namespace_or_database),
        cmocka_unit_test(test_namespaces_and_databases_are_counted_once_each),
        cmocka_unit_test(test_storage_needs_a_folder),
        cmocka_unit_test(test_bad_bindings_say_what_was_expected),
        cmocka_unit_test(test_eval_is_a_word_and_its_cordon_bounds_it),
        cmocka_unit_test(test_after_a_stop_an_isolate_is_fresh_unless_the_tenant_says_reuse),
        cmocka_unit_test(test_routes_are_checked_and_unique),
        cmocka_unit_test(test_patterns_are_taken_apart),
        cmocka_unit_test(test_route_is_printed_as_it_may_be_written),
        cmocka_unit_test(test_bad_patterns_say_what_was_expected),
        cmocka_unit_test(test_manifest_is_checked_against_its_cordon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
