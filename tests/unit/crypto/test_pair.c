/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker/crypto: key pairs in all formats, signatures, RSA-OAEP and key agreement, by the vectors of RFC 7748, RFC 8032 and NIST's; keys that
 * are none; and generation that is stopped.
 */
#include "tests/unit/crypto/crypto_fixture.h"

#define P256_D "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534"
#define P256_X "ead218590119e8876b29146ff89ca61770c4edbbf97d38ce385ed281d8a6b230"
#define P256_Y "28af61281fd35e2fa7002523acc85a429cb06ee6648325389f59edfce1405141"
#define P256_PEER                                                        \
    "04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287" \
    "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac"
#define P256_SHARED "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b"

/* A copy of the result, which is cleared before the next operation. */
static struct crypto_bytes keep_result(void)
{
    uint8_t *copy = lasting(result.size);

    if (result.size > 0)
        memcpy(copy, result.data, result.size);
    return (struct crypto_bytes){ copy, result.size };
}

static struct crypto_key *import(enum crypto_kind kind, enum crypto_format format,
                                 struct crypto_bytes data)
{
    struct crypto_key *key = NULL;

    assert_int_equal(crypto_pair_import(kind, format, data, &key), 0);
    return key;
}

static struct crypto_bytes export(const struct crypto_key *key, enum crypto_format format)
{
    clear();
    assert_int_equal(crypto_pair_export(key, format, &caller), 0);
    return keep_result();
}

static struct crypto_pair generate(enum crypto_kind kind)
{
    struct crypto_pair pair = { 0 };

    clear();
    assert_int_equal(crypto_pair_generate(kind, 1024, hex("010001"), &caller, &pair), 0);
    return pair;
}

static void pair_free(struct crypto_pair *pair)
{
    crypto_key_unref(pair->private_key);
    crypto_key_unref(pair->public_key);
}

static void assert_same(struct crypto_bytes a, struct crypto_bytes b)
{
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
}

/* ---- formats */

static void test_each_kind_comes_back_from_each_format(void **state)
{
    (void) state;
    for (unsigned kind = 0; kind < CRYPTO_KINDS; kind++) {
        struct crypto_pair pair = generate((enum crypto_kind) kind);
        static const enum crypto_format formats[] = { CRYPTO_SPKI, CRYPTO_RAW, CRYPTO_PKCS8 };
        for (size_t i = kind == CRYPTO_RSA ? 2 : 0; i < 3; i++) {
            const struct crypto_key *half =
                formats[i] == CRYPTO_PKCS8 ? pair.private_key : pair.public_key;
            struct crypto_bytes written = export(half, formats[i]);
            struct crypto_key *back = import((enum crypto_kind) kind, formats[i], written);
            assert_same(export(back, formats[i]), written);
            crypto_key_unref(back);
        }
        clear();
        assert_int_equal(crypto_pair_export(pair.public_key, CRYPTO_PKCS8, &caller), -EINVAL);
        assert_int_equal(crypto_pair_export(pair.private_key, CRYPTO_SPKI, &caller), -EINVAL);
        assert_int_equal(crypto_pair_part(pair.public_key, CRYPTO_PART_D, &caller), -EINVAL);
        assert_int_equal(crypto_pair_part(pair.private_key, CRYPTO_PARTS, &caller), -EINVAL);
        pair_free(&pair);
    }
}

static void test_each_kind_comes_back_from_its_parts(void **state)
{
    (void) state;
    for (unsigned kind = 0; kind < CRYPTO_KINDS; kind++) {
        struct crypto_pair pair = generate((enum crypto_kind) kind);
        struct crypto_bytes parts[CRYPTO_PARTS] = { 0 };
        struct crypto_key *back;
        for (unsigned part = 0; part < CRYPTO_PARTS; part++) {
            clear();
            if (crypto_pair_part(pair.private_key, (enum crypto_part) part, &caller) == 0)
                parts[part] = keep_result();
        }
        assert_int_equal(crypto_pair_from_parts((enum crypto_kind) kind, parts, &back), 0);
        assert_same(export(back, CRYPTO_PKCS8), export(pair.private_key, CRYPTO_PKCS8));
        crypto_key_unref(back);
        struct crypto_bytes d = parts[CRYPTO_PART_D];
        parts[CRYPTO_PART_D].size = 0;
        assert_int_equal(crypto_pair_from_parts((enum crypto_kind) kind, parts, &back), 0);
        assert_same(export(back, CRYPTO_SPKI), export(pair.public_key, CRYPTO_SPKI));
        crypto_key_unref(back);
        parts[CRYPTO_PART_D] = d; /* belongs to another key than the public half */
        ((uint8_t *) (uintptr_t) d.data)[d.size / 2] ^= 1;
        assert_int_equal(crypto_pair_from_parts((enum crypto_kind) kind, parts, &back), -EBADMSG);
        pair_free(&pair);
    }
}

