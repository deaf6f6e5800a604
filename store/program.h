/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both ends of the store's channel know of it besides store.proto: main.c (the store), and
 * supervisor/helpers/store.c.
 */
#pragma once

#define STORE_NAME "store"
#define STORE_PROGRAM "skep-store"
#define STORE_VERSION \
    1 /* of store.proto: goes up with each change that the other end must know of */
