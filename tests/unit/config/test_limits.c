/* SPDX-License-Identifier: Apache-2.0 */
/* Limits: the table is sound, and the layers combine as docs/config.md says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/limits.h"

static void test_table_follows_the_struct_and_presets_are_in_bounds(void **state)
{
    (void) state;
    assert_int_equal(sizeof(struct limits), LIMITS_COUNT * sizeof(uint32_t));
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        const struct limit_info *info = &limit_table[i];
        assert_int_equal(info->offset, i * sizeof(uint32_t));
        assert_true(info->least > 0);
        assert_true(info->preset >= info->least);
        if (info->preset == LIMIT_UNLIMITED)
            assert_true(info->may_be_unlimited);
        else
            assert_true(info->preset <= info->most);
        assert_true(info->most < LIMIT_UNLIMITED);
        assert_non_null(info->help);
    }
}

static void test_without_layers_the_presets_of_the_design_apply(void **state)
{
    const struct limits_layers nothing = { 0 };
    const struct limits expected = {
        .cpu_ms = 50,
        .cpu_startup_ms = 1000,
        .cpu_rate = LIMIT_UNLIMITED,
        .grace_ms = 200,
        .wall_ms = 30000,
        .idle_ms = 30000,
        .heap_mib = 64,
        .external_mib = 64,
        .concurrency = 64,
        .queue = 128,
        .weight = 100,
        .timers = 1000,
        .log_kib = 64,
        .request_mib = 10,
        .response_mib = 100,
        .hung_ms = 5000,
        .renewals = 5,
        .subrequests = 50,
        .calls = 16,
        .call_mib = 100,
    };
    struct limits limits = { 0 };

    (void) state;
    limits_resolve(&nothing, &limits);
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        uint32_t preset = limit_get(&expected, &limit_table[i]);
        assert_true(preset == LIMIT_UNSET || preset == limit_get(&limits, &limit_table[i]));
        assert_true(limit_get(&limits, &limit_table[i]) == limit_table[i].preset);
    }
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

static uint32_t resolve_weight(uint32_t platform_maximum, uint32_t cordon_default,
                               uint32_t cordon_maximum, uint32_t tenant)
{
    const struct limits platform_maxima = { .weight = platform_maximum };
    const struct limits cordon_defaults = { .weight = cordon_default };
    const struct limits cordon_maxima = { .weight = cordon_maximum };
    const struct limits wish = { .weight = tenant };
    const struct limits_layers layers = {
        .platform_maximum = &platform_maxima,
        .cordon_default = &cordon_defaults,
        .cordon_maximum = &cordon_maxima,
        .tenant = &wish,
    };
    struct limits limits = { 0 };

    limits_resolve(&layers, &limits);
    return limits.weight;
}

static void test_tenant_weighs_no_more_than_others_unless_there_is_a_maximum(void **state)
{
    (void) state;
    assert_int_equal(resolve_weight(0, 0, 0, 0), 100);
    assert_int_equal(resolve_weight(0, 0, 0, 7), 7);
    assert_int_equal(resolve_weight(0, 0, 0, 1000), 100);
    assert_int_equal(resolve_weight(1000, 0, 0, 0), 100); /* a maximum is no default */
    assert_int_equal(resolve_weight(1000, 0, 0, 900), 900);
    assert_int_equal(resolve_weight(0, 0, 300, 900), 300);
    assert_int_equal(resolve_weight(200, 0, 300, 900), 200);
    assert_int_equal(resolve_weight(50, 0, 0, 0), 50);
}

static void test_weight_that_the_operator_gives_by_default_holds(void **state)
{
    (void) state;
    assert_int_equal(resolve_weight(0, 500, 0, 0), 500);
    assert_int_equal(resolve_weight(0, 500, 0, 400), 400);
    assert_int_equal(resolve_weight(0, 500, 0, 900), 500);
    assert_int_equal(resolve_weight(0, 50, 0, 0), 50);
    assert_int_equal(resolve_weight(0, 50, 0, 900), 100);
    assert_int_equal(resolve_weight(0, 50, 60, 900), 60);
}

