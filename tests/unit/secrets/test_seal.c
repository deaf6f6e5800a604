/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed values: opened only as they were sealed, in their own place. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/secrets/seal.h"

static const uint8_t owner[SECRET_OWNER_BYTES] = { 1, 2, 3 };
static const struct secret_place place = { owner, "shop", "API_KEY" };
static const struct sealed_facts facts = { .time_ms = 1234567890123, .uid = 1001 };
static const char value[] = "sk_live_marker";

static struct secret_key *make_key(uint8_t first)
{
    uint8_t bytes[SECRET_KEY_BYTES] = { first, 7 };
    const uint8_t wiped[SECRET_KEY_BYTES] = { 0 };
    struct secret_key *key = NULL;

    assert_int_equal(secret_key_new(bytes, &key), 0);
    assert_memory_equal(bytes, wiped, sizeof wiped);
    return key;
}

static uint8_t *seal(const struct secret_key *key, size_t *ret_size)
{
    uint8_t *sealed = NULL;

    assert_int_equal(secret_seal(key, &place, &facts, value, strlen(value), &sealed, ret_size), 0);
    return sealed;
}

static int open_at(const struct secret_key *key, const struct secret_place *where,
                   const uint8_t *sealed, size_t size)
{
    char *opened = NULL;
    size_t opened_size = 0;

    int r = secret_open(key, where, sealed, size, &opened, &opened_size);
    if (r == 0) {
        assert_int_equal(opened_size, strlen(value));
        assert_string_equal(opened, value);
    }
    secret_wipe(opened, opened_size);
    return r;
}

static void test_sealed_value_opens_in_its_place(void **state)
{
    struct secret_key *key = make_key(1), *again = make_key(1);
    struct sealed_facts seen = { 0 };
    size_t size = 0;
    uint8_t *sealed = seal(key, &size);

    (void) state;
    assert_int_equal(open_at(key, &place, sealed, size), 0);
    assert_int_equal(open_at(again, &place, sealed, size), 0);
    assert_int_equal(secret_look(sealed, size, &seen), 0);
    assert_int_equal(seen.time_ms, facts.time_ms);
    assert_int_equal(seen.uid, facts.uid);
    free(sealed);
    (void) secret_key_free(key);
    (void) secret_key_free(again);
}

static void test_sealed_bytes_have_nothing_of_the_value_and_are_never_the_same(void **state)
{
    struct secret_key *key = make_key(1);
    size_t size = 0, other_size = 0;
    uint8_t *sealed = seal(key, &size), *other = seal(key, &other_size);

    (void) state;
    assert_null(memmem(sealed, size, value, 4));
    assert_int_equal(size, other_size);
    assert_memory_not_equal(sealed, other, size);
    free(sealed);
    free(other);
    (void) secret_key_free(key);
}

static void test_another_place_or_key_is_refused_and_named(void **state)
{
    static const uint8_t reborn[SECRET_OWNER_BYTES] = { 1, 2, 4 };
    struct secret_key *key = make_key(1), *wrong = make_key(2);
    size_t size = 0;
    uint8_t *sealed = seal(key, &size);

    (void) state;
    assert_int_equal(open_at(key, &(struct secret_place){ owner, "shoq", "API_KEY" }, sealed, size),
                     -EBADMSG);
    assert_int_equal(open_at(key, &(struct secret_place){ owner, "shop", "API_KEZ" }, sealed, size),
                     -EBADMSG);
    /* The same bytes of both names together, cut in another way. */
    assert_int_equal(open_at(key, &(struct secret_place){ owner, "sho", "pAPI_KEY" }, sealed, size),
                     -EBADMSG);
    assert_int_equal(
        open_at(key, &(struct secret_place){ reborn, "shop", "API_KEY" }, sealed, size),
        -EOWNERDEAD);
    assert_int_equal(open_at(wrong, &place, sealed, size), -ENOKEY);
    free(sealed);
    (void) secret_key_free(key);
    (void) secret_key_free(wrong);
}

static void test_each_changed_bit_is_noticed(void **state)
{
    struct secret_key *key = make_key(1);
    size_t size = 0;
    uint8_t *sealed = seal(key, &size);

    (void) state;
    for (size_t i = 0; i < 8 * size; i++) {
        sealed[i / 8] ^= (uint8_t) (1U << i % 8);
        assert_int_not_equal(open_at(key, &place, sealed, size), 0);
        sealed[i / 8] ^= (uint8_t) (1U << i % 8);
    }
    for (size_t n = 0; n < size; n++)
        assert_int_equal(open_at(key, &place, sealed, n), -EBADMSG);
    assert_int_equal(open_at(key, &place, sealed, size), 0);
    free(sealed);
    (void) secret_key_free(key);
}

static void test_large_values(void **state)
{
    struct secret_key *key = make_key(1);
    char *large = calloc(1, SECRET_VALUE_MAX_BYTES + 1), *opened = NULL;
    size_t size = 0, opened_size = 0;
    uint8_t *sealed = NULL;

    (void) state;
    assert_non_null(large);
    memset(large, 'x', SECRET_VALUE_MAX_BYTES);
    assert_int_equal(
        secret_seal(key, &place, &facts, large, SECRET_VALUE_MAX_BYTES + 1, &sealed, &size),
        -EMSGSIZE);
    assert_int_equal(
        secret_seal(key, &place, &facts, large, SECRET_VALUE_MAX_BYTES, &sealed, &size), 0);
    assert_true(size <= SEALED_MAX_BYTES);
    assert_int_equal(secret_open(key, &place, sealed, size, &opened, &opened_size), 0);
    assert_int_equal(opened_size, SECRET_VALUE_MAX_BYTES);
    assert_memory_equal(opened, large, opened_size);
    secret_wipe(opened, opened_size);
    free(sealed);
    free(large);
    (void) secret_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_value_opens_in_its_place),
        cmocka_unit_test(test_sealed_bytes_have_nothing_of_the_value_and_are_never_the_same),
        cmocka_unit_test(test_another_place_or_key_is_refused_and_named),
        cmocka_unit_test(test_each_changed_bit_is_noticed),
        cmocka_unit_test(test_large_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