/* Wherever it is cut, and whichever byte is another: a key, or -EBADMSG. */
static void test_der_that_was_cut_or_changed_is_refused(void **state)
{
    (void) state;
    for (unsigned kind = 0; kind < CRYPTO_KINDS; kind++) {
        struct crypto_pair pair = generate((enum crypto_kind) kind);
        for (int format = CRYPTO_SPKI; format <= CRYPTO_PKCS8; format++) {
            struct crypto_bytes der =
                export(format == CRYPTO_SPKI ? pair.public_key : pair.private_key,
                       (enum crypto_format) format);
            struct crypto_key *key;
            for (size_t cut = 0; cut < der.size; cut++)
                assert_int_equal(crypto_pair_import((enum crypto_kind) kind,
                                                    (enum crypto_format) format,
                                                    (struct crypto_bytes){ der.data, cut }, &key),
                                 -EBADMSG);
            for (size_t i = 0; i < der.size; i++) {
                uint8_t *byte = (uint8_t *) (uintptr_t) der.data + i, before = *byte;
                *byte ^= (uint8_t) (1U << (i % 8));
                int r = crypto_pair_import((enum crypto_kind) kind, (enum crypto_format) format,
                                           der, &key);
                if (r == 0)
                    crypto_key_unref(key);
                else
                    assert_int_equal(r, -EBADMSG);
                *byte = before;
            }
        }
        pair_free(&pair);
    }
}

static void test_a_key_of_another_kind_is_refused(void **state)
{
    struct crypto_key *key;

    (void) state;
    for (unsigned kind = 0; kind < CRYPTO_KINDS; kind++) {
        struct crypto_pair pair = generate((enum crypto_kind) kind);
        struct crypto_bytes spki = export(pair.public_key, CRYPTO_SPKI);
        for (unsigned other = 0; other < CRYPTO_KINDS; other++)
            if (other != kind)
                assert_int_equal(
                    crypto_pair_import((enum crypto_kind) other, CRYPTO_SPKI, spki, &key),
                    -EBADMSG);
        pair_free(&pair);
    }
    assert_int_equal(crypto_pair_import(CRYPTO_KINDS, CRYPTO_SPKI, hex("30"), &key), -EINVAL);
    assert_int_equal(crypto_pair_import(CRYPTO_P256, CRYPTO_FORMATS, hex("30"), &key), -EINVAL);
    assert_int_equal(crypto_pair_import(CRYPTO_RSA, CRYPTO_RAW, hex("30"), &key), -EINVAL);
}

/* ---- points and numbers that are none */

static void test_points_off_the_curve_are_refused(void **state)
{
    struct crypto_key *key;

    (void) state;
    assert_int_equal(crypto_pair_import(CRYPTO_P256, CRYPTO_RAW, hex("04" P256_X P256_Y), &key), 0);
    crypto_key_unref(key);
    assert_int_equal(crypto_pair_import(CRYPTO_P256, CRYPTO_RAW, hex("03" P256_X), &key), 0);
    assert_same(export(key, CRYPTO_RAW), hex("04" P256_X P256_Y));
    crypto_key_unref(key);
    static const char *const wrong[] = {
        "04" P256_Y P256_X,
        "04" P256_X,
        "02" P256_X P256_Y,
        "00",
        "",
        "05" P256_X P256_Y,
        "06" P256_X P256_Y,
        "04" P256_X P256_Y "00",
        "02ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(crypto_pair_import(CRYPTO_P256, CRYPTO_RAW, hex(wrong[i]), &key),
                         -EBADMSG);
}

