/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a YAML file's tree against the table of its keys. Shapes only: whether a value is
 * within its bounds is seen when it is read (keys.c). Any process; no state.
 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/nearest.h"
#include "config/keys.h"
#include "config/limits.h"

#define WORDS_MAX 768

struct check {
    const struct yaml_document *document; /* borrowed */
    const struct key_table *table;        /* borrowed */
    struct config_errors *errors;         /* borrowed */
};

static const struct {
    enum yaml_kind shape;
    const char *expected; /* expected value, for messages */
} kinds[KEY_KINDS] = {
    [KEY_NUMBER] = { YAML_KIND_SCALAR, "a number" },
    [KEY_SWITCH] = { YAML_KIND_SCALAR, "on or off" },
    [KEY_WORD] = { YAML_KIND_SCALAR, "a word" },
    [KEY_TEXT] = { YAML_KIND_SCALAR, "text" },
    [KEY_TEXTS] = { YAML_KIND_LIST, NULL },
    [KEY_IDS] = { YAML_KIND_LIST, NULL },
    [KEY_LIMITS] = { YAML_KIND_MAPPING, NULL },
    [KEY_OBSERVE] = { YAML_KIND_LIST, NULL },
    [KEY_LAYERS] = { YAML_KIND_LIST, NULL },
    [KEY_HOSTS] = { YAML_KIND_LIST, NULL },
    [KEY_ENTRIES] = { YAML_KIND_LIST, NULL },
};

static bool has_shape(const struct check *check, const struct yaml_node *node, enum yaml_kind shape,
                      const char *expected_text)
{
    static const char *const found[] = {
        [YAML_KIND_SCALAR] = "a single value",
        [YAML_KIND_MAPPING] = "a mapping",
        [YAML_KIND_LIST] = "a list",
    };
    static const char *const expected[] = {
        [YAML_KIND_SCALAR] = "a single value",
        [YAML_KIND_MAPPING] = "a mapping (key: value)",
        [YAML_KIND_LIST] = "a list ([a, b])",
    };

    if (node->kind == shape && (shape != YAML_KIND_SCALAR || !yaml_is_null(node))) {
        if (shape != YAML_KIND_SCALAR || node->value[0])
            return true;
    }
    if (node->kind == shape)
        yaml_error(check->document, node, check->errors, "no value: expected %s", expected_text);
    else if (node->kind == YAML_KIND_SCALAR && yaml_is_null(node))
        yaml_error(check->document, node, check->errors, "no value: expected %s, or no such key",
                   expected[shape]);
    else
        yaml_error(check->document, node, check->errors, "%s: expected %s", found[node->kind],
                   expected[shape]);
    return false;
}

static void check_mapping(const struct check *check, const struct yaml_node *node,
                          const char *prefix);

/* ---- unknown keys */

static void join(char *words, const char *word, size_t size)
{
    size_t have = strlen(words);
    char padded[WORDS_MAX + 4], wanted[YAML_KEY_MAX + 8];

    (void) snprintf(padded, sizeof padded, ", %s, ", words);
    (void) snprintf(wanted, sizeof wanted, ", %.*s, ", (int) size, word);
    if (strstr(padded, wanted)) /* a key whose value is a mapping has several rows */
        return;
    (void) snprintf(words + have, WORDS_MAX - have, "%s%.*s", have > 0 ? ", " : "", (int) size,
                    word);
}

/* Returns the part of a row's name that stands in the mapping with that prefix; NULL: none of it
 * does. */
static const char *name_below(const struct key *key, const char *prefix)
{
    size_t size = strlen(prefix);

    if (key->kind == KEY_REFUSED || strncmp(key->name, prefix, size) != 0)
        return NULL;
    if (size == 0)
        return key->name;
    return key->name[size] == '.' ? key->name + size + 1 : NULL;
}

/* Finds a key that is right elsewhere in the file: it is nearer than one that is spelt alike. */
static const char *find_elsewhere(const struct check *check, const char *given)
{
    for (size_t i = 0; i < check->table->n; i++) {
        const struct key *key = &check->table->rows[i];
        const char *last = strrchr(key->name, '.');
        if (key->kind != KEY_REFUSED && last && strcmp(last + 1, given) == 0)
            return key->name;
    }
    return NULL;
}