static void test_cpu_rate_is_unlimited_until_somebody_says_otherwise(void **state)
{
    const struct limits low = { .cpu_rate = 100 };
    const struct limits high = { .cpu_rate = 300 };
    const struct limits unlimited = { .cpu_rate = LIMIT_UNLIMITED };
    const struct limits_layers by_default = { .platform_default = &low };
    const struct limits_layers by_maximum = { .cordon_maximum = &low };
    const struct limits_layers cut = { .platform_maximum = &low, .tenant = &high };
    const struct limits_layers asked = { .platform_default = &low, .tenant = &unlimited };
    struct limits limits = { 0 };

    (void) state;
    limits_resolve(&by_default, &limits);
    assert_int_equal(limits.cpu_rate, 100);
    limits_resolve(&by_maximum, &limits);
    assert_int_equal(limits.cpu_rate, 100);
    limits_resolve(&cut, &limits);
    assert_int_equal(limits.cpu_rate, 100);
    limits_resolve(&asked, &limits);
    assert_true(limits.cpu_rate == LIMIT_UNLIMITED);
}

static void test_what_only_shapes_other_limits_cannot_be_observed(void **state)
{
    (void) state;
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        assert_int_equal(limit_table[i].may_be_observed,
                         i != LIMIT_INDEX(grace_ms) && i != LIMIT_INDEX(weight) &&
                             i != LIMIT_INDEX(hung_ms) && i != LIMIT_INDEX(renewals) &&
                             i < LIMIT_INDEX(storage_rate));
}

/* Writes 64000 as "64 000", and 4096 without a space; with a unit if there is one. */
static const char *write_number(uint32_t value, const char *unit, char buffer[32])
{
    const char *space = unit[0] ? " " : "";

    if (value == LIMIT_UNLIMITED)
        (void) snprintf(buffer, 32, "unlimited");
    else if (value < 10000)
        (void) snprintf(buffer, 32, "%u%s%s", value, space, unit);
    else if (value < 1000000)
        (void) snprintf(buffer, 32, "%u %03u%s%s", value / 1000, value % 1000, space, unit);
    else
        (void) snprintf(buffer, 32, "%u %03u %03u%s%s", value / 1000000, value / 1000 % 1000,
                        value % 1000, space, unit);
    return buffer;
}

static void test_documentation_has_each_limit_with_its_default_and_bounds(void **state)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    (void) state;
    assert_int_equal(io_read_file(AT_FDCWD, "docs/limits.md", 1 << 20, &text, &size), 0);
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        const struct limit_info *info = &limit_table[i];
        char preset[32];
        char least[32];
        char most[32];
        char row[160];
        (void) snprintf(row, sizeof row, "\n| `%s` | %s | %s to %s | ", info->name,
                        write_number(info->preset, info->unit, preset),
                        write_number(info->least, "", least), write_number(info->most, "", most));
        const char *found = strstr(text, row);
        if (!found)
            fail_msg("docs/limits.md has no row %s", row + 1);
        else if (strstr(found + 1, row))
            fail_msg("docs/limits.md has it twice: %s", row + 1);
    }
}

/* ---- where a limit comes from */

static void assert_origin(const struct limit_origin *origins, unsigned index, uint32_t wanted,
                          enum limit_source source, enum limit_cut cut)
{
    assert_true(origins[index].wanted == wanted);
    assert_int_equal(origins[index].source, source);
    assert_int_equal(origins[index].cut, cut);
}

static void test_each_value_says_which_layer_it_comes_from(void **state)
{
    const struct limits platform = { .cpu_ms = 10, .wall_ms = 1000, .queue = 7 };
    const struct limits cordon = { .cpu_ms = 20, .wall_ms = 2000 };
    const struct limits tenant = { .cpu_ms = 30, .cpu_rate = LIMIT_UNLIMITED };
    const struct limits_layers layers = {
        .platform_default = &platform,
        .cordon_default = &cordon,
        .tenant = &tenant,
    };
    struct limit_origin origins[LIMITS_COUNT];
    struct limits limits = { 0 }, same = { 0 };

    (void) state;
    limits_trace(&layers, &limits, origins);
    limits_resolve(&layers, &same);
    assert_memory_equal(&limits, &same, sizeof limits);
    assert_origin(origins, LIMIT_INDEX(cpu_ms), 30, LIMIT_FROM_TENANT, LIMIT_NOT_CUT);
    assert_origin(origins, LIMIT_INDEX(wall_ms), 2000, LIMIT_FROM_CORDON, LIMIT_NOT_CUT);
    assert_origin(origins, LIMIT_INDEX(queue), 7, LIMIT_FROM_PLATFORM, LIMIT_NOT_CUT);
    assert_origin(origins, LIMIT_INDEX(heap_mib), 64, LIMIT_FROM_PRESET, LIMIT_NOT_CUT);
    assert_origin(origins, LIMIT_INDEX(cpu_rate), LIMIT_UNLIMITED, LIMIT_FROM_TENANT,
                  LIMIT_NOT_CUT);
}

