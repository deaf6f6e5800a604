/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd.yaml as libcyaml loads it: what is written there, before defaults and checks. Private to
 * config.c.
 */
#pragma once

#include "common/log.h"
#include "config/config.h"
#include "config/config_jail.h"
#include "config/config_service.h"
#include "config/yaml_limits.h"

#define LISTEN_MAX 64
#define CORDONS_MAX 64
#define PROXIES_MAX 256
#define ADMIN_IDS_MAX 64
#define PATH_TEXT_MAX 4000

struct raw_limits_pair {
    struct raw_limits defaults, maximum;
    char **observe;
    uint32_t n_observe;
};

struct raw_cordon {
    char *name;
    /* A number or a word: yaml_number.h. */
    char *workers, *solitary, *rss_mib, *drift_mib, *cpu_weight, *retire_after_s,
        *retire_after_requests, *strikes, *quarantine_s, *caller_percent;
    char *jit; /* a switch or a word: take_jit */
    bool spare, allow_unlimited, calls_across;
    struct raw_limits_pair limits;
};

struct raw_http {
    struct http_config limits; /* first, so that its keys have the same place in both */
    char *default_host;
    char **proxies;
    uint32_t n_proxies;
    bool server_timing;
};

struct raw_config {
    char **listen;
    uint32_t n_listen;
    char *admin_socket, *tenants;
    enum log_level log_level;
    struct raw_service service;
    struct raw_jail jail;
    struct raw_http http;
    struct raw_limits_pair limits;
    struct raw_cordon *cordons;
    uint32_t n_cordons;
};

extern const cyaml_schema_value_t config_schema;
