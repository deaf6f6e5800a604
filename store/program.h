/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about the store's channel besides store.proto that both its ends know: main.c (the store),
 * and supervisor/helpers/store.c.
 */
#pragma once

#define STORE_NAME "store"
#define STORE_PROGRAM "skep-store"
#define STORE_VERSION \
    1 /* version of store.proto: goes up with each change that the other end must know of */
