/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "config/config.h"
#include "supervisor/record/record.h"

static struct config config;

struct scene {
    struct record record;
    struct counted a, b;
};

static int set_up(void **state)
{
    static struct scene scene;

    assert_int_equal(record_init(&scene.record, &config), 0);
    counted_init(&scene.a, &scene.record, "a");
    counted_init(&scene.b, &scene.record, "b");
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    counted_done(&s->a);
    counted_done(&s->b);
    record_done(&s->record);
    return 0;
}

static void add(struct counted *counted, const char *host, unsigned status)
{
    const struct egress_entry entry = {
        .outcome = status > 0 ? OUTCOME_ANSWERED : OUTCOME_FAILED,
        .reason = "",
        .status = status,
        .method = "GET",
        .host = host,
        .sent = 1,
        .received = 2,
    };

    egress_log_add(counted, &entry);
}

static unsigned count(const struct scene *s, const struct counted *counted)
{
    const struct egress_entry *entry = egress_log_newest(s->record.egress_log, counted);
    unsigned n = 0;

    for (; entry; entry = egress_entry_older(entry, counted))
        n++;
    return n;
}

static void test_entries_are_copies_in_order(void **state)
{
    struct scene *s = *state;
    char host[] = "one.test";

    assert_null(egress_log_newest(s->record.egress_log, NULL));
    add(&s->a, host, 200);
    memset(host, 'x', strlen(host));
    add(&s->b, "two.test", 0);
    add(&s->a, "three.test", 200);
    const struct egress_entry *entry = egress_log_newest(s->record.egress_log, &s->a);
    assert_int_equal(entry->number, 3);
    entry = egress_entry_older(entry, &s->a);
    assert_string_equal(entry->host, "one.test");
    assert_string_equal(entry->method, "GET");
    assert_int_equal(egress_entry_newer(entry, NULL)->number, 2);
    assert_int_equal(egress_entry_newer(entry, &s->a)->number, 3);
    assert_int_equal(s->a.counters.fetches.by[OUTCOME_ANSWERED], 2);
    assert_int_equal(s->record.counters.fetches.by[OUTCOME_FAILED], 1);
    assert_int_equal(s->record.counters.fetches.received, 6);
}

static void test_a_tenant_makes_room_for_itself(void **state)
{
    struct scene *s = *state;
    char host[254];
    uint64_t dropped;

    add(&s->b, "quiet.test", 200);
    for (unsigned i = 0; i < 1000; i++)
        add(&s->a, "a.test", 200);
    assert_int_equal(count(s, &s->a), EGRESS_LOG_TENANT_ENTRIES);
    memset(host, 'x', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    for (unsigned i = 0; i < 1000; i++)
        add(&s->a, host, 200);
    assert_in_range(count(s, &s->a), 10, EGRESS_LOG_TENANT_ENTRIES - 1);
    assert_in_range(egress_log_bytes(s->record.egress_log, &dropped), EGRESS_LOG_TENANT_BYTES / 2,
                    EGRESS_LOG_TENANT_BYTES + 1000);
    assert_int_equal(count(s, &s->b), 1);
    counted_done(&s->a);
    assert_int_equal(count(s, NULL), 1);
    counted_init(&s->a, &s->record, "a");
}

static void test_all_tenants_have_one_bound(void **state)
{
    enum { TENANTS = 400 };
    static struct counted many[TENANTS];
    struct scene *s = *state;
    uint64_t dropped;

    for (unsigned i = 0; i < TENANTS; i++) {
        counted_init(&many[i], &s->record, "many");
        for (unsigned k = 0; k < EGRESS_LOG_TENANT_ENTRIES; k++)
            add(&many[i], "a.test", 200);
    }
    assert_in_range(egress_log_bytes(s->record.egress_log, &dropped), EGRESS_LOG_BYTES - 1000,
                    EGRESS_LOG_BYTES);
    assert_int_equal(count(s, &many[0]), 0);
    assert_int_equal(count(s, &many[TENANTS - 1]), EGRESS_LOG_TENANT_ENTRIES);
    for (unsigned i = 0; i < TENANTS; i++)
        counted_done(&many[i]);
    assert_int_equal(egress_log_bytes(s->record.egress_log, &dropped), 0);
}

/* ---- hosts with most fetches */

static size_t list(const struct top_hosts *top, const struct top_host *hosts[TOP_HOSTS_SHOWN])
{
    return top_hosts_list(top, hosts);
}

static void test_the_hosts_with_most_fetches_come_first(void **state)
{
    static struct top_hosts top;
    const struct top_host *hosts[TOP_HOSTS_SHOWN];
    char name[32];

    (void) state;
    assert_int_equal(list(&top, hosts), 0);
    for (unsigned i = 0; i < 20; i++)
        for (unsigned k = 0; k <= i; k++) {
            (void) snprintf(name, sizeof name, "%u.test", i);
            top_hosts_count(&top, name);
        }
    assert_int_equal(list(&top, hosts), TOP_HOSTS_SHOWN);
    for (unsigned i = 0; i < TOP_HOSTS_SHOWN; i++)
        assert_int_equal(hosts[i]->count, 20 - i);
    assert_string_equal(hosts[0]->name, "19.test");
}

static void test_names_that_are_made_up_are_not_shown_and_hide_nothing(void **state)
{
    static struct top_hosts top;
    const struct top_host *hosts[TOP_HOSTS_SHOWN];
    char name[32];

    (void) state;
    for (unsigned i = 0; i < 100000; i++) {
        (void) snprintf(name, sizeof name, "%u.made-up.test", i);
        top_hosts_count(&top, i % 10 == 0 ? "often.test" : name);
    }
    assert_int_equal(list(&top, hosts), 1);
    assert_string_equal(hosts[0]->name, "often.test");
    assert_int_equal(hosts[0]->count, 10000);
    assert_int_equal(top.total, 100000);
}

static void test_a_long_name_is_cut(void **state)
{
    static struct top_hosts top;
    const struct top_host *hosts[TOP_HOSTS_SHOWN];
    char name[1000];

    (void) state;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    top_hosts_count(&top, name);
    top_hosts_count(&top, name);
    assert_int_equal(list(&top, hosts), 1);
    assert_int_equal(strlen(hosts[0]->name), TOP_HOST_BYTES - 1);
    assert_int_equal(hosts[0]->count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_entries_are_copies_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_tenant_makes_room_for_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_tenants_have_one_bound, set_up, tear_down),
        cmocka_unit_test(test_the_hosts_with_most_fetches_come_first),
        cmocka_unit_test(test_names_that_are_made_up_are_not_shown_and_hide_nothing),
        cmocka_unit_test(test_a_long_name_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
