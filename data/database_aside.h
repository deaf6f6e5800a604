/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Corrupt files of databases are kept beside the new ones, for the operator.
 */
#pragma once

#define DATABASE_PATH_BYTES 512
#define DATABASE_ASIDE_MAX 3 /* files that are kept in a folder, which is a tenant's */

/* Writes the name of a file that belongs to that of a database: path and ending. 0 or -ENAMETOOLONG. */
int database_sibling(const char *path, const char *ending,
                     char ret_sibling[static DATABASE_PATH_BYTES]);

/* Renames a database, its WAL and its journal to PATH.corrupt-TIME and the like, synced, and removes the
 * oldest of those that are too many. The notice, of 512 bytes, says why. 0 or -errno. */
int database_put_aside(const char *path, const char *reason, char notice[static 512]);