static void test_private_numbers_must_be_in_range(void **state)
{
    static const char *const wrong[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", /* the order */
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a5",
    };
    struct crypto_key *key;

    (void) state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct crypto_bytes parts[CRYPTO_PARTS] = { [CRYPTO_PART_D] = hex(wrong[i]) };
        assert_int_equal(crypto_pair_from_parts(CRYPTO_P256, parts, &key), -EBADMSG);
    }
    const struct crypto_bytes none[CRYPTO_PARTS] = { 0 };
    for (unsigned kind = 0; kind < CRYPTO_KINDS; kind++)
        assert_int_equal(crypto_pair_from_parts((enum crypto_kind) kind, none, &key), -EBADMSG);
}

static struct crypto_bytes odd_number(size_t bits)
{
    uint8_t *bytes = lasting(bits / 8);

    bytes[0] = 0x80;
    bytes[bits / 8 - 1] = 1;
    return (struct crypto_bytes){ bytes, bits / 8 };
}

static void test_rsa_moduli_have_512_to_16384_bits(void **state)
{
    static const struct {
        size_t bits;
        const char *e;
        int expected;
    } cases[] = {
        { 504, "010001", -EBADMSG },
        { 512, "010001", 0 },
        { 16384, "010001", 0 },
        { 16392, "010001", -EBADMSG },
        { 32768, "010001", -EBADMSG },
        { 2048, "01", -EBADMSG },
        { 2048, "02", -EBADMSG },
        { 2048, "00", -EBADMSG },
        { 2048, "03", 0 },
        { 2048, "800000000000000001", -EBADMSG },
    };

    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct crypto_bytes parts[CRYPTO_PARTS] = {
            [CRYPTO_PART_N] = odd_number(cases[i].bits), [CRYPTO_PART_E] = hex(cases[i].e)
        };
        struct crypto_key *key = NULL;
        assert_int_equal(crypto_pair_from_parts(CRYPTO_RSA, parts, &key), cases[i].expected);
        if (key)
            assert_int_equal(crypto_rsa_bits(key), cases[i].bits);
        crypto_key_unref(key);
    }
}

/* ---- what keys do */

static void test_signatures_are_verified_and_no_others(void **state)
{
    static const struct {
        enum crypto_kind kind;
        struct crypto_signing how;
    } cases[] = {
        { CRYPTO_RSA, { CRYPTO_PKCS1, CRYPTO_SHA256, 0 } },
        { CRYPTO_RSA, { CRYPTO_PSS, CRYPTO_SHA1, 20 } },
        { CRYPTO_RSA, { CRYPTO_PSS, CRYPTO_SHA384, 0 } },
        { CRYPTO_P256, { CRYPTO_ECDSA, CRYPTO_SHA256, 0 } },
        { CRYPTO_P384, { CRYPTO_ECDSA, CRYPTO_SHA512, 0 } },
        { CRYPTO_P521, { CRYPTO_ECDSA, CRYPTO_SHA1, 0 } },
        { CRYPTO_ED25519, { CRYPTO_EDDSA, CRYPTO_HASHES, 0 } },
        { CRYPTO_ED448, { CRYPTO_EDDSA, CRYPTO_HASHES, 0 } },
    };

    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct crypto_pair pair = generate(cases[i].kind);
        const struct crypto_signing *how = &cases[i].how;
        clear();
        assert_int_equal(crypto_sign(pair.private_key, how, text("data"), &caller), 0);
        struct crypto_bytes signature = keep_result();
        assert_int_equal(crypto_verify(pair.public_key, how, signature, text("data"), &caller), 1);
        assert_int_equal(crypto_verify(pair.public_key, how, signature, text("date"), &caller), 0);
        for (size_t cut = 0; cut < signature.size; cut++)
            assert_int_equal(crypto_verify(pair.public_key, how,
                                           (struct crypto_bytes){ signature.data, cut },
                                           text("data"), &caller),
                             0);
        ((uint8_t *) (uintptr_t) signature.data)[signature.size / 2] ^= 4;
        assert_int_equal(crypto_verify(pair.public_key, how, signature, text("data"), &caller), 0);
        clear();
        assert_int_equal(crypto_sign(pair.public_key, how, text("data"), &caller), -EINVAL);
        pair_free(&pair);
    }
}

