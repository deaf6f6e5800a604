/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/helpers/health.h"
#include "supervisor/jail/level.h"
#include "supervisor/record/life.h"
#include "supervisor/record/record.h"
#include "supervisor/stats/families.h"
#include "supervisor/stats/text.h"
#include "supervisor/tenants/tenant.h"

static void assert_text(struct text *text, const char *expected)
{
    assert_false(text->has_failed);
    assert_int_equal(text->size, strlen(expected));
    assert_memory_equal(text->data, expected, text->size);
    text_done(text);
}

static void test_family_has_help_and_type(void **state)
{
    struct text text = { 0 };

    (void) state;
    text_family(&text, "x_total", "counter", "What it is.");
    assert_text(&text, "# HELP x_total What it is.\n# TYPE x_total counter\n");
}

static void test_samples_have_their_labels(void **state)
{
    struct text text = { 0 };

    (void) state;
    text_count(&text, "x", TEXT_NO_LABELS, UINT64_MAX);
    text_count(&text, "x", TEXT_LABELS({ "a", "1" }, { "b", NULL }), 0);
    text_time(&text, "y", TEXT_LABELS({ "a", "1" }), 61000002);
    assert_text(&text, "x 18446744073709551615\nx{a=\"1\",b=\"\"} 0\ny{a=\"1\"} 61.000002\n");
}

static void test_label_values_are_escaped(void **state)
{
    struct text text = { 0 };

    (void) state;
    text_count(&text, "x", TEXT_LABELS({ "a", "\"} 1\nx\\" }), 1);
    assert_text(&text, "x{a=\"\\\"} 1\\nx\\\\\"} 1\n");
}

static void test_histogram_is_cumulative_and_ends_with_all(void **state)
{
    struct histogram histogram = { 0 };
    struct text text = { 0 };

    (void) state;
    histogram_record(&histogram, 500);                    /* 0.5 ms */
    histogram_record(&histogram, 40000);                  /* 40 ms */
    histogram_record(&histogram, 90 * UINT64_C(1000000)); /* 90 s */
    text_histogram(&text, "x", TEXT_LABELS({ "t", "a" }), TEXT_SECONDS, &histogram);
    assert_text(&text, "x_bucket{t=\"a\",le=\"0.001\"} 1\n"
                       "x_bucket{t=\"a\",le=\"0.0025\"} 1\n"
                       "x_bucket{t=\"a\",le=\"0.005\"} 1\n"
                       "x_bucket{t=\"a\",le=\"0.01\"} 1\n"
                       "x_bucket{t=\"a\",le=\"0.025\"} 1\n"
                       "x_bucket{t=\"a\",le=\"0.05\"} 2\n"
                       "x_bucket{t=\"a\",le=\"0.1\"} 2\n"
                       "x_bucket{t=\"a\",le=\"0.25\"} 2\n"
                       "x_bucket{t=\"a\",le=\"0.5\"} 2\n"
                       "x_bucket{t=\"a\",le=\"1\"} 2\n"
                       "x_bucket{t=\"a\",le=\"2.5\"} 2\n"
                       "x_bucket{t=\"a\",le=\"5\"} 2\n"
                       "x_bucket{t=\"a\",le=\"10\"} 2\n"
                       "x_bucket{t=\"a\",le=\"30\"} 2\n"
                       "x_bucket{t=\"a\",le=\"60\"} 2\n"
                       "x_bucket{t=\"a\",le=\"+Inf\"} 3\n"
                       "x_sum{t=\"a\"} 90.040500\n"
                       "x_count{t=\"a\"} 3\n");
}

