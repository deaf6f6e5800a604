/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about the store's channel besides store.proto that both its ends know: main.c (the store),
 * and supervisor/helpers/store.c.
 */
#pragma once

#define STORE_NAME "store"
#define STORE_PROGRAM "skep-store"
#define STORE_CALLERS_FILE "callers" /* in the state folder; read by skepd at its start */
/* Secrets, as skepd seals them: STATE/secrets/TENANT/NAME, and STATE/secrets/TENANT/.owner, the tenant's id. */
#define STORE_SECRETS_FOLDER "secrets"
#define STORE_OWNER_FILE ".owner"
#define STORE_OWNER_BYTES 16
#define STORE_SECRET_MAX_BYTES (33U << 10)
#define STORE_SECRETS_MAX 64 /* secrets of one tenant */
#define STORE_VERSION \
    3 /* version of store.proto: goes up with each change that the other end must know of */
