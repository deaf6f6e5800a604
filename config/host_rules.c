/* SPDX-License-Identifier: Apache-2.0 */
#include "config/host_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int host_rules_copy(const struct host_rules *from, struct host_rules *ret)
{
    *ret = (struct host_rules){ .is_given = from->is_given };
    if (from->n == 0)
        return 0;
    ret->items = calloc(from->n, sizeof *ret->items);
    if (!ret->items)
        return -ENOMEM;
    for (unsigned i = 0; i < from->n; i++) {
        struct host_rule *rule = &ret->items[ret->n++];
        *rule = from->items[i];
        rule->methods = strdup(from->items[i].methods);
        rule->path = strdup(from->items[i].path);
        if (!rule->methods || !rule->path)
            return -ENOMEM;
    }
    return 0;
}

bool host_rules_are_same(const struct host_rules *a, const struct host_rules *b)
{
    if (a->n != b->n)
        return false;
    for (unsigned i = 0; i < a->n; i++)
        if (!host_rule_is_same(&a->items[i], &b->items[i]))
            return false;
    return true;
}

const struct host_rule *host_rules_find_host(const struct host_rules *rules, struct host_text host)
{
    for (unsigned i = 0; i < rules->n; i++)
        if (host_rule_has_host(&rules->items[i], host))
            return &rules->items[i];
    return NULL;
}

void host_rules_done(struct host_rules *rules)
{
    for (unsigned i = 0; i < rules->n; i++)
        host_rule_done(&rules->items[i]);
    free(rules->items);
    *rules = (struct host_rules){ 0 };
}