static void test_histogram_of_bytes_counts_kib(void **state)
{
    struct histogram histogram = { 0 };
    struct text text = { 0 };

    (void) state;
    histogram_record(&histogram, 100); /* KiB */
    text_histogram(&text, "x", TEXT_NO_LABELS, TEXT_BYTES, &histogram);
    assert_non_null(memmem(text.data, text.size, "x_bucket{le=\"65536\"} 0\n", 23));
    assert_non_null(memmem(text.data, text.size, "x_bucket{le=\"262144\"} 1\n", 24));
    assert_non_null(memmem(text.data, text.size, "x_sum 102400\nx_count 1\n", 23));
    text_done(&text);
}

/* ---- families, a piece at a time */

#define TENANTS 5

struct scene {
    struct config config;
    struct life life;
    struct health health;
    struct jail_state jail;
    struct record record;
    struct tenants tenants;
    struct metrics_sources from;
    struct tenant tenant[TENANTS];
    char names[TENANTS][4];
};

static struct scene *make_scene(uint32_t most)
{
    struct scene *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->config.metrics.tenants = most;
    s->record.config = &s->config;
    s->from = (struct metrics_sources){
        .config = &s->config,
        .life = &s->life,
        .health = &s->health,
        .jail = &s->jail,
        .record = &s->record,
        .tenants = &s->tenants,
    };
    TAILQ_INIT(&s->tenants.list);
    for (unsigned i = 0; i < TENANTS; i++) {
        s->names[i][0] = 't';
        s->names[i][1] = (char) ('0' + i);
        s->tenant[i].name = s->names[i];
        counted_init(&s->tenant[i].counted, &s->record, s->names[i]);
        s->tenant[i].number = i + 1;
        tenant_list(&s->tenants, &s->tenant[i]);
    }
    return s;
}

static void ask(struct scene *s, unsigned tenant, unsigned times)
{
    struct counted *counted = &s->tenant[tenant].counted;

    for (unsigned i = 0; i < times; i++) {
        stats_enter(counted);
        stats_count_answer(&s->record, counted, ERROR_NONE, false);
        stats_record_latency(counted, 0, 1000000);
    }
}

/* Writes the whole scrape, in pieces that are as small as possible. */
static void write_all(struct scene *s, struct text *text)
{
    struct families_cursor cursor = { .from = &s->from };

    while (families_write(&cursor, text, text->size + 1))
        ;
    families_cursor_done(&cursor);
}

static void assert_has(const struct text *text, const char *line)
{
    if (!memmem(text->data, text->size, line, strlen(line)))
        fail_msg("no %s", line);
}

static void assert_has_not(const struct text *text, const char *part)
{
    if (memmem(text->data, text->size, part, strlen(part)))
        fail_msg("there is %s", part);
}

static void test_pieces_are_the_same_as_all_at_once(void **state)
{
    struct scene *s = make_scene(3);
    struct text pieces = { 0 }, whole = { 0 };
    struct families_cursor cursor = { .from = &s->from };

    (void) state;
    for (unsigned i = 0; i < TENANTS; i++)
        ask(s, i, i + 1);
    write_all(s, &pieces);
    assert_false(families_write(&cursor, &whole, SIZE_MAX));
    families_cursor_done(&cursor);
    assert_true(pieces.size > 10000);
    /* Times differ, but both end with the same. */
    const char *at = memmem(whole.data, whole.size, "# HELP skep_draining", 20);
    size_t size = whole.size - (size_t) (at - whole.data);
    assert_memory_equal(pieces.data + pieces.size - size, at, size);
    text_done(&pieces);
    text_done(&whole);
    free(s);
}

/* Counts in the sum of the others stay there: a series that becomes free goes to a tenant that
 * has no counts yet. */
static void test_rest_has_no_series_later(void **state)
{
    struct scene *s = make_scene(1);
    struct text text = { 0 };

    (void) state;
    ask(s, 0, 1);
    ask(s, 1, 2);
    stats_forget(&s->tenant[0].counted); /* and the series is free */
    tenant_unlist(&s->tenants, &s->tenant[0]);
    ask(s, 1, 3);
    ask(s, 2, 4);
    write_all(s, &text);
    assert_has(&text, "skep_requests_total{tenant=\"_other\",code=\"ok\"} 5\n");
    assert_has(&text, "skep_requests_total{tenant=\"t2\",code=\"ok\"} 4\n");
    assert_has_not(&text, "t0");
    assert_has_not(&text, "tenant=\"t1\"");
    text_done(&text);
    free(s);
}