static void say_unknown(const struct check *check, const struct yaml_node *node,
                        const char *nearest, const char *words)
{
    char parent[YAML_PATH_MAX];

    (void) yaml_path(node->parent, parent, sizeof parent);
    config_errors_add(check->errors, check->document->file, node->key_line,
                      "unknown key \"%s\"%s%s: %s%s%s one of %s", node->key,
                      parent[0] ? " in " : "", parent, nearest ? "did you mean \"" : "",
                      nearest ? nearest : "", nearest ? "\"? Expected" : "expected", words);
}

static void refuse_key(const struct check *check, const struct yaml_node *node, const char *prefix)
{
    struct nearest nearest = { .given = node->key };
    char words[WORDS_MAX] = "", part[YAML_KEY_MAX + 1];

    for (size_t i = 0; i < check->table->n; i++) {
        const char *name = name_below(&check->table->rows[i], prefix);
        if (name)
            join(words, name, strcspn(name, "."));
    }
    for (const char *word = words; *word; word += strspn(word, ", ")) {
        size_t size = strcspn(word, ",");
        (void) snprintf(part, sizeof part, "%.*s", (int) size, word);
        struct nearest one = { .given = node->key };
        nearest_add(&one, part);
        if (one.word && (!nearest.word || one.distance < nearest.distance)) {
            nearest.distance = one.distance;
            nearest.word = word;
        }
        word += size;
    }
    if (nearest.word) {
        (void) snprintf(part, sizeof part, "%.*s", (int) strcspn(nearest.word, ","), nearest.word);
        say_unknown(check, node, part, words);
    } else {
        say_unknown(check, node, find_elsewhere(check, node->key), words);
    }
}

/* ---- values */

static bool is_refused(const struct check *check, const struct yaml_node *node)
{
    char path[YAML_PATH_MAX];

    (void) yaml_path(node, path, sizeof path);
    for (size_t i = 0; i < check->table->n; i++) {
        const struct key *key = &check->table->rows[i];
        if (key->kind != KEY_REFUSED || strcmp(key->name, path) != 0)
            continue;
        config_errors_add(check->errors, check->document->file, node->key_line, "%s: %s", path,
                          key->help);
        return true;
    }
    return false;
}

static void check_limit(const struct check *check, const struct yaml_node *node)
{
    struct nearest nearest = { .given = node->key };
    char words[WORDS_MAX] = "";

    if (is_refused(check, node))
        return;
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        if (strcmp(limit_table[i].name, node->key) == 0) {
            (void) has_shape(check, node, YAML_KIND_SCALAR, "a number");
            return;
        }
        nearest_add(&nearest, limit_table[i].name);
        join(words, limit_table[i].name, strlen(limit_table[i].name));
    }
    say_unknown(check, node, nearest.word, words);
}

/* Says how an entry is written that is a single value: "- { name: A }". */
static void refuse_single(const struct check *check, const struct yaml_node *node,
                          const struct key_table *entry)
{
    char words[WORDS_MAX] = "";
    bool has_choice = false;

    for (size_t i = 0; i < entry->n; i++) {
        const struct key *key = &entry->rows[i];
        size_t have = strlen(words);
        if (strchr(key->name, '.') || !(key->is_required || (key->is_choice && !has_choice)))
            continue;
        has_choice = has_choice || key->is_choice;
        (void) snprintf(words + have, sizeof words - have, "%s%s: %.100s", have > 0 ? ", " : "",
                        key->name, have > 0 ? "..." : node->value);
    }
    yaml_error(check->document, node, check->errors,
               "a single value: expected a mapping (key: value), as - { %s }", words);
}

