/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the files that a skepd.yaml names for secrets and certificates: by the rules of skepd's start, for skepd
 * itself and for those that check its config, who may have fewer rights. Any process; before confinement.
 */
#pragma once

#include <stddef.h>

#include "config/config.h"

#define SECRET_KEY_FILE_BYTES 32

/* Looks at the file of the key of secrets, and does not read it. state: folder in which no key may be; NULL: there is
 * none. Returns 0; or -errno, with the reason and the remedy in text: -EACCES if this user may not look at it. */
int named_key_check(const char *path, const char *state, char *text, size_t size);

/* Adds an error for each file that a start would refuse. Passes over files that this user may not read. Returns 0, -EINVAL if there
 * were errors, or -ENOMEM. */
int named_files_check(const struct config *config, struct config_errors *errors);
