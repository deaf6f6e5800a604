/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of skepd.yaml: keys and types. Ranges and everything that needs two values at once
 * are in config.c. Const data.
 */
#include "config/config_schema.h"

#include "config/yaml_number.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT CYAML_FLAG_POINTER

static const cyaml_schema_value_t path_text = {
    CYAML_VALUE_STRING(TEXT, char *, 1, PATH_TEXT_MAX),
};
static const cyaml_schema_value_t id_value = {
    CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t),
};

static const cyaml_schema_field_t role_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("uids", TEXT | OPTIONAL, struct raw_role, uids, n_uids, &id_value, 0,
                               ADMIN_IDS_MAX),
    CYAML_FIELD_SEQUENCE_COUNT("gids", TEXT | OPTIONAL, struct raw_role, gids, n_gids, &id_value, 0,
                               ADMIN_IDS_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t admin_fields[] = {
    CYAML_FIELD_STRING_PTR("group", TEXT | OPTIONAL, struct raw_admin, group, 1, YAML_KEY_MAX),
    CYAML_FIELD_MAPPING("read", OPTIONAL, struct raw_admin, read, role_fields),
    CYAML_FIELD_MAPPING("write", OPTIONAL, struct raw_admin, write, role_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t metrics_fields[] = {
    CYAML_FIELD_STRING_PTR("listen", TEXT, struct raw_metrics, listen, 1, PATH_TEXT_MAX),
    CYAML_FIELD_UINT("tenants", OPTIONAL, struct raw_metrics, tenants),
    CYAML_FIELD_END,
};

#define DEPLOY_FIELD(name) CYAML_FIELD_UINT(#name, OPTIONAL, struct deploy_config, name)

static const cyaml_schema_field_t deploy_fields[] = {
    DEPLOY_FIELD(keep),          DEPLOY_FIELD(watch_s), DEPLOY_FIELD(errors),
    DEPLOY_FIELD(error_percent), CYAML_FIELD_END,
};

#define LOG_FIELD(name) CYAML_FIELD_UINT(#name, OPTIONAL, struct log_config, name)

static const cyaml_schema_field_t log_fields[] = {
    LOG_FIELD(tenant_lines), LOG_FIELD(tenant_kib),   LOG_FIELD(lines),
    LOG_FIELD(kib),          LOG_FIELD(access_lines), CYAML_FIELD_END,
};

#define HTTP_FIELD(name) CYAML_FIELD_UINT(#name, OPTIONAL, struct raw_http, limits.name)

static const cyaml_schema_field_t http_fields[] = {
    HTTP_FIELD(header_bytes),
    HTTP_FIELD(header_count),
    HTTP_FIELD(connections),
    HTTP_FIELD(connections_per_ip),
    HTTP_FIELD(header_timeout_ms),
    HTTP_FIELD(body_idle_ms),
    HTTP_FIELD(keepalive_ms),
    HTTP_FIELD(write_idle_ms),
    HTTP_FIELD(half_close_ms),
    HTTP_FIELD(min_bytes_per_s),
    CYAML_FIELD_BOOL("server_timing", OPTIONAL, struct raw_http, server_timing),
    CYAML_FIELD_STRING_PTR("default_host", TEXT | OPTIONAL, struct raw_http, default_host, 1,
                           YAML_VALUE_MAX),
    HTTP_FIELD(body_buffer_kib),
    HTTP_FIELD(buffer_mib),
    HTTP_FIELD(share_percent),
    CYAML_FIELD_SEQUENCE_COUNT("proxies", TEXT | OPTIONAL, struct raw_http, proxies, n_proxies,
                               &path_text, 0, PROXIES_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t observe_value = {
    CYAML_VALUE_STRING(TEXT, char *, 1, YAML_KEY_MAX),
};

static const cyaml_schema_field_t limits_fields[] = {
    YAML_FIELD_LIMITS("default", struct raw_limits_pair, defaults),
    YAML_FIELD_LIMITS("maximum", struct raw_limits_pair, maximum),
    CYAML_FIELD_SEQUENCE_COUNT("observe", TEXT | OPTIONAL, struct raw_limits_pair, observe,
                               n_observe, &observe_value, 0, YAML_OBSERVE_MAX),
    CYAML_FIELD_END,
};

#define CORDON_NUMBER(name) \
    CYAML_FIELD_STRING_PTR(#name, TEXT | OPTIONAL, struct raw_cordon, name, 1, YAML_NUMBER_TEXT_MAX)

static const cyaml_schema_field_t cordon_fields[] = {
    CYAML_FIELD_STRING_PTR("name", TEXT, struct raw_cordon, name, 1, YAML_VALUE_MAX),
    CORDON_NUMBER(workers),
    CORDON_NUMBER(solitary),
    CYAML_FIELD_STRING_PTR("jit", TEXT | OPTIONAL, struct raw_cordon, jit, 1, YAML_KEY_MAX),
    CYAML_FIELD_BOOL("spare", OPTIONAL, struct raw_cordon, spare),
    CYAML_FIELD_BOOL("allow_unlimited", OPTIONAL, struct raw_cordon, allow_unlimited),
    CYAML_FIELD_BOOL("calls_across", OPTIONAL, struct raw_cordon, calls_across),
    CORDON_NUMBER(caller_percent),
    CORDON_NUMBER(rss_mib),
    CORDON_NUMBER(drift_mib),
    CORDON_NUMBER(cpu_weight),
    CORDON_NUMBER(retire_after_s),
    CORDON_NUMBER(retire_after_requests),
    CORDON_NUMBER(strikes),
    CORDON_NUMBER(quarantine_s),
    CYAML_FIELD_MAPPING("limits", OPTIONAL, struct raw_cordon, limits, limits_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t cordon_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_cordon, cordon_fields),
};

static const cyaml_strval_t log_levels[] = {
    { "error", LOG_LEVEL_ERROR },
    { "warning", LOG_LEVEL_WARNING },
    { "info", LOG_LEVEL_INFO },
    { "debug", LOG_LEVEL_DEBUG },
};

static const cyaml_strval_t log_formats[] = {
    { "auto", LOG_FORMAT_AUTO },
    { "human", LOG_FORMAT_HUMAN },
    { "json", LOG_FORMAT_JSON },
    { "journal", LOG_FORMAT_JOURNAL },
};

static const cyaml_schema_value_t layer_value = {
    CYAML_VALUE_STRING(TEXT, char *, 1, YAML_KEY_MAX),
};

static const cyaml_schema_field_t jail_fields[] = {
    CYAML_FIELD_STRING_PTR("minimum", TEXT | OPTIONAL, struct raw_jail, minimum, 1, YAML_KEY_MAX),
    CYAML_FIELD_SEQUENCE_COUNT("without", TEXT | OPTIONAL, struct raw_jail, without, n_without,
                               &layer_value, 0, LAYERS),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("listen", TEXT | OPTIONAL, struct raw_config, listen, n_listen,
                               &path_text, 1, LISTEN_MAX),
    CYAML_FIELD_STRING_PTR("admin_socket", TEXT | OPTIONAL, struct raw_config, admin_socket, 1,
                           PATH_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("tenants", TEXT | OPTIONAL, struct raw_config, tenants, 1,
                           PATH_TEXT_MAX),
    CYAML_FIELD_ENUM("log_level", CYAML_FLAG_STRICT | OPTIONAL, struct raw_config, log_level,
                     log_levels, CYAML_ARRAY_LEN(log_levels)),
    CYAML_FIELD_ENUM("log_format", CYAML_FLAG_STRICT | OPTIONAL, struct raw_config,
                     service.log_format, log_formats, CYAML_ARRAY_LEN(log_formats)),
    CYAML_FIELD_BOOL("access_log", OPTIONAL, struct raw_config, service.access_log),
    CYAML_FIELD_MAPPING("log", OPTIONAL, struct raw_config, service.log, log_fields),
    CYAML_FIELD_STRING_PTR("state", TEXT | OPTIONAL, struct raw_config, service.state, 1,
                           PATH_TEXT_MAX),
    CYAML_FIELD_UINT("drain_s", OPTIONAL, struct raw_config, service.drain_s),
    CYAML_FIELD_MAPPING("admin", OPTIONAL, struct raw_config, service.admin, admin_fields),
    CYAML_FIELD_MAPPING("metrics", OPTIONAL, struct raw_config, service.metrics, metrics_fields),
    CYAML_FIELD_MAPPING("deploy", OPTIONAL, struct raw_config, service.deploy, deploy_fields),
    CYAML_FIELD_MAPPING("jail", OPTIONAL, struct raw_config, jail, jail_fields),
    CYAML_FIELD_MAPPING("http", OPTIONAL, struct raw_config, http, http_fields),
    CYAML_FIELD_MAPPING("limits", OPTIONAL, struct raw_config, limits, limits_fields),
    CYAML_FIELD_SEQUENCE_COUNT("cordons", TEXT | OPTIONAL, struct raw_config, cordons, n_cordons,
                               &cordon_value, 1, CORDONS_MAX),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields),
};