static void test_each_value_says_which_maximum_has_cut_it(void **state)
{
    const struct limits platform_maximum = {
        .cpu_ms = 100, .wall_ms = 500, .heap_mib = 32, .queue = 9
    };
    const struct limits cordon_maximum = { .cpu_ms = 200, .wall_ms = 400, .heap_mib = 32 };
    const struct limits tenant = { .cpu_ms = 300, .wall_ms = LIMIT_UNLIMITED, .queue = 9 };
    const struct limits_layers layers = {
        .platform_maximum = &platform_maximum,
        .cordon_maximum = &cordon_maximum,
        .tenant = &tenant,
    };
    struct limit_origin origins[LIMITS_COUNT];
    struct limits limits = { 0 };

    (void) state;
    limits_trace(&layers, &limits, origins);
    assert_origin(origins, LIMIT_INDEX(cpu_ms), 300, LIMIT_FROM_TENANT, LIMIT_CUT_BY_PLATFORM);
    assert_origin(origins, LIMIT_INDEX(wall_ms), LIMIT_UNLIMITED, LIMIT_FROM_TENANT,
                  LIMIT_CUT_BY_CORDON);
    assert_origin(origins, LIMIT_INDEX(heap_mib), 64, LIMIT_FROM_PRESET, LIMIT_CUT_BY_PLATFORM);
    assert_origin(origins, LIMIT_INDEX(queue), 9, LIMIT_FROM_TENANT, LIMIT_NOT_CUT);
}

static void test_weight_without_a_maximum_is_cut_by_the_preset(void **state)
{
    const struct limits tenant = { .weight = 500 }, maximum = { .weight = 700 };
    struct limits_layers layers = { .tenant = &tenant };
    struct limit_origin origins[LIMITS_COUNT];
    struct limits limits = { 0 };

    (void) state;
    limits_trace(&layers, &limits, origins);
    assert_int_equal(limits.weight, 100);
    assert_origin(origins, LIMIT_INDEX(weight), 500, LIMIT_FROM_TENANT, LIMIT_CUT_BY_PRESET);
    layers.cordon_maximum = &maximum;
    limits_trace(&layers, &limits, origins);
    assert_origin(origins, LIMIT_INDEX(weight), 500, LIMIT_FROM_TENANT, LIMIT_NOT_CUT);
}

static void test_every_origin_has_a_name(void **state)
{
    (void) state;
    for (enum limit_source source = LIMIT_FROM_PRESET; source <= LIMIT_FROM_TENANT; source++)
        assert_true(strlen(limit_source_name(source)) > 0);
    assert_string_equal(limit_cut_name(LIMIT_NOT_CUT), "");
    for (enum limit_cut cut = LIMIT_CUT_BY_PLATFORM; cut <= LIMIT_CUT_BY_PRESET; cut++)
        assert_true(strlen(limit_cut_name(cut)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_follows_the_struct_and_presets_are_in_bounds),
        cmocka_unit_test(test_without_layers_the_presets_of_the_design_apply),
        cmocka_unit_test(test_tenant_is_before_cordon_before_platform_before_preset),
        cmocka_unit_test(test_lowest_maximum_cuts_wishes_presets_and_unlimited),
        cmocka_unit_test(test_unlimited_stays_where_no_maximum_is_set),
        cmocka_unit_test(test_tenant_weighs_no_more_than_others_unless_there_is_a_maximum),
        cmocka_unit_test(test_weight_that_the_operator_gives_by_default_holds),
        cmocka_unit_test(test_cpu_rate_is_unlimited_until_somebody_says_otherwise),
        cmocka_unit_test(test_documentation_has_each_limit_with_its_default_and_bounds),
        cmocka_unit_test(test_what_only_shapes_other_limits_cannot_be_observed),
        cmocka_unit_test(test_each_value_says_which_layer_it_comes_from),
        cmocka_unit_test(test_each_value_says_which_maximum_has_cut_it),
        cmocka_unit_test(test_weight_without_a_maximum_is_cut_by_the_preset),
        cmocka_unit_test(test_every_origin_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
