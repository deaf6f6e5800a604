/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of names, paths and addresses that both YAML files, the command line and the store share. No
 * state.
 */
#pragma once

#include <stdbool.h>

#define NAME_MAX_BYTES 63

/* Returns whether the name is [a-z0-9-], 1 to 63, no hyphen first or last: a label of a host
 * name. */
bool name_is_valid(const char *name);
extern const char name_expected[]; /* for messages: "expected …" */

/* Returns the folder of a file as an absolute path; malloc'ed. 0 or -errno. */
int path_folder_of(const char *file, char **ret_folder);
/* Returns path itself if it is absolute, else below folder; malloc'ed, NULL if out of memory. */
char *path_absolute(const char *folder, const char *path);
/* Returns whether the name is [A-Za-z_][A-Za-z0-9_]*, and not __proto__, which would set the
 * prototype and no property. */
bool env_name_is_valid(const char *name);
/* Returns whether a secret may have the name: a name in env of at most 64 bytes. */
#define SECRET_NAME_MAX_BYTES 64
bool secret_name_is_valid(const char *name);
extern const char secret_name_expected[]; /* for messages: "expected …" */
bool path_fits_socket(const char *path);

/* Checks an address: "127.0.0.1:8080", "[::1]:8080", "unix:path"; port 0 is any free one. NULL if
 * it is right, else a static string that says what was expected. */
const char *listen_address_check(const char *text);
/* Checks the kind of a file as `main`. Returns NULL if it is right, else the fault, a static
 * string. */
const char *main_kind_check(const char *path);
