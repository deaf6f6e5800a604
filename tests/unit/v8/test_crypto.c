/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Web Crypto inside isolates: operations that are stopped, keys that go with their isolate, and
 * budgets as the host tells them. The results of the algorithms are tested in tests/unit/crypto and
 * tests/integration/test_web_crypto.py.
 */
#include "tests/unit/v8/isolate_fixture.h"

#include <pthread.h>
#include <time.h>

#define ROUNDS(iterations)                                                                        \
    "const key = await crypto.subtle.importKey('raw', new Uint8Array(9), 'PBKDF2', false, "       \
    "['deriveBits']);\n"                                                                          \
    "await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: new Uint8Array(9), " \
    "iterations: " iterations " }, key, 256);\n"
#define HANDLER(body)                                                                  \
    "export default { async fetch() { try {\n" body "return new Response('done');\n} " \
    "catch (error) { return new Response(`${error.name}: ${error.message}`); } } };\n"

static uint64_t cpu_left;

static uint64_t on_cpu_left(void *data)
{
    (void) data;
    return cpu_left;
}

static struct isolate_host ops_with_budget(void)
{
    struct isolate_host with = ops;

    with.cpu_left_ns = on_cpu_left;
    return with;
}

static void test_operation_that_does_not_fit_is_refused(void **state)
{
    const struct isolate_host with = ops_with_budget();

    (void) state;
    struct isolate *isolate = load_with(&with, HANDLER(ROUNDS("4294967295")));
    cpu_left = 20000000;
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body,
                        "OperationError: The operation would take more CPU time than is left.");
    isolate_free(isolate);
}

/* Stops the isolate's JavaScript once it runs. */
static void *stop_soon(void *isolate)
{
    const struct timespec while_ = { .tv_nsec = 50000000 };

    (void) nanosleep(&while_, NULL);
    isolate_terminate(isolate);
    return NULL;
}

static void assert_is_stopped(const char *source)
{
    struct isolate *isolate = load(source);
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop_soon, isolate), 0);
    assert_int_equal(get(isolate, 1), ISOLATE_TERMINATED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(host.n_responses, 0);
    isolate_cancel_terminate(isolate);
    isolate_free(isolate);
}

static void test_operations_that_take_long_are_stopped(void **state)
{
    (void) state;
    assert_is_stopped(HANDLER(ROUNDS("4294967295")));
    assert_is_stopped(HANDLER(
        "await crypto.subtle.generateKey({ name: 'RSA-PSS', hash: 'SHA-1', modulusLength: 16384,\n"
        "    publicExponent: new Uint8Array([1, 0, 1]) }, true, ['sign']);\n"));
}

/* Nobody asks for the garbage of an isolate that goes. */
static void test_keys_go_with_their_isolate(void **state)
{
    (void) state;
    struct isolate *isolate = load("const kept = [];\n" HANDLER(
        "for (let i = 0; i < 100; i++) {\n"
        "    kept.push(await crypto.subtle.generateKey('Ed25519', true, ['sign']));\n"
        "    kept.push(structuredClone(kept[0].privateKey), new crypto.DigestStream('SHA-1'));\n"
        "}\n"));
    assert_int_equal(get(isolate, 1), ISOLATE_OK);
    assert_string_equal(host.body, "done");
    isolate_free(isolate);
}

static void test_nothing_is_loaded_before_it_is_used(void **state)
{
    (void) state;
    assert_answer(
        "(() => { const a = Object.getOwnPropertyDescriptor(globalThis, 'CryptoKey');\n"
        "return [typeof a.value, a.writable, a.enumerable, a.configurable, 'get' in a]; })()",
        "function,true,false,true,false");
    assert_answer("(() => { globalThis.CryptoKey = 1; return [CryptoKey, String(crypto), delete "
                  "globalThis.SubtleCrypto, typeof SubtleCrypto]; })()",
                  "1,[object Crypto],true,undefined");
}

int main(void)
{
    if (start_v8() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_operation_that_does_not_fit_is_refused),
        TEST(test_operations_that_take_long_are_stopped),
        TEST(test_keys_go_with_their_isolate),
        TEST(test_nothing_is_loaded_before_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
