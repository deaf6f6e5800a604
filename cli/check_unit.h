/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of a configuration that the systemd unit which starts skepd does not allow.
 */
#pragma once

#include "config/config.h"

/* Adds an error for each key of config that cannot work in the unit, with the remedy. path: of
 * skepd.yaml. unit: a unit file; NULL: the installed skepd.service, if it starts skepd with that
 * file. 0, or -errno with errors filled if unit cannot be read. */
int check_unit(const char *path, const struct config *config, const char *unit,
               struct config_errors *errors);
