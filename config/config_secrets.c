/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys `secrets.…` of skepd.yaml: where the key is, and which secrets the operator gives. Values are read by
 * supervisor/secrets/, never here. skepd at start and at a reload; `skep check`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/config_keys.h"
#include "config/names.h"

#define PATH_TEXT_MAX 4000
#define NAME_TEXT_MAX 255

/* A credential is a file in one folder: its name leads nowhere else. */
static bool is_credential(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

static void check_credential(const struct key_reading *reading, const struct yaml_node *node)
{
    if (!is_credential(node->value))
        yaml_error(reading->document, node, reading->errors,
                   "\"%s\" is not the name of a credential: expected one of LoadCredential= in the "
                   "unit, without \"/\"",
                   node->value);
}

int config_read_credential(const struct key_reading *reading, const struct key *key,
                           const struct yaml_node *node, void *base)
{
    const struct config *config = base;

    if (node)
        check_credential(reading, node);
    if (node && config->secrets.key)
        yaml_error(reading->document, node, reading->errors,
                   "there is a secrets.key, too: expected one of both");
    return key_read_kind(reading, key, node, base);
}

/* clang-format off */
static const struct key given_rows[] = {
    { .name = "tenant", .kind = KEY_TEXT, .is_required = true, .reload = RELOAD_RESTART,
      .most = NAME_TEXT_MAX, .help = "name of the tenant" },
    { .name = "name", .kind = KEY_TEXT, .is_required = true, .reload = RELOAD_RESTART,
      .most = NAME_TEXT_MAX, .help = "name of the secret, as in the tenant's skep.yaml" },
    { .name = "file", .kind = KEY_TEXT, .is_choice = true, .reload = RELOAD_RESTART,
      .most = PATH_TEXT_MAX, .help = "file with the value" },
    { .name = "credential", .kind = KEY_TEXT, .is_choice = true, .reload = RELOAD_RESTART,
      .most = NAME_TEXT_MAX, .help = "systemd credential (LoadCredential=) with the value" },
    { .name = "environment", .kind = KEY_TEXT, .is_choice = true, .reload = RELOAD_RESTART,
      .most = NAME_TEXT_MAX, .help = "variable in the environment of skepd with the value" },
};
/* clang-format on */

const struct key_table given_secret_keys = { given_rows, ARRAY_LEN(given_rows) };

/* Returns the entry's source, and its node. */
static enum secret_source find_source(const struct yaml_node *entry,
                                      const struct yaml_node **ret_node)
{
    static const char *const names[] = {
        [SECRET_FILE] = "file",
        [SECRET_CREDENTIAL] = "credential",
        [SECRET_VARIABLE] = "environment",
    };
    enum secret_source source = SECRET_FILE;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct yaml_node *node = yaml_find_below(entry, names[i]);
        if (node) {
            source = (enum secret_source) i;
            *ret_node = node;
        }
    }
    return source;
}

static bool is_given_twice(const struct secrets_config *secrets, const char *tenant,
                           const char *name)
{
    for (unsigned i = 0; i < secrets->n_given; i++)
        if (strcmp(secrets->given[i].tenant, tenant) == 0 &&
            strcmp(secrets->given[i].name, name) == 0)
            return true;
    return false;
}

static void check_names(const struct key_reading *reading, const struct secrets_config *secrets,
                        const struct yaml_node *tenant, const struct yaml_node *name)
{
    if (!name_is_valid(tenant->value))
        yaml_error(reading->document, tenant, reading->errors, "\"%s\" is not a tenant's name: %s",
                   tenant->value, name_expected);
    if (!secret_name_is_valid(name->value))
        yaml_error(reading->document, name, reading->errors, "\"%s\" is not a name: %s",
                   name->value, secret_name_expected);
    if (is_given_twice(secrets, tenant->value, name->value))
        yaml_error(reading->document, name, reading->errors,
                   "duplicate secret \"%s\" of %s: expected each once", name->value, tenant->value);
}

static int read_given(const struct key_reading *reading, const struct yaml_node *entry,
                      struct secrets_config *secrets)
{
    const struct yaml_node *tenant = yaml_find_below(entry, "tenant"),
                           *name = yaml_find_below(entry, "name"), *place = NULL;
    enum secret_source source = find_source(entry, &place);

    check_names(reading, secrets, tenant, name);
    if (source == SECRET_CREDENTIAL)
        check_credential(reading, place);
    if (source == SECRET_VARIABLE && !env_name_is_valid(place->value))
        yaml_error(reading->document, place, reading->errors,
                   "\"%s\" is not the name of a variable", place->value);
    struct given_secret *given = &secrets->given[secrets->n_given++];
    given->tenant = strdup(tenant->value);
    given->name = strdup(name->value);
    given->source = source;
    given->place =
        source == SECRET_FILE ? path_absolute(reading->folder, place->value) : strdup(place->value);
    return given->tenant && given->name && given->place ? 0 : -ENOMEM;
}

int config_read_given(const struct key_reading *reading, const struct key *key,
                      const struct yaml_node *node, void *base)
{
    struct secrets_config *secrets = &((struct config *) base)->secrets;
    int r = 0;

    (void) key;
    if (!node || node->n_children == 0)
        return 0;
    secrets->given = calloc(node->n_children, sizeof *secrets->given);
    if (!secrets->given)
        return -ENOMEM;
    for (const struct yaml_node *n = node->first_child; n && r == 0; n = n->next)
        r = read_given(reading, n, secrets);
    return r;
}

void config_print_given(const struct key *key, const void *base, FILE *file)
{
    static const char *const names[] = {
        [SECRET_FILE] = "file",
        [SECRET_CREDENTIAL] = "credential",
        [SECRET_VARIABLE] = "environment",
    };
    const struct secrets_config *secrets = &((const struct config *) base)->secrets;

    (void) key;
    if (secrets->n_given == 0)
        (void) fputs("not set", file);
    for (unsigned i = 0; i < secrets->n_given; i++)
        (void) fprintf(file, "%s%s %s (%s %s)", i > 0 ? ", " : "", secrets->given[i].tenant,
                       secrets->given[i].name, names[secrets->given[i].source],
                       secrets->given[i].place);
}

void config_secrets_done(struct secrets_config *secrets)
{
    for (unsigned i = 0; i < secrets->n_given; i++) {
        free(secrets->given[i].tenant);
        free(secrets->given[i].name);
        free(secrets->given[i].place);
    }
    free(secrets->given);
    secrets->given = NULL;
    secrets->n_given = 0;
}
