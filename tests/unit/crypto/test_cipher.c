/* SPDX-License-Identifier: Apache-2.0 */
/* worker/crypto: AES, by the vectors of NIST SP 800-38A, the GCM specification and RFC 3394. */
#include "tests/unit/crypto/crypto_fixture.h"

#define KEY_128 "2b7e151628aed2a6abf7158809cf4f3c"
#define BLOCK "6bc1bee22e409f96e93d7e117393172a"

static struct crypto_key *key_of(const char *digits)
{
    struct crypto_key *key = NULL;

    assert_int_equal(crypto_key_new_secret(hex(digits), &key), 0);
    return key;
}

static int run(const char *key, struct crypto_cipher_params params, struct crypto_bytes data)
{
    struct crypto_key *made = key_of(key);

    clear();
    int r = crypto_cipher(made, &params, data, &caller);
    crypto_key_unref(made);
    return r;
}

/* Encrypts, compares, and decrypts the result. */
static void try_both(const char *key, struct crypto_cipher_params params, const char *plain,
                     const char *cipher)
{
    params.decrypt = false;
    assert_int_equal(run(key, params, hex(plain)), 0);
    assert_result(cipher);
    params.decrypt = true;
    assert_int_equal(run(key, params, hex(cipher)), 0);
    assert_result(plain);
}

static void test_cbc(void **state)
{
    const struct crypto_cipher_params params = { .cipher = CRYPTO_AES_CBC,
                                                 .iv = hex("000102030405060708090a0b0c0d0e0f") };

    (void) state;
    try_both(KEY_128, params, BLOCK,
             "7649abac8119b246cee98e9b12e9197d8964e0b149c10b7b682e6e39aaeb731c");
    for (size_t size = 0; size < 70; size++) {
        struct crypto_cipher_params decrypt = params;
        uint8_t data[70], cipher[96];
        memset(data, (int) size, sizeof data);
        assert_int_equal(run(KEY_128, params, (struct crypto_bytes){ data, size }), 0);
        assert_int_equal(result.size, (size / 16 + 1) * 16);
        const size_t cipher_size = result.size;
        memcpy(cipher, result.data, cipher_size);
        decrypt.decrypt = true;
        assert_int_equal(run(KEY_128, decrypt, (struct crypto_bytes){ cipher, cipher_size }), 0);
        assert_int_equal(result.size, size);
        assert_memory_equal(result.data, data, size);
    }
}

static void test_cbc_with_bad_padding_or_half_a_block_is_refused(void **state)
{
    struct crypto_cipher_params params = { .cipher = CRYPTO_AES_CBC,
                                           .decrypt = true,
                                           .iv = hex("000102030405060708090a0b0c0d0e0f") };

    (void) state;
    assert_int_equal(run(KEY_128, params, hex("7649abac8119b246cee98e9b12e9197d")), -EBADMSG);
    assert_int_equal(run(KEY_128, params, hex("7649abac8119b246cee98e9b12e919")), -EBADMSG);
    assert_int_equal(run(KEY_128, params, hex("")), -EBADMSG);
    assert_null(result.data);
    params.iv.size = 15;
    assert_int_equal(run(KEY_128, params, hex("7649abac8119b246cee98e9b12e9197d")), -EINVAL);
}

static void test_ctr(void **state)
{
    const struct crypto_cipher_params params = {
        .cipher = CRYPTO_AES_CTR,
        .iv = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
        .counter_bits = 128,
    };

    (void) state;
    try_both(KEY_128, params, BLOCK "ae2d8a571e03ac9c9eb76fac45af8e51",
             "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff");
}

/* With 8 bits, and with 128, the block behind ...ff is ...00, and bits above the counter stay. */
static void test_the_counter_wraps_within_its_bits(void **state)
{
    static const size_t bits[] = { 1, 8, 9, 47, 63, 64, 65, 127, 128 };

    (void) state;
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        uint8_t last[16], first[16], expected[48];
        memset(last, 0xff, sizeof last);
        memset(first, 0xff, sizeof first);
        last[0] = first[0] = bits[i] > 120 ? 0xff : 0xa5;
        for (size_t b = 0; b < bits[i]; b++)
            first[15 - b / 8] &= (uint8_t) ~(1U << (b % 8));
        struct crypto_cipher_params params = { .cipher = CRYPTO_AES_CTR, .counter_bits = bits[i] };
        params.iv = (struct crypto_bytes){ last, 16 };
        assert_int_equal(run(KEY_128, params, hex("00000000000000000000000000000000")), 0);
        memcpy(expected, result.data, 16);
        params.iv.data = first;
        assert_int_equal(run(KEY_128, params, hex("00000000000000000000000000000000")), 0);
        memcpy(expected + 16, result.data, 16);
        params.iv.data = last;
        uint8_t zeros[32] = { 0 };
        assert_int_equal(run(KEY_128, params, (struct crypto_bytes){ zeros, 32 }), 0);
        assert_memory_equal(result.data, expected, 32);
    }
}

