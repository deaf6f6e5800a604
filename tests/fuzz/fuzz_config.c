/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the same bytes as skepd.yaml and as skep.yaml, and each of their lines as a route. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/egress_rules.h"
#include "config/host_faults.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_routes(const char *text, size_t size)
{
    _cleanup_free_ char *copy = strndup(text, size < 4096 ? size : 4096);
    char *rest = copy;

    for (const char *line; copy && (line = strsep(&rest, "\n"));) {
        struct route_pattern pattern = { 0 };
        const char *reason = NULL;
        if (route_pattern_parse(line, &pattern, &reason) == 0)
            route_pattern_done(&pattern);
    }
}

/* Asks each rule of the tenant for what it names. */
static void ask_rules(const struct config *config, const struct manifest *manifest)
{
    char text[FETCH_TEXT_BYTES];

    for (unsigned i = 0; i < manifest->hosts.n; i++) {
        const struct host_rule *rule = &manifest->hosts.items[i];
        const struct host_question question = {
            .is_https = rule->is_https,
            .port = rule->port,
            .method = { rule->methods, strcspn(rule->methods, ",") },
            .host = { rule->host, strlen(rule->host) },
            .path = { rule->path, strlen(rule->path) },
        };
        enum fetch_verdict verdict =
            egress_rules_ask(config, config->cordons[0], manifest, &question, text);
        if ((verdict == FETCH_ALLOWED) != (text[0] == '\0'))
            abort();
    }
}

/* No text is both files, so each is checked against one of these. */
static struct config *any_config;
static struct manifest *any_manifest;

static void read_others(void)
{
    static const char config[] =
        "egress: { deny: [d.test], addresses: [10.0.0.0/8] }\n"
        "cordons: [{ name: default }, { name: a, allowed_hosts: [a.test] }]\n";
    static const char manifest[] = "name: a\nmain: a.js\n"
                                   "allowed_hosts: [\"*:*\", a.test, \"http://10.0.0.7/v1\"]\n";
    struct config_errors errors = { 0 };

    if (any_config)
        return;
    if (config_parse("c", config, sizeof config - 1, &any_config, &errors) < 0 ||
        manifest_parse("m", manifest, sizeof manifest - 1, &any_manifest, &errors) < 0)
        abort();
}

static void check_both(const struct config *config, const struct manifest *manifest)
{
    struct config_errors errors = { 0 };

    (void) manifest_check(manifest, config, &errors);
    manifest_note_hosts(manifest, config, &errors);
    manifest_note_hosts(manifest, NULL, &errors);
    config_errors_done(&errors);
    ask_rules(config, manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;
    struct config_errors errors = { 0 };
    struct config *config = NULL;
    struct manifest *manifest = NULL;

    read_others();
    int r = config_parse("/etc/skep/skepd.yaml", text, size, &config, &errors);
    if ((r < 0) != (errors.count > 0))
        abort(); /* silent failure, or success with errors */
    config_errors_done(&errors);
    r = manifest_parse("/srv/a/skep.yaml", text, size, &manifest, &errors);
    if ((r < 0) != (errors.count > 0))
        abort();
    config_errors_done(&errors);
    if (config)
        check_both(config, any_manifest);
    if (manifest)
        check_both(any_config, manifest);
    (void) config_free(config);
    (void) manifest_free(manifest);
    try_routes(text, size);
    return 0;
}
