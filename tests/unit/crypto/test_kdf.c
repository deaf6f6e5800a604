/* SPDX-License-Identifier: Apache-2.0 */
/* worker/crypto: HKDF and PBKDF2 by the vectors of RFC 5869, 6070 and 7914; what they cost. */
#include "tests/unit/crypto/crypto_fixture.h"

#define IKM "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"

static struct crypto_key *key_of(struct crypto_bytes bytes)
{
    struct crypto_key *key = NULL;

    assert_int_equal(crypto_key_new_secret(bytes, &key), 0);
    clear();
    return key;
}

static void test_hkdf(void **state)
{
    struct crypto_key *key = key_of(hex(IKM));

    (void) state;
    assert_int_equal(crypto_hkdf(CRYPTO_SHA256, key, hex("000102030405060708090a0b0c"),
                                 hex("f0f1f2f3f4f5f6f7f8f9"), 42, &caller),
                     0);
    assert_result("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                  "34007208d5b887185865");
    clear();
    assert_int_equal(crypto_hkdf(CRYPTO_SHA256, key, hex(""), hex(""), 42, &caller), 0);
    assert_result("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
                  "9d201395faa4b61a96c8");
    clear();
    assert_int_equal(crypto_hkdf(CRYPTO_SHA256, key, hex(""), hex(""), 0, &caller), 0);
    assert_int_equal(result.size, 0);
    clear();
    assert_int_equal(crypto_hkdf(CRYPTO_SHA256, key, hex(""), hex(""), 255 * 32, &caller), 0);
    clear();
    assert_int_equal(crypto_hkdf(CRYPTO_SHA256, key, hex(""), hex(""), 255 * 32 + 1, &caller),
                     -EINVAL);
    assert_int_equal(crypto_hkdf(CRYPTO_HASHES, key, hex(""), hex(""), 1, &caller), -EINVAL);
    crypto_key_unref(key);
}

static void test_pbkdf2(void **state)
{
    struct crypto_key *key = key_of(text("password"));

    (void) state;
    assert_int_equal(crypto_pbkdf2(CRYPTO_SHA1, key, text("salt"), 1, 20, &caller), 0);
    assert_result("0c60c80f961f0e71f3a9b524af6012062fe037a6");
    clear();
    assert_int_equal(crypto_pbkdf2(CRYPTO_SHA1, key, text("salt"), 4096, 20, &caller), 0);
    assert_result("4b007901b765489abead49d926f721d065a429c1");
    crypto_key_unref(key);
    key = key_of(text("passwd"));
    assert_int_equal(crypto_pbkdf2(CRYPTO_SHA256, key, text("salt"), 1, 64, &caller), 0);
    assert_result("55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
                  "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
    clear();
    assert_int_equal(crypto_pbkdf2(CRYPTO_SHA256, key, text("salt"), 1, 33, &caller), 0);
    assert_result("55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49");
    clear();
    assert_int_equal(crypto_pbkdf2(CRYPTO_SHA256, key, text("salt"), 0, 32, &caller), -EINVAL);
    assert_int_equal(crypto_pbkdf2(CRYPTO_HASHES, key, text("salt"), 1, 32, &caller), -EINVAL);
    assert_int_equal(crypto_pbkdf2(CRYPTO_SHA256, key, text("salt"), 1, 0, &caller), 0);
    assert_int_equal(result.size, 0);
    crypto_key_unref(key);
}

/* A password that is longer than a block of the digest counts by its digest; 2,000 rounds are more than are measured. */
static void test_long_passwords_and_all_hashes(void **state)
{
    static const uint8_t long_password[3000] = { 1, 2, 3 };
    uint8_t digest[64];

    (void) state;
    for (unsigned i = 0; i < CRYPTO_HASHES; i++) {
        const enum crypto_hash hash = (enum crypto_hash) i;
        clear();
        assert_int_equal(crypto_digest(hash, (struct crypto_bytes){ long_password, 3000 }, &caller),
                         0);
        const size_t size = result.size;
        memcpy(digest, result.data, size);
        struct crypto_key *key = key_of((struct crypto_bytes){ long_password, 3000 });
        assert_int_equal(crypto_pbkdf2(hash, key, text("s"), 2000, 20, &caller), 0);
        uint8_t expected[20];
        memcpy(expected, result.data, sizeof expected);
        crypto_key_unref(key);
        key = key_of((struct crypto_bytes){ digest, size });
        assert_int_equal(crypto_pbkdf2(hash, key, text("s"), 2000, 20, &caller), 0);
        assert_memory_equal(result.data, expected, sizeof expected);
        crypto_key_unref(key);
    }
}

static void test_pbkdf2_is_stopped(void **state)
{
    struct crypto_key *key = key_of(text("password"));

    (void) state;
    result.looks_left = 100;
    assert_int_equal(crypto_pbkdf2(CRYPTO_SHA256, key, text("salt"), 1000000000, 32, &caller),
                     -ECANCELED);
    assert_int_equal(result.looks, 101);
    assert_null(result.data);
    crypto_key_unref(key);
}

static void test_pbkdf2_that_cannot_fit_is_refused(void **state)
{
    struct crypto_key *key = key_of(text("password"));

    (void) state;
    result.left_ns = 1000000000;
    assert_int_equal(crypto_pbkdf2(CRYPTO_SHA256, key, text("salt"), UINT32_MAX, 4096, &caller),
                     -EDQUOT);
    assert_in_range(result.looks, 1, 10);
    assert_null(result.data);
    crypto_key_unref(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hkdf),
        TEST(test_pbkdf2),
        TEST(test_long_passwords_and_all_hashes),
        TEST(test_pbkdf2_is_stopped),
        TEST(test_pbkdf2_that_cannot_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, load_crypto, NULL);
}
