/* SPDX-License-Identifier: Apache-2.0 */
/* Limits: the table is sound, and the layers combine as DESIGN says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/yaml_limits.h"

static void test_table_follows_the_struct_and_presets_are_in_bounds(void **state)
{
    (void) state;
    assert_int_equal(sizeof(struct limits), LIMITS_COUNT * sizeof(uint32_t));
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        const struct limit_info *info = &limit_table[i];
        assert_int_equal(info->offset, i * sizeof(uint32_t));
        assert_true(info->least > 0);
        assert_true(info->preset >= info->least);
        assert_true(info->preset <= info->most);
        assert_true(info->most < LIMIT_UNLIMITED);
        assert_non_null(info->help);
    }
}

static void test_yaml_schema_has_the_names_of_the_table_in_its_order(void **state)
{
    (void) state;
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        assert_string_equal(yaml_limits_fields[i].key, limit_table[i].name);
        assert_int_equal(yaml_limits_fields[i].data_offset, i * sizeof(char *));
    }
    assert_null(yaml_limits_fields[LIMITS_COUNT].key);
}

static void test_without_layers_the_presets_of_the_design_apply(void **state)
{
    const struct limits_layers nothing = { 0 };
    const struct limits expected = {
        .cpu_ms = 50,
        .cpu_startup_ms = 400,
        .grace_ms = 200,
        .wall_ms = 30000,
        .idle_ms = 30000,
        .heap_mib = 64,
        .external_mib = 64,
        .concurrency = 64,
        .queue = 128,
        .timers = 1000,
        .log_kib = 64,
        .request_mib = 10,
        .response_mib = 100,
    };
    struct limits limits = { 0 };

    (void) state;
    limits_resolve(&nothing, &limits);
    assert_memory_equal(&limits, &expected, sizeof limits);
}

static void test_tenant_is_before_cordon_before_platform_before_preset(void **state)
{
    const struct limits platform = { .cpu_ms = 10, .wall_ms = 1000, .queue = 7 };
    const struct limits cordon = { .cpu_ms = 20, .wall_ms = 2000 };
    const struct limits tenant = { .cpu_ms = 30 };
    const struct limits_layers layers = {
        .platform_default = &platform,
        .cordon_default = &cordon,
        .tenant = &tenant,
    };
    struct limits limits = { 0 };

    (void) state;
    limits_resolve(&layers, &limits);
    assert_int_equal(limits.cpu_ms, 30);
    assert_int_equal(limits.wall_ms, 2000);
    assert_int_equal(limits.queue, 7);
    assert_int_equal(limits.heap_mib, 64);
}

static void test_lowest_maximum_cuts_wishes_presets_and_unlimited(void **state)
{
    const struct limits platform_maximum = { .cpu_ms = 100, .wall_ms = 500, .heap_mib = 32 };
    const struct limits cordon_maximum = { .cpu_ms = 200, .wall_ms = 400 };
    const struct limits tenant = { .cpu_ms = 300, .wall_ms = LIMIT_UNLIMITED };
    const struct limits_layers layers = {
        .platform_maximum = &platform_maximum,
        .cordon_maximum = &cordon_maximum,
        .tenant = &tenant,
    };
    struct limits limits = { 0 };

    (void) state;
    limits_resolve(&layers, &limits);
    assert_int_equal(limits.cpu_ms, 100);
    assert_int_equal(limits.wall_ms, 400);
    assert_int_equal(limits.heap_mib, 32); /* the preset is 64 */
}

static void test_unlimited_stays_where_no_maximum_is_set(void **state)
{
    const struct limits tenant = { .cpu_ms = LIMIT_UNLIMITED };
    const struct limits unlimited = { .cpu_ms = LIMIT_UNLIMITED };
    const struct limits_layers layers = { .cordon_maximum = &unlimited, .tenant = &tenant };
    struct limits limits = { 0 };

    (void) state;
    limits_resolve(&layers, &limits);
    assert_true(limits.cpu_ms == LIMIT_UNLIMITED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_follows_the_struct_and_presets_are_in_bounds),
        cmocka_unit_test(test_yaml_schema_has_the_names_of_the_table_in_its_order),
        cmocka_unit_test(test_without_layers_the_presets_of_the_design_apply),
        cmocka_unit_test(test_tenant_is_before_cordon_before_platform_before_preset),
        cmocka_unit_test(test_lowest_maximum_cuts_wishes_presets_and_unlimited),
        cmocka_unit_test(test_unlimited_stays_where_no_maximum_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
