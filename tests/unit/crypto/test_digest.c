/* SPDX-License-Identifier: Apache-2.0 */
/* worker/crypto: random values, digests and HMAC, by the vectors of FIPS 180, FIPS 202 and RFC 4231. */
#include "tests/unit/crypto/crypto_fixture.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/rand.h>

static void test_digests_are_those_of_the_standards(void **state)
{
    static const char *const of_abc[CRYPTO_HASHES] = {
        [CRYPTO_SHA1] = "a9993e364706816aba3e25717850c26c9cd0d89d",
        [CRYPTO_SHA256] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        [CRYPTO_SHA384] = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                          "8086072ba1e7cc2358baeca134c825a7",
        [CRYPTO_SHA512] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                          "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        [CRYPTO_SHA3_256] = "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
        [CRYPTO_SHA3_384] = "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2"
                            "98d88cea927ac7f539f1edf228376d25",
        [CRYPTO_SHA3_512] = "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
                            "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
    };

    (void) state;
    for (unsigned i = 0; i < CRYPTO_HASHES; i++) {
        clear();
        assert_int_equal(crypto_digest((enum crypto_hash) i, text("abc"), &caller), 0);
        assert_result(of_abc[i]);
    }
    clear();
    assert_int_equal(crypto_digest(CRYPTO_HASHES, text("abc"), &caller), -EINVAL);
}