static void test_a_scheme_wants_its_kind_of_key(void **state)
{
    const struct crypto_signing how = { CRYPTO_ECDSA, CRYPTO_SHA256, 0 };
    struct crypto_pair pair = generate(CRYPTO_ED25519);
    struct crypto_key *secret;

    (void) state;
    clear();
    assert_int_equal(crypto_key_new_secret(text("secret"), &secret), 0);
    assert_int_equal(crypto_sign(pair.private_key, &how, text("a"), &caller), -EINVAL);
    assert_int_equal(crypto_sign(secret, &how, text("a"), &caller), -EINVAL);
    assert_int_equal(crypto_verify(secret, &how, text("a"), text("a"), &caller), -EINVAL);
    assert_int_equal(crypto_oaep(secret, CRYPTO_SHA1, text(""), text("a"), &caller), -EINVAL);
    assert_int_equal(crypto_agree(pair.private_key, pair.public_key, &caller), -EINVAL);
    assert_int_equal(crypto_agree(secret, pair.public_key, &caller), -EINVAL);
    assert_int_equal(crypto_pair_export(secret, CRYPTO_SPKI, &caller), -EINVAL);
    assert_int_equal(crypto_pair_part(secret, CRYPTO_PART_D, &caller), -EINVAL);
    crypto_key_unref(secret);
    pair_free(&pair);
}

