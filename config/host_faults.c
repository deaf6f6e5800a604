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
static enum address_kind refused_kind(const char *host, const struct address_rules *rules)
{
    struct sockaddr_storage address;
    enum address_kind kind = ADDRESS_PUBLIC;

    if (host_name_is_localhost(host)) {
        enum address_kind other = refused_kind("[::1]", rules);
        return other != ADDRESS_PUBLIC ? other : refused_kind("127.0.0.1", rules);
    }
    if (!read_address(host, &address) ||
        address_is_reachable((const struct sockaddr *) &address, rules, &kind))
        return ADDRESS_PUBLIC;
    return kind;
}

/* Writes the fault of the rule's host as an address. */
static void check_address(const struct host_rule *rule, const struct config *config,
                          const struct cordon_config *cordon, char *text)
{
    struct address_rules rules = { .n_named = 0 };
    char key[96] = "egress.addresses";

    if (config)
        rules = egress_rules_addresses(config, cordon);
    if (config && cordon->addresses.is_given)
        (void) snprintf(key, sizeof key, "cordons.%.63s.addresses", cordon->name);
    enum address_kind kind = refused_kind(rule->host, &rules);
    if (kind == ADDRESS_DENIED)
        (void) snprintf(text, HOST_FAULT_BYTES,
                        "the host is an address that egress.deny_addresses of skepd.yaml has: "
                        "expected another one");
    else if (kind != ADDRESS_PUBLIC)
        (void) snprintf(text, HOST_FAULT_BYTES,
                        "the host is %s: expected a public one, or one that the operator names in "
                        "%s of skepd.yaml",
                        address_kind_text(kind), key);
}

/* Writes that no rule of the operator's list allows anything that the rule does. */
static void check_list(const struct host_rule *rule, const struct host_rules *rules,
                       const char *list, char *text)
{
    enum host_verdict best = HOST_NOT_ALLOWED;
    char port[24] = "any port";

    for (unsigned i = 0; i < rules->n && best != HOST_ALLOWED; i++) {
        enum host_verdict verdict = host_rule_meets(rule, &rules->items[i]);
        if (verdict > best)
            best = verdict;
    }
    if (rule->port != HOST_RULE_PORT_ANY)
        (void) snprintf(port, sizeof port, "port %u", (unsigned) rule->port);
    switch (best) {
    case HOST_NOT_ALLOWED:
        (void) snprintf(text, HOST_FAULT_BYTES, "%s in skepd.yaml does not have the host%s", list,
                        rule->is_wildcard ? "s" : "");
        break;
    case HOST_SCHEME_NOT_ALLOWED:
    case HOST_PORT_NOT_ALLOWED:
        (void) snprintf(text, HOST_FAULT_BYTES, "%s has no rule for %s and %s", list,
                        rule->is_https ? "https" : "http", port);
        break;
    case HOST_METHOD_NOT_ALLOWED:
        (void) snprintf(text, HOST_FAULT_BYTES, "%s has no rule for a method of it", list);
        break;
    case HOST_PATH_NOT_ALLOWED:
        (void) snprintf(text, HOST_FAULT_BYTES, "%s has no rule for a path of it", list);
        break;
    case HOST_ALLOWED:
        break;
    }
}

/* Writes what in the operator's lists stands against the rule. */
static void check_lists(const struct host_rule *rule, const struct config *config,
                        const struct cordon_config *cordon, char *text)
{
    const struct host_rules *deny = &config->egress.deny;

    for (unsigned i = 0; i < deny->n; i++)
        if (host_rule_covers_host(&deny->items[i], rule)) {
            (void) snprintf(text, HOST_FAULT_BYTES, "egress.deny of skepd.yaml has the host%s",
                            rule->is_wildcard ? "s" : "");
            return;
        }
    if (cordon->hosts.is_given)
        check_list(rule, &cordon->hosts, "allowed_hosts of its cordon", text);
    else if (config->egress.allow.is_given)
        check_list(rule, &config->egress.allow, "egress.allow", text);
}

const char *host_rule_fault(const struct host_rule *rule, const struct config *config,
                            const struct cordon_config *cordon, char text[static HOST_FAULT_BYTES])
{
    text[0] = '\0';
    if (config && !config->egress.fetch) {
        (void) snprintf(text, HOST_FAULT_BYTES, "%s", no_way_out);
        return text;
    }
    if (config)
        check_lists(rule, config, cordon, text);
    if (!text[0])
        check_address(rule, config, cordon, text);
    return text;
}

/* Returns the addresses of a host on loopback, for people; NULL: it is another host. */
static const char *loopback_of(const char *host)
{
    const struct address_rules none = { .n_named = 0 };

    if (host_name_is_localhost(host))
        return "127.0.0.1 and ::1";
    if (refused_kind(host, &none) != ADDRESS_LOOPBACK)
        return NULL;
    return host[0] == '[' ? "::1" : host;
}

static void note_host(const struct manifest *manifest, const struct host_rule *rule,
                      const struct config *config, const struct cordon_config *cordon,
                      struct config_errors *notes)
{
    const char *address = config ? NULL : loopback_of(rule->host);
    char fault[HOST_FAULT_BYTES], text[HOST_RULE_TEXT_MAX + 1];

    (void) host_rule_text(rule, text);
    if (address) /* skep dev names these addresses */
        config_errors_add(notes, manifest->file, rule->line,
                          "allowed_hosts: \"%.200s\" is reached by skep dev alone; on a service "
                          "the operator must name %s in egress.addresses",
                          text, address);
    else if (host_rule_fault(rule, config, cordon, fault)[0])
        config_errors_add(notes, manifest->file, rule->line,
                          "allowed_hosts: \"%.200s\" allows nothing: %s", text, fault);
}

void manifest_note_hosts(const struct manifest *manifest, const struct config *config,
                         struct config_errors *notes)
{
    const struct cordon_config *cordon =
        config ? config_find_cordon(config, manifest->cordon) : NULL;

    if (manifest->hosts.n == 0 || (config && !cordon))
        return;
    if (config && !config->egress.fetch) {
        config_errors_add(notes, manifest->file, manifest->hosts.items[0].line, "allowed_hosts: %s",
                          no_way_out);
        return;
    }
    for (unsigned i = 0; i < manifest->hosts.n; i++)
        note_host(manifest, &manifest->hosts.items[i], config, cordon, notes);
}
