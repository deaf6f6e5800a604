/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key `jail` of skepd.yaml. Private to config/.
 */
#pragma once

#include <stdint.h>

#include "config/config.h"
#include "config/yaml_document.h"

struct raw_jail {
    char *minimum;
    char **without;
    uint32_t n_without;
};

/* What is wrong is added to errors. */
void config_jail_parse(const struct yaml_document *document, const struct raw_jail *raw,
                       struct jail_config *ret, struct config_errors *errors);
