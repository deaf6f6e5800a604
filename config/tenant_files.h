/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a tenant's folder, which the tenant may have filled with links, pipes and devices.
 * For config/, and for the code that stores and sends such folders.
 */
#pragma once

#include "config/manifest.h"

/* Reads a regular file below dir_fd; never follows a link, never waits for a pipe. *ret_data is
 * malloc'ed and followed by a NUL. 0, -EFBIG over max_bytes, -ELOOP if the file is a link, -EINVAL
 * if it is not a regular file, or another -errno. */
int tenant_file_read(int dir_fd, const char *name, size_t max_bytes, char **ret_data,
                     size_t *ret_size);

/* The end of messages about files that are too large. */
#define TENANT_FILES_ADVICE "files_mib of its cordon in skepd.yaml sets that"

/* Reads all files that belong to the tenant below dir_fd into manifest, sorted by path. dir: for
 * messages. max_bytes: the most of all files together. 0, -EINVAL with errors filled, or -ENOMEM. */
int tenant_files_read(int dir_fd, const char *dir, uint32_t max_bytes, struct manifest *manifest,
                      struct config_errors *errors);
/* Returns the bytes of all files of a manifest together. */
size_t tenant_files_bytes(const struct manifest *manifest);
/* Adds a note that names the entries of the folder that are not among the files, if there are
 * any. */
void tenant_files_note_left_out(const struct manifest *manifest, struct config_errors *notes);
/* Finds a file by its path; NULL if there is none. */
const struct tenant_file *tenant_files_find(const struct manifest *manifest, const char *path);

/* Checks whether a file of this path (which ends with NUL) belongs to a tenant's folder, by the
 * rules by which such folders are read: NULL, or what was expected, a static string. skep.yaml
 * belongs to it. */
const char *tenant_path_check(const char *path);
