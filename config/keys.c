/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of values that keys have: how each is read, printed and freed. Any process; no state.
 */
#include "config/keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/layers.h"
#include "common/nearest.h"
#include "config/key_hosts.h"
#include "config/key_limits.h"
#include "config/yaml_number.h"

#define WORDS_MAX 512

/* ---- numbers */

static int read_number(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *node, void *base)
{
    const struct yaml_number number = {
        .least = key->least, .most = key->most, .unit = key->unit, .word = key->word
    };

    if (node)
        (void) yaml_number_parse(reading->document, node, &number, key_at(key, base),
                                 reading->errors);
    return 0;
}

static void print_number(const struct key *key, const void *base, FILE *file)
{
    uint32_t number = *(const uint32_t *) base;

    if (key->word && number == YAML_NUMBER_WORD)
        (void) fputs(key->word, file);
    else
        (void) fprintf(file, "%" PRIu32, number);
}

/* ---- switches and words */

static const struct key_word switch_words[] = {
    { "on", true },  { "off", false }, { "true", true }, { "false", false },
    { "yes", true }, { "no", false },  { NULL, 0 },
};

static bool is_shown(const struct key_word *words, const struct key_word *word)
{
    for (; words != word; words++)
        if (words->value == word->value)
            return false;
    return true;
}

static void refuse_word(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node)
{
    struct nearest nearest = { .given = node->value };
    char text[WORDS_MAX] = "";

    if (key->kind == KEY_SWITCH) {
        yaml_error(reading->document, node, reading->errors,
                   "\"%.64s\" is not a switch: expected on or off", node->value);
        return;
    }
    for (const struct key_word *word = key->words; word->word; word++) {
        size_t have = strlen(text);
        if (!is_shown(key->words, word))
            continue;
        nearest_add(&nearest, word->word);
        (void) snprintf(text + have, sizeof text - have, "%s%s", have > 0 ? ", " : "", word->word);
    }
    yaml_error(reading->document, node, reading->errors, "\"%.64s\" is unknown: %s%s%s one of %s",
               node->value, nearest.word ? "did you mean \"" : "", nearest.word ? nearest.word : "",
               nearest.word ? "\"? Expected" : "expected", text);
}

static int read_word(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base)
{
    const struct key_word *word = key->kind == KEY_SWITCH ? switch_words : key->words;

    if (!node)
        return 0;
    while (word->word && strcasecmp(word->word, node->value) != 0)
        word++;
    if (!word->word)
        refuse_word(reading, key, node);
    else if (key->size == sizeof(bool))
        *(bool *) key_at(key, base) = word->value != 0;
    else
        *(int *) key_at(key, base) = word->value; /* an enum */
    return 0;
}

static void print_word(const struct key *key, const void *value, FILE *file)
{
    const struct key_word *word = key->kind == KEY_SWITCH ? switch_words : key->words;
    int number = key->size == sizeof(bool) ? *(const bool *) value : *(const int *) value;

    while (word->word && word->value != number)
        word++;
    (void) fputs(word->word ? word->word : "?", file);
}

/* ---- texts */

static int read_text(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base)
{
    char **place = key_at(key, base);

    if (!node)
        return 0;
    if (key->most > 0 && strlen(node->value) > key->most)
        yaml_error(reading->document, node, reading->errors,
                   "%zu bytes are too long: expected at most %u", strlen(node->value), key->most);
    *place = strdup(node->value);
    return *place ? 0 : -ENOMEM;
}

static void print_text(const struct key *key, const void *value, FILE *file)
{
    const char *text = *(const char *const *) value;

    (void) key;
    (void) fputs(text ? text : "not set", file);
}

static void text_done(const struct key *key, void *base)
{
    char **place = key_at(key, base);

    free(*place);
    *place = NULL;
}

/* ---- lists of texts and of ids */

static int read_texts(const struct key_reading *reading, const struct key *key,
                      const struct yaml_node *node, void *base)
{
    unsigned *count = key_more(key, base);

    (void) reading;
    if (!node || node->n_children == 0)
        return 0;
    char **texts = calloc(node->n_children, sizeof *texts);
    *(char ***) key_at(key, base) = texts;
    if (!texts)
        return -ENOMEM;
    *count = node->n_children;
    for (const struct yaml_node *child = node->first_child; child; child = child->next)
        if (!(*texts++ = strdup(child->value)))
            return -ENOMEM;
    return 0;
}

static void texts_done(const struct key *key, void *base)
{
    char **texts = *(char ***) key_at(key, base);
    unsigned count = *(unsigned *) key_more(key, base);

    for (unsigned i = 0; texts && i < count; i++)
        free(texts[i]);
    free(texts);
}

static int read_ids(const struct key_reading *reading, const struct key *key,
                    const struct yaml_node *node, void *base)
{
    /* -1 means nobody */
    static const struct yaml_number id = { .least = 0, .most = UINT32_MAX - 1 };
    unsigned *count = key_more(key, base);

    if (!node || node->n_children == 0)
        return 0;
    uint32_t *ids = calloc(node->n_children, sizeof *ids);
    *(uint32_t **) key_at(key, base) = ids;
    if (!ids)
        return -ENOMEM;
    *count = node->n_children;
    for (const struct yaml_node *child = node->first_child; child; child = child->next)
        (void) yaml_number_parse(reading->document, child, &id, ids++, reading->errors);
    return 0;
}

static void ids_done(const struct key *key, void *base)
{
    free(*(uint32_t **) key_at(key, base));
}