static void test_a_digest_of_parts_is_that_of_the_whole(void **state)
{
    struct crypto_stream *stream;

    (void) state;
    clear();
    assert_int_equal(crypto_stream_new(CRYPTO_SHA1, &stream), 0);
    assert_int_equal(crypto_stream_add(stream, text("a"), &caller), 0);
    assert_int_equal(crypto_stream_add(stream, text(""), &caller), 0);
    assert_int_equal(crypto_stream_add(stream, text("bc"), &caller), 0);
    assert_int_equal(crypto_stream_end(stream, &caller), 0);
    assert_result("a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_int_equal(crypto_stream_add(stream, text("d"), &caller), -EINVAL);
    assert_int_equal(crypto_stream_end(stream, &caller), -EINVAL);
    stream = crypto_stream_free(stream);
    assert_null(stream);
}

static void test_long_data_is_taken_in_pieces_with_a_look_between(void **state)
{
    const size_t size = (size_t) 3 << 20;
    uint8_t *data = calloc(1, size);

    (void) state;
    clear();
    assert_int_equal(crypto_digest(CRYPTO_SHA256, (struct crypto_bytes){ data, size }, &caller), 0);
    assert_int_equal(result.looks, 3);
    clear();
    result.looks_left = 2;
    assert_int_equal(crypto_digest(CRYPTO_SHA256, (struct crypto_bytes){ data, size }, &caller),
                     -ECANCELED);
    assert_null(result.data);
    free(data);
}

static void test_a_result_without_memory_is_an_error(void **state)
{
    (void) state;
    clear();
    result.is_out_of_memory = true;
    assert_int_equal(crypto_digest(CRYPTO_SHA256, text("abc"), &caller), -ENOMEM);
}

static void test_hmac_is_that_of_rfc_4231(void **state)
{
    struct crypto_key *key;

    (void) state;
    clear();
    assert_int_equal(crypto_key_new_secret(text("Jefe"), &key), 0);
    struct crypto_bytes data = text("what do ya want for nothing?");
    assert_int_equal(crypto_hmac_sign(CRYPTO_SHA256, key, data, &caller), 0);
    assert_result("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    struct crypto_bytes mac = { result.data, result.size };
    assert_int_equal(crypto_hmac_verify(CRYPTO_SHA256, key, mac, data, &caller), 1);
    assert_int_equal(crypto_hmac_verify(CRYPTO_SHA256, key, mac, text("what"), &caller), 0);
    mac.size--;
    assert_int_equal(crypto_hmac_verify(CRYPTO_SHA256, key, mac, data, &caller), 0);
    clear();
    assert_int_equal(crypto_hmac_sign(CRYPTO_HASHES, key, data, &caller), -EINVAL);
    crypto_key_unref(key);
}

static void test_an_empty_key_is_a_key(void **state)
{
    struct crypto_key *key;

    (void) state;
    clear();
    assert_int_equal(crypto_key_new_secret(text(""), &key), 0);
    assert_int_equal(crypto_hmac_sign(CRYPTO_SHA256, key, text(""), &caller), 0);
    assert_result("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    crypto_key_unref(key);
}

/* OpenSSL's generator has a state that all tenants of a process would share. */
static void test_openssl_asks_the_kernel_for_random_values(void **state)
{
    uint8_t bytes[64] = { 0 }, none[64] = { 0 };

    (void) state;
    const RAND_METHOD *method = RAND_get_rand_method();
    assert_ptr_not_equal(method, RAND_OpenSSL());
    assert_null(method->seed);
    assert_null(method->add);
    assert_int_equal(RAND_priv_bytes(bytes, sizeof bytes), 1);
    assert_memory_not_equal(bytes, none, sizeof bytes);
}

static void test_uuids_are_of_version_4(void **state)
{
    char a[CRYPTO_UUID_CHARS + 1] = "", b[CRYPTO_UUID_CHARS + 1] = "";

    (void) state;
    assert_int_equal(crypto_uuid(a), 0);
    assert_int_equal(crypto_uuid(b), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), CRYPTO_UUID_CHARS);
    assert_int_equal(strspn(a, "0123456789abcdef-"), CRYPTO_UUID_CHARS);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    for (size_t i = 8; i <= 23; i += 5)
        assert_int_equal(a[i], '-');
}

static void test_generated_secrets_have_the_bits_that_were_asked_for(void **state)
{
    struct crypto_key *key;
    unsigned last = 0;

    (void) state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(crypto_key_generate_secret(13, &key), 0);
        struct crypto_bytes secret = crypto_key_secret(key);
        assert_int_equal(secret.size, 2);
        last |= secret.data[1];
        crypto_key_unref(key);
    }
    assert_int_equal(last & 7, 0);
    assert_int_equal(last, 0xf8);
}

static struct crypto_bytes wiped;

void __real_OPENSSL_cleanse(void *data, size_t size);
void __wrap_OPENSSL_cleanse(void *data, size_t size);

void __wrap_OPENSSL_cleanse(void *data, size_t size)
{
    __real_OPENSSL_cleanse(data, size);
    wiped = (struct crypto_bytes){ data, size };
}

static void test_the_last_reference_to_a_key_wipes_it(void **state)
{
    struct crypto_key *key;

    (void) state;
    assert_int_equal(crypto_key_new_secret(text("secret"), &key), 0);
    struct crypto_bytes secret = crypto_key_secret(key);
    struct crypto_key *other = crypto_key_ref(key);
    wiped.data = NULL;
    key = crypto_key_unref(key);
    assert_null(wiped.data);
    assert_memory_equal(secret.data, "secret", 6);
    other = crypto_key_unref(other);
    assert_ptr_equal(wiped.data, secret.data);
    assert_int_equal(wiped.size, 6);
    assert_null(key);
    assert_null(other);
}

static void test_equal_compares_all_bytes(void **state)
{
    (void) state;
    assert_true(crypto_equal(text("abc"), text("abc")));
    assert_false(crypto_equal(text("abc"), text("abd")));
    assert_false(crypto_equal(text("abc"), text("ab")));
    assert_true(crypto_equal((struct crypto_bytes){ NULL, 0 }, text("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_digests_are_those_of_the_standards),
        TEST(test_a_digest_of_parts_is_that_of_the_whole),
        TEST(test_long_data_is_taken_in_pieces_with_a_look_between),
        TEST(test_a_result_without_memory_is_an_error),
        TEST(test_hmac_is_that_of_rfc_4231),
        TEST(test_an_empty_key_is_a_key),
        TEST(test_openssl_asks_the_kernel_for_random_values),
        TEST(test_uuids_are_of_version_4),
        TEST(test_generated_secrets_have_the_bits_that_were_asked_for),
        TEST(test_the_last_reference_to_a_key_wipes_it),
        TEST(test_equal_compares_all_bytes),
    };
    return cmocka_run_group_tests(tests, load_crypto, NULL);
}
