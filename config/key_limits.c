/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads limits: a number within the bounds of limit_table, or `unlimited` where that is allowed;
 * and the names of the limits that are only observed. Any process; no state.
 */
#include "config/key_limits.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "config/yaml_number.h"

static uint32_t parse_one(const struct yaml_document *document, const struct yaml_node *node,
                          const struct limit_info *info, const char *refusal,
                          struct config_errors *errors)
{
    const struct yaml_number number = {
        .least = info->least,
        .most = info->most,
        .unit = info->unit[0] ? info->unit : NULL,
        .word = info->word ? info->word : "unlimited",
        .refusal = !info->may_be_unlimited ? "this limit needs a number"
                   : info->word            ? NULL
                                           : refusal,
    };
    uint32_t value = LIMIT_UNSET;

    (void) yaml_number_parse(document, node, &number, &value, errors);
    return value;
}

int key_read_limits(const struct key_reading *reading, const struct key *key,
                    const struct yaml_node *node, void *base)
{
    const char *refusal = key->refuse_unlimited ? key->refuse_unlimited(base) : NULL;
    struct limits *limits = key_at(key, base);

    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        const struct limit_info *info = &limit_table[i];
        const struct yaml_node *given = node ? yaml_find_below(node, info->name) : NULL;
        if (given)
            *limit_at(limits, info) =
                parse_one(reading->document, given, info, refusal, reading->errors);
    }
    return 0;
}

int key_read_maximum(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base)
{
    const struct limits *maximum = key_at(key, base), *defaults = key_more(key, base);

    (void) key_read_limits(reading, key, node, base);
    for (size_t i = 0; i < LIMITS_COUNT && node; i++) {
        const struct limit_info *info = &limit_table[i];
        const struct yaml_node *mapping = yaml_find_below(node->parent, "default");
        const struct yaml_node *given = mapping ? yaml_find_below(mapping, info->name) : NULL;
        uint32_t most = limit_get(maximum, info);
        if (given && most != LIMIT_UNSET && limit_get(defaults, info) > most)
            yaml_error(reading->document, given, reading->errors,
                       "%s is above the maximum: expected at most %u", given->value, most);
    }
    return 0;
}

enum {
    OBSERVE_RSS = LIMITS_COUNT, /* below: the index in limit_table */
    OBSERVE_STRIKES,
    OBSERVE_COUNT,
};
static_assert(OBSERVE_COUNT == KEY_OBSERVE_MAX, "each name once");
static_assert(OBSERVE_COUNT <= 8 * sizeof(limit_set), "a bit for each name");

static const char *observe_name(unsigned i)
{
    if (i < LIMITS_COUNT)
        return limit_table[i].name;
    return i == OBSERVE_RSS ? "rss_mib" : "strikes";
}

static bool may_be_observed(unsigned i)
{
    return i >= LIMITS_COUNT || limit_table[i].may_be_observed;
}

static unsigned observe_find(const char *name)
{
    unsigned i = 0;

    while (i < OBSERVE_COUNT && strcmp(observe_name(i), name) != 0)
        i++;
    return i;
}

static void refuse_observe(const struct yaml_document *document, const struct yaml_node *node,
                           const char *what, struct config_errors *errors)
{
    char names[512] = "";

    for (unsigned i = 0; i < OBSERVE_COUNT; i++) {
        size_t have = strlen(names);
        if (may_be_observed(i))
            (void) snprintf(names + have, sizeof names - have, "%s%s", have > 0 ? ", " : "",
                            observe_name(i));
    }
    yaml_error(document, node, errors, "\"%.64s\" %s: expected one of %s", node->value, what,
               names);
}

static void refuse_duplicate(const struct yaml_document *document, const struct yaml_node *node,
                             struct config_errors *errors)
{
    const struct yaml_node *first = node->parent->first_child;

    while (strcmp(first->value, node->value) != 0)
        first = first->next;
    yaml_error(document, node, errors, "duplicate \"%s\": it is in line %u already", node->value,
               first->line);
}

int key_read_observe(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *list, void *base)
{
    bool *others = key_more(key, base);
    limit_set seen = 0;

    for (const struct yaml_node *node = list ? list->first_child : NULL; node; node = node->next) {
        unsigned i = observe_find(node->value);
        if (i == OBSERVE_COUNT)
            refuse_observe(reading->document, node, "is unknown", reading->errors);
        else if (!may_be_observed(i))
            refuse_observe(reading->document, node, "cannot be observed", reading->errors);
        else if (seen >> i & 1U)
            refuse_duplicate(reading->document, node, reading->errors);
        else
            seen |= (limit_set) 1 << i;
    }
    *(limit_set *) key_at(key, base) = seen & (((limit_set) 1 << LIMITS_COUNT) - 1);
    others[0] = seen >> OBSERVE_RSS & 1U;
    others[1] = seen >> OBSERVE_STRIKES & 1U;
    return 0;
}

void key_print_observe(const struct key *key, const void *base, FILE *file)
{
    const char *at = base;
    limit_set seen = *(const limit_set *) (const void *) (at + key->offset);
    const bool *others = (const bool *) (at + key->more_offset);
    const char *comma = "";

    seen |= ((limit_set) others[0] << OBSERVE_RSS) | ((limit_set) others[1] << OBSERVE_STRIKES);
    (void) fputc('[', file);
    for (unsigned i = 0; i < OBSERVE_COUNT; i++)
        if (seen >> i & 1U) {
            (void) fprintf(file, "%s%s", comma, observe_name(i));
            comma = ", ";
        }
    (void) fputc(']', file);
}