static void print_texts(const struct key *key, const void *base, FILE *file)
{
    const char *at = base;
    char *const *texts = *(char *const *const *) (const void *) (at + key->offset);
    unsigned n = *(const unsigned *) (const void *) (at + key->more_offset);

    (void) fputc('[', file);
    for (unsigned i = 0; i < n; i++)
        (void) fprintf(file, "%s%s", i > 0 ? ", " : "", texts[i]);
    (void) fputc(']', file);
}

static void print_ids(const struct key *key, const void *base, FILE *file)
{
    const char *at = base;
    const uint32_t *ids = *(const uint32_t *const *) (const void *) (at + key->offset);
    unsigned n = *(const unsigned *) (const void *) (at + key->more_offset);

    (void) fputc('[', file);
    for (unsigned i = 0; i < n; i++)
        (void) fprintf(file, "%s%" PRIu32, i > 0 ? ", " : "", ids[i]);
    (void) fputc(']', file);
}

/* ---- layers of the jail */

static void refuse_layer(const struct key_reading *reading, const struct yaml_node *node,
                         const char *what)
{
    char names[LAYERS_TEXT_BYTES];
    layer_set possible = 0;

    for (unsigned i = 0; i < LAYERS; i++)
        if (layer_table[i].may_be_missing)
            possible |= LAYER_BIT(i);
    yaml_error(reading->document, node, reading->errors, "\"%.64s\" %s: expected one of %s",
               node->value, what, layers_names(possible, names, sizeof names));
}

static int read_layers(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *node, void *base)
{
    layer_set *layers = key_at(key, base);
    enum jail_layer layer;

    for (const struct yaml_node *n = node ? node->first_child : NULL; n; n = n->next)
        if (layer_parse(n->value, &layer) < 0)
            refuse_layer(reading, n, "is not a layer of the jail");
        else if (!layer_table[layer].may_be_missing)
            refuse_layer(reading, n, "can never be missing");
        else if (*layers & LAYER_BIT(layer))
            yaml_error(reading->document, n, reading->errors, "duplicate \"%s\"", n->value);
        else
            *layers |= LAYER_BIT(layer);
    return 0;
}

static void print_layers(const struct key *key, const void *value, FILE *file)
{
    char text[512];

    (void) key;
    (void) fprintf(file, "[%s]", layers_names(*(const layer_set *) value, text, sizeof text));
}

/* ---- the kinds */

typedef void (*key_done_fn)(const struct key *key, void *base);

static const struct {
    key_read_fn read;
    key_print_fn print_value;  /* takes a pointer to the value */
    key_print_fn print_struct; /* takes the struct: for kinds with two members */
    key_done_fn done;          /* NULL: owns nothing */
} kinds[KEY_KINDS] = {
    [KEY_NUMBER] = { read_number, print_number, NULL, NULL },
    [KEY_SWITCH] = { read_word, print_word, NULL, NULL },
    [KEY_WORD] = { read_word, print_word, NULL, NULL },
    [KEY_TEXT] = { read_text, print_text, NULL, text_done },
    [KEY_TEXTS] = { read_texts, NULL, print_texts, texts_done },
    [KEY_IDS] = { read_ids, NULL, print_ids, ids_done },
    [KEY_LIMITS] = { key_read_limits, NULL, NULL, NULL },
    [KEY_OBSERVE] = { key_read_observe, NULL, key_print_observe, NULL },
    [KEY_LAYERS] = { read_layers, print_layers, NULL, NULL },
    [KEY_HOSTS] = { key_read_hosts, key_print_hosts, NULL, key_hosts_done },
};

int key_read_kind(const struct key_reading *reading, const struct key *key,
                  const struct yaml_node *node, void *base)
{
    return kinds[key->kind].read ? kinds[key->kind].read(reading, key, node, base) : 0;
}

int keys_read(const struct key_reading *reading, const struct key_table *table,
              const struct yaml_node *node, void *base)
{
    unsigned first = reading->errors->n_items;
    int r = 0;

    for (size_t i = 0; i < table->n && r == 0; i++) {
        const struct key *key = &table->rows[i];
        const struct yaml_node preset = {
            .kind = YAML_KIND_SCALAR,
            .is_plain = true,
            .line = 1,
            .key = (char *) (uintptr_t) "",
            .value = (char *) (uintptr_t) key->preset,
        };
        const struct yaml_node *given = node ? yaml_find_below(node, key->name) : NULL;
        if (!given && key->preset)
            given = &preset;
        r = key->read ? key->read(reading, key, given, base)
                      : key_read_kind(reading, key, given, base);
    }
    config_errors_sort(reading->errors, first); /* as they stand in the file, not in the table */
    return r;
}

void key_print(const struct key *key, const void *base, FILE *file)
{
    if (key->print)
        key->print(key, base, file);
    else if (kinds[key->kind].print_struct)
        kinds[key->kind].print_struct(key, base, file);
    else if (kinds[key->kind].print_value)
        kinds[key->kind].print_value(key, (const char *) base + key->offset, file);
}

void keys_done(const struct key_table *table, void *base)
{
    for (size_t i = 0; i < table->n; i++)
        if (kinds[table->rows[i].kind].done)
            kinds[table->rows[i].kind].done(&table->rows[i], base);
}

const char *key_reload_name(enum key_reload reload)
{
    static const char *const names[RELOADS] = {
        [RELOAD_AT_ONCE] = "counts at once",
        [RELOAD_NEXT_COMMAND] = "counts from the next command on",
        [RELOAD_OPEN_TOO] = "counts at once, for open connections too",
        [RELOAD_WORKERS] = "workers are started, replaced or ended",
        [RELOAD_TENANTS] = "counts at once, or the tenants for which it differs are loaded again",
        [RELOAD_RESTART] = "needs a restart",
        [RELOAD_VERSION] = "the tenant gets a new version",
    };

    return names[reload];
}