static void test_incident_is_something_that_a_tenant_does(void **state)
{
    struct scene *s = make_scene(1);

    (void) state;
    stats_count_incident(&s->record, &s->tenant[0].counted, &(struct incident){ 0 });
    assert_true(s->tenant[0].counted.has_series);
    ask(s, 1, 1);
    assert_false(s->tenant[1].counted.has_series);
    free(s);
}

static void test_first_come_have_series_and_the_rest_is_one(void **state)
{
    struct scene *s = make_scene(2);
    struct text text = { 0 };

    (void) state;
    ask(s, 4, 1);
    ask(s, 2, 2);
    ask(s, 0, 3);
    ask(s, 1, 4);
    write_all(s, &text);
    assert_has(&text, "skep_requests_total{tenant=\"t4\",code=\"ok\"} 1\n");
    assert_has(&text, "skep_requests_total{tenant=\"t2\",code=\"ok\"} 2\n");
    assert_has(&text, "skep_requests_total{tenant=\"_other\",code=\"ok\"} 7\n");
    assert_has(&text, "skep_request_duration_seconds_count{tenant=\"_other\"} 7\n");
    assert_has(&text, "skep_tenants_with_series 2\n");
    assert_has_not(&text, "t0");
    assert_has_not(&text, "t1");
    assert_has_not(&text, "t3");
    text_done(&text);
    free(s);
}

static void test_none_have_series_where_none_may(void **state)
{
    struct scene *s = make_scene(0);
    struct text text = { 0 };

    (void) state;
    ask(s, 0, 1);
    write_all(s, &text);
    assert_has(&text, "skep_requests_total{tenant=\"_other\",code=\"ok\"} 1\n");
    assert_has_not(&text, "t0");
    text_done(&text);
    free(s);
}

/* At no point of a scrape is a removed tenant looked at. */
static void test_tenant_may_go_while_it_is_scraped(void **state)
{
    for (unsigned steps = 1;; steps++) {
        struct scene *s = make_scene(TENANTS);
        struct families_cursor cursor = { .from = &s->from };
        struct text text = { 0 };
        bool has_more = true;

        (void) state;
        for (unsigned i = 0; i < TENANTS; i++)
            ask(s, i, 1);
        for (unsigned i = 0; i < steps && has_more; i++)
            has_more = families_write(&cursor, &text, text.size + 1);
        tenant_unlist(&s->tenants, &s->tenant[3]);
        size_t size = text.size;
        memset(&s->tenant[3], 0xff, sizeof s->tenant[3]);
        bool is_over = !has_more;
        while (has_more)
            has_more = families_write(&cursor, &text, text.size + 1);
        if (size < text.size)
            assert_null(memmem(text.data + size, text.size - size, "t3", 2));
        families_cursor_done(&cursor);
        text_done(&text);
        free(s);
        if (is_over)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_family_has_help_and_type),
        cmocka_unit_test(test_samples_have_their_labels),
        cmocka_unit_test(test_label_values_are_escaped),
        cmocka_unit_test(test_histogram_is_cumulative_and_ends_with_all),
        cmocka_unit_test(test_histogram_of_bytes_counts_kib),
        cmocka_unit_test(test_pieces_are_the_same_as_all_at_once),
        cmocka_unit_test(test_first_come_have_series_and_the_rest_is_one),
        cmocka_unit_test(test_rest_has_no_series_later),
        cmocka_unit_test(test_incident_is_something_that_a_tenant_does),
        cmocka_unit_test(test_none_have_series_where_none_may),
        cmocka_unit_test(test_tenant_may_go_while_it_is_scraped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
