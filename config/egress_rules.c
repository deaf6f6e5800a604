/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides about a tenant's request to a server, and says why not. The question comes out of a worker's frame. Pure.
 */
#include "config/egress_rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_PATH_BYTES 100
#define SHOWN_RULE_BYTES 100
#define SHOWN_METHOD_BYTES 32

/* A list of rules, as texts call it. */
struct list {
    const char *name;
    bool is_tenants; /* the rules are the tenant's own, and may be shown to it */
};

/* A piece of a question, printable and cut, as "%s" of a text. */
struct piece {
    char text[HOST_NAME_MAX_BYTES + 4];
};

static struct piece piece_of(struct host_text text, size_t most)
{
    size_t size = text.size < most ? text.size : most;
    struct piece piece;

    for (size_t i = 0; i < size; i++)
        piece.text[i] = text.data[i] > ' ' && text.data[i] <= '~' ? text.data[i] : '?';
    (void) snprintf(piece.text + size, sizeof piece.text - size, "%s",
                    size < text.size ? "..." : "");
    return piece;
}

static struct piece host_of(const struct host_question *question)
{
    return piece_of(question->host, HOST_NAME_MAX_BYTES);
}

/* ---- texts */

/* Writes what in the question does not fit. */
static void put_fault(enum host_verdict verdict, const struct host_question *question, char *text)
{
    const size_t size = FETCH_TEXT_BYTES;
    const struct piece host = host_of(question);

    switch (verdict) {
    case HOST_SCHEME_NOT_ALLOWED:
        (void) snprintf(text, size, "%s:// is not allowed for the host %s",
                        question->is_https ? "https" : "http", host.text);
        break;
    case HOST_PORT_NOT_ALLOWED:
        (void) snprintf(text, size, "port %u is not allowed for the host %s",
                        (unsigned) question->port, host.text);
        break;
    case HOST_METHOD_NOT_ALLOWED:
        (void) snprintf(text, size, "%s is not allowed for the host %s",
                        piece_of(question->method, SHOWN_METHOD_BYTES).text, host.text);
        break;
    case HOST_PATH_NOT_ALLOWED:
        (void) snprintf(text, size, "the path %s is not allowed for the host %s%s",
                        piece_of(question->path, SHOWN_PATH_BYTES).text, host.text,
                        host_path_is_plain(question->path)
                            ? ""
                            : ", as servers may read it in more than one way");
        break;
    case HOST_NOT_ALLOWED:
    case HOST_ALLOWED:
        (void) snprintf(text, size, "the host %s is not allowed", host.text);
        break;
    }
}

/* Adds the rule that would allow the question, for the tenant's author to write. */
static void add_expected(const struct host_question *question, char *text)
{
    const struct piece host = host_of(question);
    char rule[HOST_RULE_TEXT_MAX + 1];
    size_t have = strlen(text);

    if (strlen(host.text) != question->host.size ||
        memcmp(host.text, question->host.data, question->host.size) != 0)
        return; /* not a host that a rule can have */
    if (egress_rules_suggest(question, rule)[0])
        (void) snprintf(text + have, FETCH_TEXT_BYTES - have, ": expected \"%s\" there", rule);
}

static void put_refusal(enum host_verdict verdict, const struct host_question *question,
                        const struct list *list, const struct host_rule *rule, char *text)
{
    char words[HOST_RULE_TEXT_MAX + 1] = "";

    if (verdict == HOST_NOT_ALLOWED)
        (void) snprintf(text, FETCH_TEXT_BYTES, "the host %s is not in %s", host_of(question).text,
                        list->name);
    else
        put_fault(verdict, question, text);
    size_t have = strlen(text);
    if (rule && !list->is_tenants) {
        (void) snprintf(text + have, FETCH_TEXT_BYTES - have, ": %s, does not say so", list->name);
    } else if (rule) {
        (void) host_rule_text(rule, words);
        (void) snprintf(text + have, FETCH_TEXT_BYTES - have, ": %s has \"%.*s%s\"", list->name,
                        SHOWN_RULE_BYTES, words, strlen(words) > SHOWN_RULE_BYTES ? "..." : "");
    }
    if (list->is_tenants && verdict < HOST_METHOD_NOT_ALLOWED)
        add_expected(question, text);
}

/* ---- the decision */

