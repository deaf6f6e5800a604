/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of stored versions without a store process: for skepd at its start, before it is confined.
 * The store process checks the same way when a version is about to serve.
 */
#pragma once

#include <stddef.h>

struct store_reader;

/* Opens the state folder at path. 0 or -errno. */
int store_reader_new(const char *path, struct store_reader **ret_reader);
/* Frees a reader. NULL is allowed. Returns NULL. */
struct store_reader *store_reader_free(struct store_reader *reader);
/* Checks that the version is what was deployed: 0, -EBADMSG if not, or another -errno; *ret_text
 * says why, until the next call. */
int store_reader_check(struct store_reader *reader, const char *tenant, const char *version,
                       const char **ret_text);
/* Reads skep.yaml of a version that may be damaged elsewhere: *ret_text (freed by the caller) is
 * the text that was deployed. 0, -EBADMSG if skep.yaml itself is another one, or another -errno, as
 * for a version from before there were sums. */
int store_reader_read_manifest(struct store_reader *reader, const char *tenant, const char *version,
                               char **ret_text, size_t *ret_size);
