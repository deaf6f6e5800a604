/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config_jail.h"

#include <string.h>

#include "config/yaml_reader.h"

static void refuse(const struct yaml_document *document, const struct yaml_node *node,
                   const char *what, struct config_errors *errors)
{
    char names[LAYERS_TEXT_BYTES];
    layer_set possible = 0;

    for (unsigned i = 0; i < LAYERS; i++)
        if (layer_table[i].may_be_missing)
            possible |= LAYER_BIT(i);
    yaml_error(document, node, errors, "\"%.64s\" %s: expected one of %s", node->value, what,
               layers_names(possible, names, sizeof names));
}

static void take_layer(const struct yaml_document *document, const struct yaml_node *node,
                       struct jail_config *ret, struct config_errors *errors)
{
    enum jail_layer layer;

    if (layer_parse(node->value, &layer) < 0)
        refuse(document, node, "is not a layer of the jail", errors);
    else if (!layer_table[layer].may_be_missing)
        refuse(document, node, "can never be missing", errors);
    else if (ret->without & LAYER_BIT(layer))
        yaml_error(document, node, errors, "duplicate \"%s\"", node->value);
    else if (!ret->may_be_reduced && !layer_table[layer].is_no_wall)
        yaml_error(document, node, errors,
                   "\"%s\" makes the jail reduced: expected minimum: reduced beside it",
                   node->value);
    else
        ret->without |= LAYER_BIT(layer);
}

void config_jail_parse(const struct yaml_document *document, const struct raw_jail *raw,
                       struct jail_config *ret, struct config_errors *errors)
{
    const struct yaml_node *minimum = yaml_find(document, "jail.minimum");
    const struct yaml_node *list = yaml_find(document, "jail.without");

    *ret = (struct jail_config){ 0 };
    if (minimum && raw->minimum) {
        ret->may_be_reduced = strcmp(raw->minimum, "reduced") == 0;
        if (!ret->may_be_reduced && strcmp(raw->minimum, "full") != 0)
            yaml_error(document, minimum, errors, "\"%.64s\" is no level: expected full or reduced",
                       raw->minimum);
    }
    if (!list)
        ret->without = LAYERS_WITHOUT_PRESET;
    for (const struct yaml_node *node = list ? list->first_child : NULL; node; node = node->next)
        take_layer(document, node, ret, errors);
}
