/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep schema`: JSON Schema (draft 2020-12) of skepd.yaml and skep.yaml, made from the rows by
 * which they are read, so that editors complete and check. Asks no other process.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/keys_text.h"
#include "cli/output.h"
#include "common/cleanup.h"
#include "common/layers.h"
#include "config/key_limits.h"

static bool is_text;

static const struct cli_option schema_options[] = {
    { .name = "text",
      .help = "each key for people: meaning, default, allowed values",
      .given = &is_text },
    { 0 },
};

/* ---- values */

static json_t *number_schema(uint32_t least, uint32_t most, const char *word)
{
    json_t *number = json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t) least,
                               "maximum", (json_int_t) most);

    return word ? json_pack("{s:[o, {s:s}]}", "anyOf", number, "const", word) : number;
}

static void add_switch_words(json_t *words)
{
    static const char *const texts[] = { "on", "off", "yes", "no" };

    (void) json_array_append_new(words, json_true());
    (void) json_array_append_new(words, json_false());
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        (void) json_array_append_new(words, json_string(texts[i]));
}

/* Makes the schema of a row's words. YAML 1.2, by which editors read, takes on and off for texts,
 * and true for a boolean. */
static json_t *words_schema(const struct key_word *word)
{
    json_t *words = json_array();

    if (!word)
        add_switch_words(words);
    for (; word && word->word; word++) {
        bool is_true = strcmp(word->word, "true") == 0;
        if (is_true || strcmp(word->word, "false") == 0)
            (void) json_array_append_new(words, json_boolean(is_true));
        else
            (void) json_array_append_new(words, json_string(word->word));
    }
    return json_pack("{s:o}", "enum", words);
}

static json_t *list_schema(const struct key *key, json_t *items)
{
    return json_pack("{s:s, s:I, s:I, s:o}", "type", "array", "minItems", (json_int_t) key->least,
                     "maxItems", (json_int_t) key->most, "items", items);
}

static json_t *observe_items(void)
{
    json_t *names = json_array();

    for (size_t i = 0; i < LIMITS_COUNT; i++)
        if (limit_table[i].may_be_observed)
            (void) json_array_append_new(names, json_string(limit_table[i].name));
    (void) json_array_append_new(names, json_string("rss_mib"));
    (void) json_array_append_new(names, json_string("strikes"));
    return json_pack("{s:o}", "enum", names);
}

static json_t *layer_items(void)
{
    json_t *names = json_array();

    for (unsigned i = 0; i < LAYERS; i++)
        if (layer_table[i].may_be_missing)
            (void) json_array_append_new(names, json_string(layer_table[i].name));
    return json_pack("{s:o}", "enum", names);
}

static json_t *table_schema(const struct key_table *table);

static json_t *value_schema(const struct key *key)
{
    switch (key->kind) {
    case KEY_NUMBER:
        return number_schema(key->least, key->most, key->word);
    case KEY_SWITCH:
        return words_schema(NULL);
    case KEY_WORD:
        return words_schema(key->words);
    case KEY_TEXT:
        return json_pack("{s:[s, s], s:i}", "type", "string", "integer", "minLength", 1);
    case KEY_TEXTS:
    case KEY_HOSTS:
        return list_schema(key, json_pack("{s:s}", "type", "string"));
    case KEY_IDS:
        return list_schema(key, number_schema(0, UINT32_MAX - 1, NULL));
    case KEY_LIMITS:
        return json_pack("{s:s}", "$ref", "#/$defs/limits");
    case KEY_OBSERVE:
        return list_schema(key, observe_items());
    case KEY_LAYERS:
        return list_schema(key, layer_items());
    case KEY_ENTRIES:
        return list_schema(key, table_schema(key->entry));
    case KEY_MAP:
        return json_pack("{s:s, s:I, s:{s:[s, s, s]}}", "type", "object", "maxProperties",
                         (json_int_t) key->most, "additionalProperties", "type", "string", "number",
                         "boolean");
    case KEY_REFUSED:
    case KEY_KINDS:
        break;
    }
    return json_object();
}

/* Returns a preset as YAML would read it. */
static json_t *preset_json(const struct key *key)
{
    if (key->kind == KEY_NUMBER && key->preset[0] >= '0' && key->preset[0] <= '9')
        return json_integer((json_int_t) strtoull(key->preset, NULL, 10));
    if (key->kind == KEY_SWITCH)
        return json_boolean(strcmp(key->preset, "on") == 0);
    return json_string(key->preset);
}

static json_t *key_schema(const struct key *key)
{
    _cleanup_free_ char *text = NULL;
    json_t *schema = value_schema(key);

    if (asprintf(&text, "%s%s%s%s. At a reload: %s.", key->help, key->unit ? " (" : "",
                 key->unit ? key->unit : "", key->unit ? ")" : "",
                 key_reload_name(key->reload)) < 0)
        text = NULL;
    (void) json_object_set_new(schema, "description", json_string(text ? text : key->help));
    if (key->preset)
        (void) json_object_set_new(schema, "default", preset_json(key));
    return schema;
}

/* ---- mappings */

static json_t *mapping_schema(void)
{
    return json_pack("{s:s, s:b, s:{}}", "type", "object", "additionalProperties", 0, "properties");
}

static void require(json_t *mapping, const char *name)
{
    json_t *required = json_object_get(mapping, "required");

    if (!required) {
        required = json_array();
        (void) json_object_set_new(mapping, "required", required);
    }
    (void) json_array_append_new(required, json_string(name));
}

/* One of the names that are offered has to be there, and no other. */
static void offer(json_t *mapping, const char *name)
{
    json_t *choices = json_object_get(mapping, "oneOf");

    if (!choices) {
        choices = json_array();
        (void) json_object_set_new(mapping, "oneOf", choices);
    }
    (void) json_array_append_new(choices, json_pack("{s:[s]}", "required", name));
}

/* Returns the mapping in which a row stands, made with the first row in it; *name moves to the last
 * part. */
static json_t *mapping_of(json_t *top, const char **name)
{
    const char *whole = *name;

    for (const char *dot; (dot = strchr(*name, '.')); *name = dot + 1) {
        _cleanup_free_ char *part = strndup(*name, (size_t) (dot - *name));
        json_t *properties = json_object_get(top, "properties");
        json_t *inner = part ? json_object_get(properties, part) : NULL;
        if (!inner) {
            _cleanup_free_ char *path = strndup(whole, (size_t) (dot - whole));
            const char *help = path ? keys_text_section(path) : NULL;
            inner = mapping_schema();
            if (help)
                (void) json_object_set_new(inner, "description", json_string(help));
            (void) json_object_set_new(properties, part ? part : "", inner);
        }
        top = inner;
    }
    return top;
}

static json_t *table_schema(const struct key_table *table)
{
    json_t *top = mapping_schema();

    for (size_t i = 0; i < table->n; i++) {
        const struct key *key = &table->rows[i];
        const char *name = key->name;
        if (key->kind == KEY_REFUSED)
            continue;
        json_t *mapping = mapping_of(top, &name);
        (void) json_object_set_new(json_object_get(mapping, "properties"), name, key_schema(key));
        if (key->is_required)
            require(mapping, name);
        if (key->is_choice)
            offer(mapping, name);
    }
    return top;
}

static json_t *limits_schema(void)
{
    json_t *schema = mapping_schema();

    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        const struct limit_info *info = &limit_table[i];
        const char *word = info->word ? info->word : info->may_be_unlimited ? "unlimited" : NULL;
        json_t *value = number_schema(info->least, info->most, word);
        (void) json_object_set_new(value, "description", json_string(info->help));
        (void) json_object_set_new(value, "default",
                                   info->preset == LIMIT_UNLIMITED ? json_string("unlimited")
                                                                   : json_integer(info->preset));
        (void) json_object_set_new(json_object_get(schema, "properties"), info->name, value);
    }
    return schema;
}

static int print_schema(const struct key_file *file)
{
    json_t *schema = table_schema(file->table);
    _cleanup_free_ char *title = NULL;

    if (asprintf(&title, "%s: %s", file->name, file->title) < 0)
        title = NULL;
    (void) json_object_set_new(schema, "$schema",
                               json_string("https://json-schema.org/draft/2020-12/schema"));
    (void) json_object_set_new(schema, "title", json_string(title ? title : file->name));
    (void) json_object_set_new(schema, "$defs", json_pack("{s:o}", "limits", limits_schema()));
    return json_print(schema) < 0 ? CLI_FAILED : CLI_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    enum cli_exit status = CLI_DONE;
    size_t i = 0;

    int first = cli_options(cli, schema_options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    while (first < argc && i < ARRAY_LEN(key_files) && strcmp(key_files[i].name, argv[first]) != 0)
        i++;
    if (i == ARRAY_LEN(key_files))
        return (int) cli_usage_error(cli, "\"%s\": expected skepd.yaml or skep.yaml", argv[first]);
    if (!is_text)
        return print_schema(&key_files[i]);
    keys_text_print_all(&key_files[i]);
    return CLI_DONE;
}

const struct verb verb_schema = {
    .name = "schema",
    .arguments = "[FILE]",
    .summary = "print the JSON Schema of skepd.yaml or skep.yaml, for editors",
    .help = "FILE is the name skepd.yaml (if it is not given) or skep.yaml. The schema (draft\n"
            "2020-12) is made from the table by which skepd reads the file. For an editor with\n"
            "yaml-language-server: skep schema skep.yaml >skep.schema.json, and as the first line\n"
            "of skep.yaml\n\n"
            "  # yaml-language-server: $schema=skep.schema.json\n",
    .options = schema_options,
    .run = run,
};
