/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rights to call, kept as text from one life of skepd to the next.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

#include "config/config.h"
#include "supervisor/tenants/router.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/tenants/unserved.h"

#define FIRST "skep callers 1\n"

static struct {
    struct config *config;
    struct record record;
    struct tenants *tenants;
    unsigned n_changes;
} life;

static void on_changed(void *owner)
{
    (void) owner;
    life.n_changes++;
}

/* Begins a life of skepd with the text that the one before has left. */
static int begin(const char *text)
{
    static const char yaml[] = "listen: [\"127.0.0.1:0\"]\n";
    struct config_errors errors = { 0 };

    life.n_changes = 0;
    assert_int_equal(config_parse("c.yaml", yaml, sizeof yaml - 1, &life.config, &errors), 0);
    assert_int_equal(record_init(&life.record, life.config), 0);
    assert_int_equal(tenants_new(life.config, &life.record, &life.tenants), 0);
    callers_watch(life.tenants, on_changed, NULL);
    return callers_read(life.tenants, text, strlen(text));
}

/* callers: "" or the line of skep.yaml. */
static struct tenant *add(const char *name, const char *callers)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;
    struct tenant *tenant = NULL;
    char text[128];

    int n = snprintf(text, sizeof text, "name: %s\nmain: a.js\n%s", name, callers);
    assert_int_equal(manifest_parse("skep.yaml", text, (size_t) n, &manifest, &errors), 0);
    assert_int_equal(tenant_new(life.tenants, name, "/nowhere", &tenant), 0);
    assert_int_equal(version_new(tenant, manifest, &tenant->version), 0);
    tenant_list(life.tenants, tenant);
    callers_on_served(life.tenants, tenant);
    return tenant;
}

static void drop(struct tenant *tenant, bool is_removed)
{
    tenant_unlist(life.tenants, tenant);
    if (is_removed)
        callers_on_removed(life.tenants, tenant->name);
    (void) tenant_free(tenant);
}

static void expect(const char *text)
{
    size_t size;
    char *found = callers_write(life.tenants, &size);

    assert_string_equal(found, text);
    assert_int_equal(size, strlen(text));
    free(found);
}

static void end(void)
{
    struct tenant *tenant;

    while ((tenant = TAILQ_FIRST(&life.tenants->list)))
        drop(tenant, false);
    (void) tenants_free(life.tenants);
    record_done(&life.record);
    (void) config_free(life.config);
}

static void test_name_that_nobody_had_is_not_kept(void **state)
{
    (void) state;
    assert_int_equal(begin(FIRST), 0);
    add("b", "callers: [a]\n");
    callers_settle(life.tenants);
    expect(FIRST);
    const struct tenant *a = add("a", "");
    assert_true(callers_may_call(TAILQ_FIRST(&life.tenants->list)->version, a));
    expect(FIRST "b a here\n");
    end();
}

static void test_kept_rights_stand_for_the_same_tenants(void **state)
{
    (void) state;
    assert_int_equal(begin(FIRST "b a here\nb c gone\n"), 0);
    const struct tenant *b = add("b", "callers: [a, c]\n"), *a = add("a", ""), *c = add("c", "");
    callers_settle(life.tenants);
    assert_true(callers_may_call(b->version, a));
    assert_false(callers_may_call(b->version, c));
    expect(FIRST "b a here\nb c gone\n");
    end();
}

static void test_tenant_that_is_not_there_any_more_has_gone(void **state)
{
    (void) state;
    assert_int_equal(begin(FIRST "b a here\n"), 0);
    const struct tenant *b = add("b", "callers: [a]\n");
    expect(FIRST "b a here\n"); /* all tenants are not there yet */
    callers_settle(life.tenants);
    expect(FIRST "b a gone\n");
    assert_false(callers_may_call(b->version, add("a", "")));
    end();
}

static void test_tenant_that_cannot_be_served_keeps_its_rights_both_ways(void **state)
{
    (void) state;
    assert_int_equal(begin(FIRST "b a here\nd e gone\n"), 0);
    const struct tenant *b = add("b", "callers: [a]\n");
    assert_int_equal(unserved_add(life.tenants, "a", "", "damaged", NULL), 0);
    assert_int_equal(unserved_add(life.tenants, "d", "", "damaged", NULL), 0);
    callers_settle(life.tenants);
    expect(FIRST "b a here\nd e gone\n");
    assert_true(callers_may_call(b->version, add("a", "")));
    assert_false(callers_may_call(add("d", "callers: [e]\n")->version, add("e", "")));
    expect(FIRST "b a here\nd e gone\n");
    unserved_forget_all(life.tenants);
    end();
}

static void test_removal_of_either_ends_the_right(void **state)
{
    (void) state;
    assert_int_equal(begin(FIRST "b a here\nd a gone\n"), 0);
    struct tenant *b = add("b", "callers: [a]\n"), *d = add("d", "callers: [a]\n");
    struct tenant *a = add("a", "");
    callers_settle(life.tenants);
    drop(a, true);
    expect(FIRST "b a gone\nd a gone\n");
    drop(b, true);
    drop(d, true);
    expect(FIRST);
    a = add("a", "");
    assert_true(callers_may_call(add("d", "callers: [a]\n")->version, a)); /* another d */
    end();
}

static void test_removal_of_a_tenant_that_was_not_served_ends_its_rights(void **state)
{
    (void) state;
    assert_int_equal(begin(FIRST "b a here\n"), 0);
    add("b", "callers: [a]\n");
    assert_int_equal(unserved_add(life.tenants, "a", "", "damaged", NULL), 0);
    callers_settle(life.tenants);
    unsigned before = life.n_changes;
    unserved_forget(life.tenants, "a");
    callers_on_removed(life.tenants, "a");
    assert_true(life.n_changes > before);
    expect(FIRST "b a gone\n");
    end();
}

static void test_damaged_text_gives_no_right(void **state)
{
    static const char *const damaged[] = {
        "",
        "skep callers 2\n",
        FIRST "b a here",
        FIRST "b a here\nb",
        FIRST "b a\n",
        FIRST "b a there\n",
        FIRST "b a here now\n",
        FIRST "B a here\n",
        FIRST "b  here\n",
        FIRST "\n",
        FIRST "b aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa here\n",
    };

    (void) state;
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        assert_int_equal(begin(damaged[i]), -EBADMSG);
        const struct tenant *a = add("a", ""), *b = add("b", "callers: [a]\n");
        assert_false(callers_may_call(b->version, a));
        callers_settle(life.tenants);
        end();
    }
    assert_int_equal(begin(FIRST), 0);
    assert_int_equal(callers_read(life.tenants, "skep callers 1\n\0", 16), -EBADMSG);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_that_nobody_had_is_not_kept),
        cmocka_unit_test(test_kept_rights_stand_for_the_same_tenants),
        cmocka_unit_test(test_tenant_that_is_not_there_any_more_has_gone),
        cmocka_unit_test(test_tenant_that_cannot_be_served_keeps_its_rights_both_ways),
        cmocka_unit_test(test_removal_of_either_ends_the_right),
        cmocka_unit_test(test_removal_of_a_tenant_that_was_not_served_ends_its_rights),
        cmocka_unit_test(test_damaged_text_gives_no_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