/* RFC 8032, 7.1, test 3. */
static void test_ed25519(void **state)
{
    struct crypto_bytes parts[CRYPTO_PARTS] = {
        [CRYPTO_PART_D] = hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"),
        [CRYPTO_PART_X] = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
    };
    const struct crypto_signing how = { .scheme = CRYPTO_EDDSA };
    struct crypto_key *key;

    (void) state;
    clear();
    assert_int_equal(crypto_pair_from_parts(CRYPTO_ED25519, parts, &key), 0);
    assert_int_equal(crypto_sign(key, &how, hex("af82"), &caller), 0);
    assert_result("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                  "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
    crypto_key_unref(key);
}

static void test_ecdh_and_x25519(void **state)
{
    struct crypto_bytes parts[CRYPTO_PARTS] = {
        [CRYPTO_PART_D] = hex(P256_D), [CRYPTO_PART_X] = hex(P256_X), [CRYPTO_PART_Y] = hex(P256_Y)
    };
    struct crypto_bytes x_parts[CRYPTO_PARTS] = {
        [CRYPTO_PART_D] = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
    };
    struct crypto_key *own, *peer = import(CRYPTO_P256, CRYPTO_RAW, hex(P256_PEER));

    (void) state;
    clear();
    assert_int_equal(crypto_pair_from_parts(CRYPTO_P256, parts, &own), 0);
    assert_int_equal(crypto_agree(own, peer, &caller), 0);
    assert_result(P256_SHARED);
    crypto_key_unref(own);
    crypto_key_unref(peer);
    peer = import(CRYPTO_X25519, CRYPTO_RAW,
                  hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
    clear();
    assert_int_equal(crypto_pair_from_parts(CRYPTO_X25519, x_parts, &own), 0);
    assert_int_equal(crypto_agree(own, peer, &caller), 0);
    assert_result("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    crypto_key_unref(own);
    crypto_key_unref(peer);
}

/* A point of small order gives the same secret to everybody. */
static void test_x25519_of_a_small_point_is_no_secret(void **state)
{
    struct crypto_pair pair = generate(CRYPTO_X25519);
    struct crypto_key *peer =
        import(CRYPTO_X25519, CRYPTO_RAW,
               hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"));

    (void) state;
    clear();
    assert_int_equal(crypto_agree(pair.private_key, peer, &caller), -EBADMSG);
    crypto_key_unref(peer);
    pair_free(&pair);
}

static void test_oaep(void **state)
{
    struct crypto_pair pair = generate(CRYPTO_RSA);

    (void) state;
    clear();
    assert_int_equal(
        crypto_oaep(pair.public_key, CRYPTO_SHA256, text("label"), text("data"), &caller), 0);
    struct crypto_bytes sealed = keep_result();
    assert_int_equal(sealed.size, 128);
    clear();
    assert_int_equal(crypto_oaep(pair.private_key, CRYPTO_SHA256, text("label"), sealed, &caller),
                     0);
    assert_result("64617461");
    clear();
    assert_int_equal(crypto_oaep(pair.private_key, CRYPTO_SHA256, text(""), sealed, &caller),
                     -EBADMSG);
    assert_int_equal(
        crypto_oaep(pair.private_key, CRYPTO_SHA256, text("label"), text("x"), &caller), -EBADMSG);
    uint8_t long_data[128] = { 0 };
    assert_int_equal(crypto_oaep(pair.public_key, CRYPTO_SHA256, text(""),
                                 (struct crypto_bytes){ long_data, 63 }, &caller),
                     -EBADMSG);
    pair_free(&pair);
}

/* ---- cost */

static void test_rsa_generation_is_stopped(void **state)
{
    static const char *const exponents[] = { "010001", "03" }; /* each has its own way in OpenSSL */
    struct crypto_pair pair;

    (void) state;
    for (size_t i = 0; i < 2; i++) {
        clear();
        result.looks_left = 20;
        assert_int_equal(crypto_pair_generate(CRYPTO_RSA, 8192, hex(exponents[i]), &caller, &pair),
                         -ECANCELED);
        assert_in_range(result.looks, 21, 40);
    }
}

static void test_rsa_generation_that_cannot_fit_is_refused(void **state)
{
    struct crypto_pair pair;

    (void) state;
    clear();
    result.left_ns = 50000000;
    assert_int_equal(crypto_pair_generate(CRYPTO_RSA, 16384, hex("010001"), &caller, &pair),
                     -EDQUOT);
    assert_int_equal(crypto_pair_generate(CRYPTO_RSA, 16392, hex("010001"), &caller, &pair),
                     -EINVAL);
    assert_int_equal(crypto_pair_generate(CRYPTO_RSA, 504, hex("010001"), &caller, &pair), -EINVAL);
    assert_int_equal(crypto_pair_generate(CRYPTO_RSA, 1024, hex("0100"), &caller, &pair), -EINVAL);
    assert_int_equal(crypto_pair_generate(CRYPTO_RSA, 1024, hex(""), &caller, &pair), -EINVAL);
    assert_int_equal(result.looks, 0);
}

static void test_a_signature_that_cannot_fit_is_refused(void **state)
{
    const size_t size = (size_t) 64 << 20;
    struct crypto_bytes data = { calloc(1, size), size };
    const struct crypto_signing how = { .scheme = CRYPTO_EDDSA };
    struct crypto_pair pair = generate(CRYPTO_ED25519);

    (void) state;
    clear();
    result.left_ns = 1000000;
    assert_int_equal(crypto_sign(pair.private_key, &how, data, &caller), -EDQUOT);
    assert_int_equal(crypto_verify(pair.public_key, &how, text("x"), data, &caller), -EDQUOT);
    free((void *) (uintptr_t) data.data);
    pair_free(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_kind_comes_back_from_each_format),
        TEST(test_each_kind_comes_back_from_its_parts),
        TEST(test_der_that_was_cut_or_changed_is_refused),
        TEST(test_a_key_of_another_kind_is_refused),
        TEST(test_points_off_the_curve_are_refused),
        TEST(test_private_numbers_must_be_in_range),
        TEST(test_rsa_moduli_have_512_to_16384_bits),
        TEST(test_signatures_are_verified_and_no_others),
        TEST(test_a_scheme_wants_its_kind_of_key),
        TEST(test_ed25519),
        TEST(test_ecdh_and_x25519),
        TEST(test_x25519_of_a_small_point_is_no_secret),
        TEST(test_oaep),
        TEST(test_rsa_generation_is_stopped),
        TEST(test_rsa_generation_that_cannot_fit_is_refused),
        TEST(test_a_signature_that_cannot_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, load_crypto, NULL);
}
