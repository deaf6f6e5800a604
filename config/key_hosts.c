/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and prints lists of rules about hosts. The texts are a tenant's or the operator's. Any process; no state.
 */
#include "config/key_hosts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* The text of a rule for messages, which are logged. */
struct shown {
    char text[200];
};

/* Leaves out a user and a password: "http://...@host". Only methods and a scheme that are sure to be that stand before them. */
static struct shown shown(const char *text)
{
    static const char *const schemes[] = { "http://", "https://" };
    const char *at = strrchr(text, '@');
    size_t methods = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ,"), before = 0;
    struct shown shown;

    if (methods > 0 && text[methods] == ' ')
        before = methods + 1;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (strncmp(text + before, schemes[i], strlen(schemes[i])) == 0) {
            before += strlen(schemes[i]);
            break;
        }
    if (at)
        (void) snprintf(shown.text, sizeof shown.text, "%.*s...%s",
                        before < sizeof shown.text / 2 ? (int) before : 0, text, at);
    else
        (void) snprintf(shown.text, sizeof shown.text, "%s", text);
    return shown;
}

static bool has_same(const struct host_rules *rules, const struct host_rule *rule)
{
    for (unsigned i = 0; i < rules->n; i++)
        if (host_rule_is_same(&rules->items[i], rule))
            return true;
    return false;
}

static int take_rule(const struct key_reading *reading, const struct yaml_node *node,
                     struct host_rules *rules)
{
    const char *reason = NULL;
    struct host_rule rule;

    int r = host_rule_parse(node->value, &rule, &reason);
    if (r == -EINVAL)
        yaml_error(reading->document, node, reading->errors, "\"%.200s\" is not a rule: %s",
                   shown(node->value).text, reason);
    if (r < 0)
        return r == -EINVAL ? 0 : r;
    if (has_same(rules, &rule))
        yaml_error(reading->document, node, reading->errors,
                   "duplicate rule \"%.200s\": expected each once", node->value);
    rule.line = node->line;
    rules->items[rules->n++] = rule;
    return 0;
}

int key_read_hosts(const struct key_reading *reading, const struct key *key,
                   const struct yaml_node *node, void *base)
{
    struct host_rules *rules = key_at(key, base);
    int r = 0;

    if (!node)
        return 0;
    rules->is_given = true;
    if (node->n_children == 0)
        return 0;
    rules->items = calloc(node->n_children, sizeof *rules->items);
    if (!rules->items)
        return -ENOMEM;
    for (const struct yaml_node *n = node->first_child; n && r == 0; n = n->next)
        r = take_rule(reading, n, rules);
    return r;
}

static bool is_bare(const char *text)
{
    const char *host_end = text[0] == '[' ? strchr(text, ']') : NULL;

    return !strpbrk(text, " /@") && !strchr(host_end ? host_end : text, ':');
}

int key_read_bare_hosts(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base)
{
    bool has_other = false;

    for (const struct yaml_node *n = node ? node->first_child : NULL; n; n = n->next)
        if (!is_bare(n->value)) {
            yaml_error(reading->document, n, reading->errors,
                       "\"%.200s\" is not a host: expected one like example.com, \"*.example.com\" "
                       "or \"*\", for it counts for all schemes, ports, methods and paths",
                       shown(n->value).text);
            has_other = true;
        }
    return has_other ? 0 : key_read_hosts(reading, key, node, base);
}

void key_print_hosts(const struct key *key, const void *value, FILE *file)
{
    const struct host_rules *rules = value;
    char text[HOST_RULE_TEXT_MAX + 1];

    (void) key;
    if (!rules->is_given) {
        (void) fputs("not set", file);
        return;
    }
    (void) fputc('[', file);
    for (unsigned i = 0; i < rules->n; i++) {
        const char *rule = host_rule_text(&rules->items[i], text);
        const char *quote = strchr(rule, ',') ? "\"" : "";
        (void) fprintf(file, "%s%s%s%s", i > 0 ? ", " : "", quote, rule, quote);
    }
    (void) fputc(']', file);
}

void key_hosts_done(const struct key *key, void *base)
{
    host_rules_done(key_at(key, base));
}
