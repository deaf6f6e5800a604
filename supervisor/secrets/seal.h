/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed secrets: AES-256-GCM by libcrypto, with a nonce from getrandom(2). Bound as associated data: the tenant's name and
 * id, the secret's name, and when and by whom the secret was set; so the bytes mean nothing in another place. Supervisor, loop
 * thread, and before confinement.
 *
 *     "skepsec1" | id of the tenant (16) | mark of the key (8) | ms since 1970 (8) | uid (4) | nonce (12) | sealed value | tag (16)
 *
 * Numbers are big endian. The mark tells another key from damaged bytes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SECRET_KEY_BYTES 32
#define SECRET_OWNER_BYTES 16
#define SECRET_VALUE_MAX_BYTES 32768
#define SEALED_MAX_BYTES (SECRET_VALUE_MAX_BYTES + 128)

struct secret_key;

/* Takes a key into memory that is in no core file and, where the host allows it, in no swap; bytes are wiped. 0 or
 * -errno. */
int secret_key_new(uint8_t bytes[static SECRET_KEY_BYTES], struct secret_key **ret_key);
/* Wipes it. NULL is allowed. Returns NULL. */
struct secret_key *secret_key_free(struct secret_key *key);

/* The place that a sealed value is bound to. Borrowed. */
struct secret_place {
    const uint8_t *owner; /* id of the tenant, SECRET_OWNER_BYTES */
    const char *tenant, *name;
};

/* Facts that stand beside a sealed value. */
struct sealed_facts {
    uint64_t time_ms;
    uint32_t uid;
};

/* Seals a value of at most SECRET_VALUE_MAX_BYTES. The caller frees *ret. 0 or -errno. */
int secret_seal(const struct secret_key *key, const struct secret_place *place,
                const struct sealed_facts *facts, const char *value, size_t size, uint8_t **ret,
                size_t *ret_size);
/*
 * Opens a sealed value; *ret_value ends with a NUL that *ret_size does not count, and secret_wipe frees it. 0; -EBADMSG:
 * not sealed bytes, changed, or of another place; -EOWNERDEAD: of a tenant with another id; -ENOKEY: sealed by another
 * key; -ENOMEM.
 */
int secret_open(const struct secret_key *key, const struct secret_place *place,
                const uint8_t *sealed, size_t size, char **ret_value, size_t *ret_size);
/* Reads what stands beside the value, which may be forged. 0 or -EBADMSG. */
int secret_look(const uint8_t *sealed, size_t size, struct sealed_facts *ret);

/* Wipes a value and frees it. NULL is allowed. */
void secret_wipe(char *value, size_t size);
