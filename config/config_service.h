/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of skepd.yaml that say how the service is run, not what tenants may do: who may use the
 * admin socket, metrics, deploys, where state is kept. Private to config/.
 */
#pragma once

#include <stdint.h>

#include "config/config.h"
#include "config/yaml_document.h"

struct raw_role {
    uint32_t *uids, *gids;
    uint32_t n_uids, n_gids;
};

struct raw_admin {
    char *group;
    struct raw_role read, write;
};

struct raw_metrics {
    char *listen;
    uint32_t tenants;
};

struct raw_service {
    struct raw_admin admin;
    struct raw_metrics metrics;
    struct deploy_config deploy;
    struct log_config log;
    char *state;
    uint32_t drain_s;
    enum log_format log_format;
    bool access_log;
};

/* folder: of the file, absolute. What is wrong is added to errors. 0 or -ENOMEM. ret: config_free gives
 * back what is in it. */
int config_service_parse(const struct yaml_document *document, const struct raw_service *raw,
                         const char *folder, struct config *ret, struct config_errors *errors);
void config_service_done(struct config *config);
