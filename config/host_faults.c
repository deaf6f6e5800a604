/* SPDX-License-Identifier: Apache-2.0 */
#include "config/host_faults.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/address_kind.h"
#include "config/egress_rules.h"

static const char no_way_out[] =
    "this skepd has no way out: expected egress: {} in its skepd.yaml, without fetch: off";

/* Reads a host that is an address, as host_name_parse writes it. */
static bool read_address(const char *host, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    char inner[INET6_ADDRSTRLEN + 1];

    *ret_address = (struct sockaddr_storage){ 0 };
    if (host[0] != '[') {
        if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
            return false;
        memcpy(ret_address, &in, sizeof in);
        return true;
    }
    (void) snprintf(inner, sizeof inner, "%.*s", (int) strcspn(host + 1, "]"), host + 1);
    if (inet_pton(AF_INET6, inner, &in6.sin6_addr) != 1)
        return false;
    memcpy(ret_address, &in6, sizeof in6);
    return true;
}

/* Returns the kind of the host's address if that may not be reached; ADDRESS_PUBLIC if it may, or if the host is a name. */
static enum address_kind refused_kind(const char *host, const struct address_prefix *named,
                                      size_t n_named)
{
    struct sockaddr_storage address;
    enum address_kind kind = ADDRESS_PUBLIC;

    if (host_name_is_localhost(host)) {
        enum address_kind other = refused_kind("[::1]", named, n_named);
        return other != ADDRESS_PUBLIC ? other : refused_kind("127.0.0.1", named, n_named);
    }
    if (!read_address(host, &address) ||
        address_is_reachable((const struct sockaddr *) &address, named, n_named, &kind))
        return ADDRESS_PUBLIC;
    return kind;
}

/* Writes the fault of the rule's host as an address. */
static void check_address(const struct host_rule *rule, const struct config *config,
                          const struct cordon_config *cordon, char *text)
{
    const struct address_prefix *named = NULL;
    size_t n_named = 0;

    if (config)
        named = egress_rules_named(config, cordon, &n_named);
    enum address_kind kind = refused_kind(rule->host, named, n_named);
    if (kind != ADDRESS_PUBLIC)
        (void) snprintf(text, HOST_FAULT_BYTES,
                        "the host is %s: expected a public one, or one that the operator names in "
                        "egress.addresses of skepd.yaml",
                        address_kind_text(kind));
}

/* Returns the operator's list that has no rule for the host; NULL if there is none. */
static const char *missing_in(struct host_text host, const struct config *config,
                              const struct cordon_config *cordon)
{
    if (cordon->hosts.is_given)
        return host_rules_find_host(&cordon->hosts, host) ? NULL : "allowed_hosts of its cordon";
    return !config->egress.allow.is_given || host_rules_find_host(&config->egress.allow, host)
               ? NULL
               : "egress.allow";
}

const char *host_rule_fault(const struct host_rule *rule, const struct config *config,
                            const struct cordon_config *cordon, char text[static HOST_FAULT_BYTES])
{
    const struct host_text host = { rule->host, strlen(rule->host) };

    text[0] = '\0';
    if (config && !config->egress.fetch) {
        (void) snprintf(text, HOST_FAULT_BYTES, "%s", no_way_out);
        return text;
    }
    if (config && !rule->is_wildcard) { /* some hosts of a wildcard may be in the lists */
        const char *list = missing_in(host, config, cordon);
        if (host_rules_find_host(&config->egress.deny, host))
            (void) snprintf(text, HOST_FAULT_BYTES, "egress.deny of skepd.yaml has the host");
        else if (list)
            (void) snprintf(text, HOST_FAULT_BYTES, "%s in skepd.yaml does not have the host",
                            list);
    }
    if (!text[0])
        check_address(rule, config, cordon, text);
    return text;
}

void manifest_note_hosts(const struct manifest *manifest, const struct config *config,
                         struct config_errors *notes)
{
    const struct cordon_config *cordon =
        config ? config_find_cordon(config, manifest->cordon) : NULL;
    char fault[HOST_FAULT_BYTES], rule[HOST_RULE_TEXT_MAX + 1];

    if (manifest->hosts.n == 0 || (config && !cordon))
        return;
    if (config && !config->egress.fetch) {
        config_errors_add(notes, manifest->file, manifest->hosts.items[0].line, "allowed_hosts: %s",
                          no_way_out);
        return;
    }
    for (unsigned i = 0; i < manifest->hosts.n; i++)
        if (host_rule_fault(&manifest->hosts.items[i], config, cordon, fault)[0])
            config_errors_add(notes, manifest->file, manifest->hosts.items[i].line,
                              "allowed_hosts: \"%.200s\" allows nothing: %s",
                              host_rule_text(&manifest->hosts.items[i], rule), fault);
}
