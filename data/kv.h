/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key-value of one tenant: all its namespaces in one SQLite file. PROTOCOL.md "Operations of storage" has the operations. Used by one
 * thread at a time.
 */
#pragma once

#include "data/engine.h"

#define KV_KEY_MAX_BYTES 512
#define KV_METADATA_MAX_BYTES 1024
#define KV_LIST_MAX 1000
#define KV_GET_MANY_MAX 100
#define KV_TTL_LEAST_S 60

struct kv;

/* Opens or makes the file at path, relative to the working folder. A file that is corrupt is renamed to PATH.corrupt-TIME, with its
 * notice, and a new one is made. 0; -ENOSPC, -EIO or another -errno. */
int kv_open(const char *path, struct kv **ret_kv, char notice[static 512]);
struct kv *kv_close(struct kv *kv);

/* Runs operations of one tenant in the order in which they stand, in as few transactions as possible: all that write are durable when this
 * returns, or have failed. Sets the result of each. -EUCLEAN: the file has turned out to be corrupt, and all have failed; it was put
 * aside, and the first operation's notice says so: kv_close, and kv_open makes a new one. */
int kv_run(struct kv *kv, struct data_operation *const *operations, size_t n);
