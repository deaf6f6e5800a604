/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of DER (X.690) that keys are written in. Reading takes bytes from anybody: lengths are checked against what
 * is there, and must be as short as they can be. Pure functions without memory of their own.
 */
#pragma once

#include "worker/crypto/crypto.h"

enum der_tag {
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_1 = 0xa1,
    DER_IMPLICIT_1 = 0x81,
};

/* Takes an element of that kind from the front. Returns false, and leaves *from as it is, if there is none. */
bool der_read(struct crypto_bytes *from, enum der_tag tag, struct crypto_bytes *ret_content);
/* An INTEGER that is not negative, without the leading zeros. */
bool der_read_unsigned(struct crypto_bytes *from, struct crypto_bytes *ret_magnitude);
/* An INTEGER of exactly that value, at most 127. */
bool der_read_small(struct crypto_bytes *from, uint8_t value);
/* A BIT STRING of whole bytes. */
bool der_read_bits(struct crypto_bytes *from, struct crypto_bytes *ret_bytes);

/* Writes from the back to the front, so that lengths are known. With no memory it only counts. */
struct der_writer {
    uint8_t *start; /* NULL: counts */
    size_t room;    /* bytes in front of what is written */
    size_t written;
};

void der_put(struct der_writer *to, struct crypto_bytes bytes);
/* The head of an element whose content is all that was written since then, when *to had written that much. */
void der_put_head(struct der_writer *to, enum der_tag tag, size_t since);
void der_put_element(struct der_writer *to, enum der_tag tag, struct crypto_bytes content);
void der_put_unsigned(struct der_writer *to, struct crypto_bytes magnitude);
void der_put_bits(struct der_writer *to, struct crypto_bytes bytes);
