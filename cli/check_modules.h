/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modules of tenants, compiled and linked by a skepd in jailed workers, for `skep check`.
 */
#pragma once

#include "config/errors.h"

/* Adds the faults of the modules of the tenants at these paths (folders or scripts; NULL-ended) to
 * errors, or, in files that no import statement leads to, to notes; a note, too, if they could not
 * be compiled here. config: of a skepd.yaml whose cordons and limits count; NULL: none. 0 or
 * -ENOMEM. */
int check_modules(const char *config, char *const *paths, struct config_errors *errors,
                  struct config_errors *notes);