/* Returns whether the list allows the question; the text is written if not. */
static bool list_allows(const struct host_rules *rules, const struct list *list,
                        const struct host_question *question, char *text)
{
    const struct host_rule *rule;
    enum host_verdict verdict = host_rules_ask(rules->items, rules->n, question, &rule);

    if (verdict != HOST_ALLOWED)
        put_refusal(verdict, question, list, rule, text);
    return verdict == HOST_ALLOWED;
}

static bool cordon_allows(const struct cordon_config *cordon, const struct host_question *question,
                          char *text)
{
    char name[128];

    if (cordon->hosts.n == 0) {
        (void) snprintf(text, FETCH_TEXT_BYTES, "cordon \"%.63s\" allows no fetch", cordon->name);
        return false;
    }
    (void) snprintf(name, sizeof name, "allowed_hosts of cordon \"%.63s\", the operator's list",
                    cordon->name);
    const struct list list = { name, false };
    return list_allows(&cordon->hosts, &list, question, text);
}

static enum fetch_verdict refuse(enum fetch_verdict verdict, char *text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static enum fetch_verdict refuse(enum fetch_verdict verdict, char *text, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    (void) vsnprintf(text, FETCH_TEXT_BYTES, format, values);
    va_end(values);
    return verdict;
}

enum fetch_verdict egress_rules_ask(const struct config *config, const struct cordon_config *cordon,
                                    const struct manifest *manifest,
                                    const struct host_question *question,
                                    char text[static FETCH_TEXT_BYTES])
{
    static const struct list tenants = { "allowed_hosts of skep.yaml", true };
    static const struct list allow = { "egress.allow, the operator's list", false };
    const struct egress_config *egress = &config->egress;

    if (!egress->fetch)
        return refuse(FETCH_OFF, text,
                      "this skepd has no way out: its operator has to write egress: {} in "
                      "skepd.yaml, without fetch: off");
    if (question->port == 0 || host_port_is_bad(question->port))
        return refuse(FETCH_BAD_PORT, text, "port %u is one that browsers block, too",
                      (unsigned) question->port);
    if (!list_allows(&manifest->hosts, &tenants, question, text))
        return FETCH_NOT_IN_MANIFEST;
    if (host_rules_find_host(&egress->deny, question->host))
        return refuse(FETCH_DENIED, text, "egress.deny, the operator's list, denies the host %s",
                      host_of(question).text);
    if (cordon->hosts.is_given) {
        if (!cordon_allows(cordon, question, text))
            return FETCH_NOT_IN_CORDON;
    } else if (egress->allow.is_given && !list_allows(&egress->allow, &allow, question, text)) {
        return FETCH_NOT_IN_ALLOW;
    }
    text[0] = '\0';
    return FETCH_ALLOWED;
}

struct address_rules egress_rules_addresses(const struct config *config,
                                            const struct cordon_config *cordon)
{
    const struct egress_addresses *named =
        cordon->addresses.is_given ? &cordon->addresses : &config->egress.addresses;
    const struct egress_addresses *denied = &config->egress.denied;

    return (struct address_rules){ named->prefixes, named->n, denied->prefixes, denied->n };
}

const char *egress_rules_suggest(const struct host_question *question,
                                 char rule[static HOST_RULE_TEXT_MAX + 1])
{
    char nothing[] = "";
    struct host_rule narrow = {
        .is_https = question->is_https, .port = question->port, .methods = nothing, .path = nothing
    };

    rule[0] = '\0';
    if (question->host.size == 0 || question->host.size > HOST_NAME_MAX_BYTES ||
        question->port == 0 || host_port_is_bad(question->port))
        return rule;
    memcpy(narrow.host, question->host.data, question->host.size);
    return host_rule_text(&narrow, rule);
}

const char *fetch_verdict_name(enum fetch_verdict verdict)
{
    static const char *const names[FETCH_VERDICTS] = {
        [FETCH_ALLOWED] = "allowed",    [FETCH_OFF] = "off",
        [FETCH_BAD_PORT] = "port",      [FETCH_NOT_IN_MANIFEST] = "manifest",
        [FETCH_DENIED] = "deny",        [FETCH_NOT_IN_CORDON] = "cordon",
        [FETCH_NOT_IN_ALLOW] = "allow",
    };

    return names[verdict];
}
