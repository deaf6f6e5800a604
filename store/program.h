/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about the store's channel besides store.proto that both its ends know: main.c (the store),
 * and supervisor/helpers/store.c.
 */
#pragma once

#define STORE_NAME "store"
#define STORE_PROGRAM "skep-store"
#define STORE_CALLERS_FILE "callers" /* in the state folder; read by skepd at its start */
#define STORE_VERSION \
    2 /* version of store.proto: goes up with each change that the other end must know of */
