/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of skepd.yaml and skep.yaml are sound: each row's values fit its kind, and its default
 * is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "config/config_keys.h"
#include "config/manifest_keys.h"

static const struct {
    const char *name;
    const struct key_table *table;
    size_t size; /* size of the struct */
} tables[] = {
    { "config", &config_keys, sizeof(struct config) },
    { "cordon", &cordon_keys, sizeof(struct cordon_config) },
    { "manifest", &manifest_keys, sizeof(struct manifest) },
};

static const struct {
    size_t size, more_size; /* 0: any size */
} kinds[KEY_KINDS] = {
    [KEY_NUMBER] = { sizeof(uint32_t), 0 },
    [KEY_SWITCH] = { sizeof(bool), 0 },
    [KEY_TEXT] = { sizeof(char *), 0 },
    [KEY_IDS] = { sizeof(uint32_t *), sizeof(unsigned) },
    [KEY_LIMITS] = { sizeof(struct limits), 0 },
    [KEY_OBSERVE] = { sizeof(limit_set), sizeof(bool) },
    [KEY_LAYERS] = { sizeof(layer_set), 0 },
    [KEY_HOSTS] = { sizeof(struct host_rules), 0 },
};

static void expect_row(const char *table, const struct key *key, size_t size)
{
    print_message("%s.%s\n", table, key->name);
    assert_non_null(key->help);
    assert_true(strlen(key->help) > 0 && key->help[strlen(key->help) - 1] != '.');
    assert_non_null(key_reload_name(key->reload));
    assert_true(key->offset + key->size <= size && key->more_offset + key->more_size <= size);
    if (kinds[key->kind].size > 0)
        assert_int_equal(key->size, kinds[key->kind].size);
    if (kinds[key->kind].more_size > 0)
        assert_int_equal(key->more_size, kinds[key->kind].more_size);
    if (key->kind == KEY_NUMBER)
        assert_true(key->preset && key->least < key->most && key->most < LIMIT_UNLIMITED);
    assert_int_equal(key->kind == KEY_WORD, key->words != NULL);
    assert_int_equal(key->kind == KEY_ENTRIES, key->entry != NULL);
}

static void test_each_row_fits_its_kind_and_stands_once(void **state)
{
    (void) state;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (size_t i = 0; i < tables[t].table->n; i++) {
            const struct key *key = &tables[t].table->rows[i];
            expect_row(tables[t].name, key, tables[t].size);
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(key->name, tables[t].table->rows[j].name);
        }
}

static void test_presets_are_what_their_own_rows_allow(void **state)
{
    (void) state;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (size_t i = 0; i < tables[t].table->n; i++) {
            const struct key *key = &tables[t].table->rows[i];
            struct yaml_document document = { .file = (char *) (uintptr_t) "preset" };
            struct yaml_node node = { .line = 1, .key = (char *) (uintptr_t) key->name };
            struct config_errors errors = { 0 };
            const struct key_reading reading = { &document, "/", NULL, &errors };
            void *base = calloc(1, tables[t].size);
            assert_non_null(base);
            node.value = (char *) (uintptr_t) key->preset;
            if (key->preset) {
                assert_int_equal(key_read_kind(&reading, key, &node, base), 0);
                if (errors.count > 0)
                    fail_msg("%s", errors.text);
            }
            keys_done(tables[t].table, base);
            free(base);
            config_errors_done(&errors);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_fits_its_kind_and_stands_once),
        cmocka_unit_test(test_presets_are_what_their_own_rows_allow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
