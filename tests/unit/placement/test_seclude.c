/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The look at every tenant, once a second: some in each turn of the loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/io.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/workers/worker.h"

#define TENANTS (3 * TENANT_LOOKS_MAX)

struct scene {
    struct tenants *tenants;
    struct cordon_config cordon;
    struct version version;
    struct tenant *tenant[TENANTS];
};

static int set_up(void **state)
{
    struct scene *s = calloc(1, sizeof *s);

    assert_non_null(s);
    assert_int_equal(tenants_new(NULL, NULL, &s->tenants), 0);
    s->version.cordon = &s->cordon;
    LIST_INIT(&s->version.placements);
    for (unsigned i = 0; i < TENANTS; i++) {
        char name[32];
        (void) snprintf(name, sizeof name, "tenant-%u", i);
        s->tenant[i] = calloc(1, sizeof *s->tenant[i]);
        assert_non_null(s->tenant[i]);
        s->tenant[i]->tenants = s->tenants;
        s->tenant[i]->number = i + 1;
        s->tenant[i]->name = strdup(name);
        s->tenant[i]->version = &s->version;
        s->tenant[i]->cpu_us = 1000 + i;
        tenant_list(s->tenants, s->tenant[i]);
    }
    *state = s;
    return 0;
}

static void remove_tenant(struct scene *s, unsigned i)
{
    tenant_unlist(s->tenants, s->tenant[i]);
    free(s->tenant[i]->name);
    free(s->tenant[i]);
    s->tenant[i] = NULL;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < TENANTS; i++)
        if (s->tenant[i])
            remove_tenant(s, i);
    (void) tenants_free(s->tenants);
    free(s);
    return 0;
}

static unsigned count_looked_at(const struct scene *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < TENANTS; i++)
        n += s->tenant[i] && s->tenant[i]->cpu_seen_us > 0;
    return n;
}

static void test_round_looks_at_some_tenants_in_a_turn_and_at_each_once(void **state)
{
    struct scene *s = *state;
    unsigned turns = 0;

    for (bool has_more = true; has_more; turns++) {
        unsigned before = count_looked_at(s);
        has_more = seclude_check_some(s->tenants, io_now_ns());
        assert_in_range(count_looked_at(s) - before, 0, TENANT_LOOKS_MAX);
    }
    assert_in_range(turns, TENANTS / TENANT_LOOKS_MAX, TENANTS / TENANT_LOOKS_MAX + 1);
    for (unsigned i = 0; i < TENANTS; i++) {
        assert_int_equal(s->tenant[i]->calm_looks, 1);
        assert_int_equal(s->tenant[i]->spent_us, 1000 + i);
        assert_int_equal(s->tenant[i]->cpu_seen_us, 1000 + i);
    }
    assert_true(seclude_check_some(s->tenants, io_now_ns())); /* the next round */
    assert_int_equal(s->tenant[0]->calm_looks, 2);
    assert_int_equal(s->tenant[0]->spent_us, 0);
    assert_int_equal(s->tenant[TENANTS - 1]->calm_looks, 1);
}

static void test_tenants_may_go_in_the_middle_of_a_round(void **state)
{
    struct scene *s = *state;

    assert_true(seclude_check_some(s->tenants, io_now_ns()));
    remove_tenant(s, 0);
    remove_tenant(s, TENANT_LOOKS_MAX); /* the next one */
    remove_tenant(s, TENANTS - 1);
    while (seclude_check_some(s->tenants, io_now_ns()))
        ;
    for (unsigned i = 0; i < TENANTS; i++)
        if (s->tenant[i])
            assert_int_equal(s->tenant[i]->calm_looks, 1);
}

static void look_at_all(struct scene *s, uint64_t now_ns)
{
    while (seclude_check_some(s->tenants, now_ns))
        ;
}

/* Looks that many times, a second apart; the first tenant uses 60 ms of CPU time in each, the
 * second one 10 ms. */
static unsigned count_busy_looks(struct scene *s, uint64_t waited_ms_per_s)
{
    struct worker worker = { 0 };
    struct version versions[2];
    struct placement placements[2];
    const unsigned looks = 5;

    LIST_INIT(&worker.placements);
    for (unsigned i = 0; i < 2; i++) {
        versions[i] = (struct version){ .cordon = &s->cordon, .tenant = s->tenant[i] };
        placements[i] = (struct placement){ .version = &versions[i], .worker = &worker };
        LIST_INIT(&versions[i].placements);
        LIST_INSERT_HEAD(&versions[i].placements, &placements[i], in_version);
        LIST_INSERT_HEAD(&worker.placements, &placements[i], in_worker);
        s->tenant[i]->version = &versions[i];
    }
    look_at_all(s, NSEC_PER_SEC);
    for (unsigned i = 1; i <= looks; i++) {
        s->tenant[0]->cpu_us += 60000;
        s->tenant[1]->cpu_us += 10000;
        worker.own.waited_ns += waited_ms_per_s * NSEC_PER_MSEC;
        look_at_all(s, (1 + i) * NSEC_PER_SEC);
    }
    assert_int_equal(s->tenant[1]->busy_looks, 0);
    for (unsigned i = 0; i < 2; i++)
        s->tenant[i]->version = &s->version;
    return s->tenant[0]->busy_looks;
}

static void test_tenant_that_takes_most_of_what_a_busy_host_gives_is_busy(void **state)
{
    assert_int_equal(count_busy_looks(*state, 900), 5);
}

static void test_tenant_that_takes_little_of_an_idle_host_is_not(void **state)
{
    assert_int_equal(count_busy_looks(*state, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_looks_at_some_tenants_in_a_turn_and_at_each_once,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tenants_may_go_in_the_middle_of_a_round, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_tenant_that_takes_most_of_what_a_busy_host_gives_is_busy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tenant_that_takes_little_of_an_idle_host_is_not,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
