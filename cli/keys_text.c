/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/keys_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/config_keys.h"
#include "config/manifest_keys.h"

const struct key_file key_files[2] = {
    { "skepd.yaml", "the configuration of skepd, by its operator", &config_keys },
    { "skep.yaml", "a tenant", &manifest_keys },
};

static void print_range(uint32_t least, uint32_t most, const char *unit, const char *word)
{
    (void) printf("%" PRIu32 " to %" PRIu32 "%s%s%s%s", least, most, unit && *unit ? " " : "",
                  unit ? unit : "", word ? ", or " : "", word ? word : "");
}

static void print_words(const struct key_word *words)
{
    const char *comma = "";

    for (const struct key_word *word = words; word->word; word++) {
        bool is_shown = true;
        for (const struct key_word *other = words; other != word; other++)
            is_shown = is_shown && other->value != word->value;
        if (is_shown) {
            (void) printf("%s%s", comma, word->word);
            comma = ", ";
        }
    }
}

static void print_allowed(const struct key *key)
{
    switch (key->kind) {
    case KEY_NUMBER:
        print_range(key->least, key->most, key->unit, key->word);
        break;
    case KEY_SWITCH:
        (void) printf("on, off");
        break;
    case KEY_WORD:
        print_words(key->words);
        break;
    case KEY_TEXT:
        (void) printf("text");
        break;
    case KEY_LIMITS:
        (void) printf("a mapping of limits");
        break;
    case KEY_MAP:
        (void) printf("NAME: text, at most %" PRIu32, key->most);
        break;
    case KEY_TEXTS:
    case KEY_IDS:
    case KEY_OBSERVE:
    case KEY_LAYERS:
    case KEY_HOSTS:
    case KEY_ENTRIES:
        (void) printf("a list of at most %" PRIu32, key->most);
        break;
    case KEY_REFUSED:
    case KEY_KINDS:
        break;
    }
}

static void print_row(const char *prefix, const struct key *key)
{
    (void) printf("%s%s\n  %s\n  allowed  ", prefix, key->name, key->help);
    print_allowed(key);
    (void) printf("\n  default  %s\n  reload   %s\n", key->preset ? key->preset : "not set",
                  key_reload_name(key->reload));
}

static void print_table(const char *prefix, const struct key_table *table)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct key *key = &table->rows[i];
        char inner[128];
        if (key->kind == KEY_REFUSED)
            continue;
        (void) printf("\n");
        print_row(prefix, key);
        (void) snprintf(inner, sizeof inner, "%s%s[].", prefix, key->name);
        if (key->entry)
            print_table(inner, key->entry);
    }
}

static const char *word_of(const struct limit_info *info)
{
    if (info->word)
        return info->word;
    return info->may_be_unlimited ? "unlimited" : NULL;
}

static void print_limit(const struct limit_info *info)
{
    (void) printf("limits.%s\n  %s\n  allowed  ", info->name, info->help);
    print_range(info->least, info->most, info->unit, word_of(info));
    if (info->preset == LIMIT_UNLIMITED)
        (void) printf("\n  default  %s\n", word_of(info));
    else
        (void) printf("\n  default  %" PRIu32 "\n", info->preset);
    (void) printf("  observe  %s\n", info->may_be_observed ? "yes" : "no");
}

void keys_text_print_all(const struct key_file *file)
{
    (void) printf("%s: %s\n", file->name, file->title);
    print_table("", file->table);
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        (void) printf("\n");
        print_limit(&limit_table[i]);
    }
}

/* ---- one name */

static const struct {
    const char *name, *help;
} sections[] = {
    { "log", "bounds of what tenants write to the log" },
    { "admin", "who may use the admin socket" },
    { "admin.read", "who may use commands without effect" },
    { "admin.write", "who may use all commands" },
    { "metrics", "figures for Prometheus; without it there are none" },
    { "deploy", "versions that are kept, and when the one before comes back by itself" },
    { "egress",
      "what tenants may fetch from servers, and skep-egress, which asks them; without it no tenant "
      "may fetch" },
    { "secrets", "where the key of the secrets is that skep keeps for tenants, and which ones the "
                 "operator gives" },
    { "storage", "where what tenants store is kept (kv, sql)" },
    { "jail", "layers of the jail that may be missing" },
    { "http", "bounds of connections, requests and answers" },
    { "limits", "limits of tenants" },
    { "inject",
      "the header of fetches to one host that gets the secret, which is not in env then" },
};