static void check_list(const struct check *check, const struct yaml_node *node,
                       const struct key *key)
{
    if (node->n_children < key->least)
        yaml_error(check->document, node, check->errors, "empty list: expected at least %u",
                   key->least);
    if (node->n_children > key->most)
        yaml_error(check->document, node, check->errors,
                   "%u entries are too many: expected at most %u", node->n_children, key->most);
    for (const struct yaml_node *child = node->first_child; child; child = child->next) {
        const struct check inside = { check->document, key->entry, check->errors };
        if (key->entry && child->kind == YAML_KIND_SCALAR && child->value[0])
            refuse_single(check, child, key->entry);
        else if (!key->entry)
            (void) has_shape(check, child, YAML_KIND_SCALAR, "text");
        else if (has_shape(check, child, YAML_KIND_MAPPING, NULL))
            check_mapping(&inside, child, "");
    }
}

static void check_value(const struct check *check, const struct yaml_node *node,
                        const struct key *key)
{
    if (key->kind == KEY_MAP) /* the key's reader has better messages */
        return;
    if (!has_shape(check, node, kinds[key->kind].shape, kinds[key->kind].expected))
        return;
    if (kinds[key->kind].shape == YAML_KIND_LIST)
        check_list(check, node, key);
    if (key->kind == KEY_LIMITS)
        for (const struct yaml_node *child = node->first_child; child; child = child->next)
            check_limit(check, child);
}

/* ---- mappings */

static void check_child(const struct check *check, const struct yaml_node *node, const char *prefix)
{
    char path[YAML_PATH_MAX + YAML_KEY_MAX];
    bool is_mapping = false;

    (void) snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", node->key);
    for (size_t i = 0; i < check->table->n && !strchr(node->key, '.'); i++) {
        const struct key *key = &check->table->rows[i];
        if (key->kind != KEY_REFUSED && strcmp(key->name, path) == 0) {
            check_value(check, node, key);
            return;
        }
        is_mapping = is_mapping || name_below(key, path);
    }
    if (!is_mapping && !is_refused(check, node))
        refuse_key(check, node, prefix);
    else if (is_mapping && has_shape(check, node, YAML_KIND_MAPPING, NULL))
        check_mapping(check, node, path);
}

static bool has_child(const struct yaml_node *node, const char *key)
{
    for (const struct yaml_node *child = node->first_child; child; child = child->next)
        if (strcmp(child->key, key) == 0)
            return true;
    return false;
}

/* Checks that exactly one of the rows that are a choice is given. */
static void check_choice(const struct check *check, const struct yaml_node *node,
                         const char *prefix)
{
    const char *found = NULL;
    char words[WORDS_MAX] = "";

    for (size_t i = 0; i < check->table->n; i++) {
        const struct key *key = &check->table->rows[i];
        const char *name = name_below(key, prefix);
        size_t have = strlen(words);
        if (!key->is_choice || !name)
            continue;
        (void) snprintf(words + have, sizeof words - have, "%s\"%s\"", have > 0 ? " or " : "",
                        name);
        if (found && has_child(node, name))
            yaml_error(check->document, node, check->errors,
                       "both \"%s\" and \"%s\": expected one of them", found, name);
        if (has_child(node, name))
            found = name;
    }
    if (words[0] && !found)
        yaml_error(check->document, node, check->errors,
                   "missing key %s: expected it in this mapping", words);
}

/* Checks a mapping. prefix: its place in the table, "" for the top. */
static void check_mapping(const struct check *check, const struct yaml_node *node,
                          const char *prefix)
{
    for (const struct yaml_node *child = node->first_child; child; child = child->next)
        check_child(check, child, prefix);
    for (size_t i = 0; i < check->table->n; i++) {
        const struct key *key = &check->table->rows[i];
        const char *name = name_below(key, prefix);
        if (key->is_required && name && !strchr(name, '.') && !has_child(node, name))
            yaml_error(check->document, node, check->errors,
                       "missing key \"%s\": expected it in this mapping", name);
    }
    check_choice(check, node, prefix);
}

int keys_check(const struct yaml_document *document, const struct key_table *table,
               struct config_errors *errors)
{
    const struct check check = { document, table, errors };
    unsigned before = errors->count;

    if (has_shape(&check, document->root, YAML_KIND_MAPPING, NULL))
        check_mapping(&check, document->root, "");
    return errors->count > before ? -EINVAL : 0;
}