static void test_ctr_takes_no_more_blocks_than_its_counter_counts(void **state)
{
    struct crypto_cipher_params params = { .cipher = CRYPTO_AES_CTR,
                                           .iv = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
                                           .counter_bits = 1 };
    uint8_t zeros[48] = { 0 };

    (void) state;
    assert_int_equal(run(KEY_128, params, (struct crypto_bytes){ zeros, 32 }), 0);
    assert_int_equal(run(KEY_128, params, (struct crypto_bytes){ zeros, 33 }), -EINVAL);
    params.counter_bits = 0;
    assert_int_equal(run(KEY_128, params, (struct crypto_bytes){ zeros, 1 }), -EINVAL);
    params.counter_bits = 129;
    assert_int_equal(run(KEY_128, params, (struct crypto_bytes){ zeros, 1 }), -EINVAL);
    params.counter_bits = 128;
    assert_int_equal(run(KEY_128, params, (struct crypto_bytes){ NULL, 0 }), 0);
    assert_int_equal(result.size, 0);
}

#define GCM_KEY "feffe9928665731c6d6a8f9467308308"
#define GCM_PLAIN                                                      \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define GCM_CIPHER                                                     \
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" \
    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
#define GCM_TAG "5bc94fbc3221a5db94fae95ae7121a47"

static struct crypto_cipher_params gcm_params(void)
{
    return (struct crypto_cipher_params){
        .cipher = CRYPTO_AES_GCM,
        .iv = hex("cafebabefacedbaddecaf888"),
        .aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        .tag_bits = 128,
    };
}

static void test_gcm(void **state)
{
    struct crypto_cipher_params params = gcm_params();

    (void) state;
    try_both(GCM_KEY, params, GCM_PLAIN, GCM_CIPHER GCM_TAG);
    params.tag_bits = 32;
    try_both(GCM_KEY, params, GCM_PLAIN, GCM_CIPHER "5bc94fbc");
}

static void test_gcm_refuses_what_was_not_made_with_it(void **state)
{
    struct crypto_cipher_params params = gcm_params();

    (void) state;
    params.decrypt = true;
    struct crypto_bytes whole = hex(GCM_CIPHER GCM_TAG);
    for (size_t cut = 1; cut <= whole.size; cut++)
        assert_int_equal(
            run(GCM_KEY, params, (struct crypto_bytes){ whole.data, whole.size - cut }), -EBADMSG);
    for (size_t i = 0; i < whole.size; i++) {
        uint8_t *byte = (uint8_t *) (uintptr_t) whole.data + i;
        *byte ^= 1;
        assert_int_equal(run(GCM_KEY, params, whole), -EBADMSG);
        *byte ^= 1;
    }
    params.aad.size--;
    assert_int_equal(run(GCM_KEY, params, whole), -EBADMSG);
    params = gcm_params();
    params.iv.size = 0;
    assert_int_equal(run(GCM_KEY, params, whole), -EINVAL);
    params = gcm_params();
    params.tag_bits = 136;
    assert_int_equal(run(GCM_KEY, params, whole), -EINVAL);
}

static void test_kw(void **state)
{
    const struct crypto_cipher_params params = { .cipher = CRYPTO_AES_KW };
    struct crypto_cipher_params decrypt = params;

    (void) state;
    try_both("000102030405060708090a0b0c0d0e0f", params, "00112233445566778899aabbccddeeff",
             "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5");
    assert_int_equal(run(KEY_128, params, hex("0011223344556677")), -EBADMSG);
    assert_int_equal(run(KEY_128, params, hex("00112233445566778899aabbccddee")), -EBADMSG);
    decrypt.decrypt = true;
    assert_int_equal(run(KEY_128, decrypt, hex("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5")),
                     -EBADMSG);
}

static void test_keys_of_other_sizes_are_refused(void **state)
{
    const struct crypto_cipher_params params = { .cipher = CRYPTO_AES_KW };
    const struct crypto_cipher_params none = { .cipher = CRYPTO_CIPHERS };

    (void) state;
    assert_int_equal(run("0001020304050607", params, hex("00112233445566778899aabbccddeeff")),
                     -EINVAL);
    assert_int_equal(run("", params, hex("00112233445566778899aabbccddeeff")), -EINVAL);
    assert_int_equal(run(KEY_128, none, hex("00112233445566778899aabbccddeeff")), -EINVAL);
}

static void test_a_cipher_is_stopped_between_pieces(void **state)
{
    const size_t size = (size_t) 5 << 20;
    uint8_t *data = calloc(1, size);
    struct crypto_cipher_params params = gcm_params();
    struct crypto_key *key = key_of(KEY_128);

    (void) state;
    clear();
    result.looks_left = 3;
    assert_int_equal(crypto_cipher(key, &params, (struct crypto_bytes){ data, size }, &caller),
                     -ECANCELED);
    assert_in_range(result.looks, 4, 4);
    crypto_key_unref(key);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cbc),
        TEST(test_cbc_with_bad_padding_or_half_a_block_is_refused),
        TEST(test_ctr),
        TEST(test_the_counter_wraps_within_its_bits),
        TEST(test_ctr_takes_no_more_blocks_than_its_counter_counts),
        TEST(test_gcm),
        TEST(test_gcm_refuses_what_was_not_made_with_it),
        TEST(test_kw),
        TEST(test_keys_of_other_sizes_are_refused),
        TEST(test_a_cipher_is_stopped_between_pieces),
    };
    return cmocka_run_group_tests(tests, load_crypto, NULL);
}