const char *keys_text_section(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(sections); i++)
        if (strcmp(sections[i].name, name) == 0)
            return sections[i].help;
    return NULL;
}

/* Returns whether name is the whole of the row's name, or its part behind a dot. */
static bool is_named(const char *row, const char *name)
{
    size_t row_size = strlen(row), size = strlen(name);

    if (size > row_size || strcmp(row + row_size - size, name) != 0)
        return false;
    return size == row_size || row[row_size - size - 1] == '.';
}

/* Prints the keys of a mapping, or of the entries of a list: a line each. */
static void print_keys(const struct key_table *table, const char *section)
{
    size_t size = strlen(section);

    (void) printf("  keys\n");
    for (size_t i = 0; i < table->n; i++) {
        const char *name = table->rows[i].name;
        if (table->rows[i].kind == KEY_REFUSED || strncmp(name, section, size) != 0 ||
            (size > 0 && name[size] != '.'))
            continue;
        (void) printf("    %-22s %s\n", name + size + (size > 0), table->rows[i].help);
    }
}

/* Prints the mappings of that name in which rows of the table stand. prefix: as for explain_in. */
static bool explain_sections(const struct key_file *file, const char *prefix,
                             const struct key_table *table, const char *name, bool is_found)
{
    char section[128], full[256], last[128] = "";

    for (size_t i = 0; i < table->n; i++)
        for (const char *dot = table->rows[i].name; (dot = strchr(dot, '.')); dot++) {
            (void) snprintf(section, sizeof section, "%.*s", (int) (dot - table->rows[i].name),
                            table->rows[i].name);
            (void) snprintf(full, sizeof full, "%s%s", prefix, section);
            if (table->rows[i].kind == KEY_REFUSED || strcmp(section, last) == 0 ||
                !is_named(full, name))
                continue;
            const char *help = keys_text_section(section);
            (void) printf("%s%s: %s\n", is_found ? "\n" : "", file->name, full);
            if (help)
                (void) printf("  %s\n", help);
            print_keys(table, section);
            (void) snprintf(last, sizeof last, "%s", section);
            is_found = true;
        }
    return is_found;
}

/* prefix: the lists in which the table's rows stand: "", "cordons.". */
static bool explain_in(const struct key_file *file, const char *prefix,
                       const struct key_table *table, const char *name, bool is_found)
{
    is_found = explain_sections(file, prefix, table, name, is_found);
    for (size_t i = 0; i < table->n; i++) {
        const struct key *key = &table->rows[i];
        char full[128], inner[130], shown[132];
        (void) snprintf(full, sizeof full, "%s%s", prefix, key->name);
        (void) snprintf(inner, sizeof inner, "%s.", full);
        if (key->kind != KEY_REFUSED && is_named(full, name)) {
            /* There is one level of lists. */
            (void) snprintf(shown, sizeof shown, "%.*s%s", prefix[0] ? (int) strlen(prefix) - 1 : 0,
                            prefix, prefix[0] ? "[]." : "");
            (void) printf("%s%s: ", is_found ? "\n" : "", file->name);
            print_row(shown, key);
            if (key->entry)
                print_keys(key->entry, "");
            is_found = true;
        }
        if (key->entry)
            is_found = explain_in(file, inner, key->entry, name, is_found);
    }
    return is_found;
}

bool keys_text_explain(const char *name)
{
    const char *limit = strncmp(name, "limits.", 7) == 0 ? name + 7 : name;
    bool is_found = false;

    for (size_t i = 0; i < ARRAY_LEN(key_files); i++)
        is_found = explain_in(&key_files[i], "", key_files[i].table, name, is_found);
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        if (strcmp(limit_table[i].name, limit) == 0) {
            (void) printf("%s", is_found ? "\n" : "");
            print_limit(&limit_table[i]);
            is_found = true;
        }
    return is_found;
}
