/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests how many lines skepd's log takes of tenants' output and incidents, within a second that
 * does not pass: the clock is that of tests/events. The log is standard error, which goes to a file
 * here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io.h"
#include "common/log.h"
#include "supervisor/record/record.h"
#include "tests/events/clock.h"

#define ALL_LINES 40
#define TENANT_LINES 30
#define TENANTS 16
#define LOUD 12 /* tenants among them, each with more than its own bound of incidents */
#define INCIDENTS_LINES_OF_ALL 200
#define INCIDENT_LINES 20 /* a tenant's in a second */
#define TEXT_MAX (1 << 20)

struct scene {
    struct config config;
    struct record record;
    struct counted tenants[TENANTS];
    int stderr_fd, log_fd;
};

static int set_up(void **state)
{
    static char names[TENANTS][16] = { "alpha", "beta" };
    static struct scene scene;
    struct scene *s = &scene;

    clock_reset();
    log_init("skepd", LOG_LEVEL_INFO);
    log_set_format(LOG_FORMAT_HUMAN);
    *s = (struct scene){ .log_fd = memfd_create("log", MFD_CLOEXEC), .stderr_fd = dup(2) };
    assert_true(s->log_fd >= 0 && dup2(s->log_fd, 2) == 2);
    s->config.log = (struct log_config){
        .lines = ALL_LINES, .kib = 1024, .tenant_lines = TENANT_LINES, .tenant_kib = 1024
    };
    s->config.metrics.tenants = TENANTS;
    assert_int_equal(record_init(&s->record, &s->config), 0);
    for (unsigned i = 0; i < TENANTS; i++) {
        if (names[i][0] == '\0')
            (void) snprintf(names[i], sizeof names[i], "tenant%u", i);
        counted_init(&s->tenants[i], &s->record, names[i]);
    }
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < TENANTS; i++)
        counted_done(&s->tenants[i]);
    record_done(&s->record);
    (void) dup2(s->stderr_fd, 2);
    (void) close(s->stderr_fd);
    (void) close(s->log_fd);
    return 0;
}

/* Lines of the log with that text. */
static unsigned count_lines(const struct scene *s, const char *text)
{
    static char log[TEXT_MAX];
    ssize_t size = pread(s->log_fd, log, sizeof log - 1, 0);
    unsigned n = 0;

    assert_in_range(size, 0, sizeof log - 2);
    log[size] = '\0';
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
        n += strstr(line, text) != NULL;
    return n;
}

static void say(struct scene *s, unsigned tenant, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        counted_log(&s->tenants[tenant], TENANT_INFO, "said", 4);
}

static void stop(struct scene *s, unsigned tenant, unsigned times)
{
    const struct incident incident = { .stage = STAGE_STOPPED, .cause = LIMIT_INDEX(cpu_ms) };

    for (unsigned i = 0; i < times; i++)
        incident_note(&s->record, &s->tenants[tenant], &incident);
}

static void test_lines_over_a_bound_do_not_reach_the_log(void **state)
{
    struct scene *s = *state;

    say(s, 0, 1000);
    assert_in_range(count_lines(s, "[alpha] info: said"), 1, TENANT_LINES);
    for (unsigned i = 1; i < TENANTS; i++)
        say(s, i, 1000);
    assert_in_range(count_lines(s, "info: said"), TENANT_LINES, ALL_LINES);
    clock_pass(NSEC_PER_SEC);
    unsigned before = count_lines(s, "info: said");
    say(s, 0, 1);
    assert_int_equal(count_lines(s, "info: said"), before + 1);
}

static void test_lines_that_were_left_out_are_said_once_with_their_number(void **state)
{
    struct scene *s = *state;

    s->config.log.lines = 10 * ALL_LINES;
    say(s, 0, TENANT_LINES + 7);
    record_say_left_out(&s->record);
    record_say_left_out(&s->record);
    assert_int_equal(count_lines(s, "7 lines of tenant alpha left out: a tenant may log"), 1);
    assert_int_equal(count_lines(s, "left out"), 1);
}

static void test_incidents_of_a_tenant_have_a_bound_of_their_own(void **state)
{
    struct scene *s = *state;

    say(s, 0, 1000);
    stop(s, 0, 1000);
    assert_int_equal(count_lines(s, "[alpha] stopped"), INCIDENT_LINES);
    record_say_left_out(&s->record);
    assert_int_equal(
        count_lines(s, "980 more incidents of tenant alpha were counted and not logged"), 1);
    stop(s, 1, 1); /* nobody else's are left out for that */
    assert_int_equal(count_lines(s, "[beta] stopped"), 1);
    clock_pass(NSEC_PER_SEC);
    stop(s, 0, 1);
    assert_int_equal(count_lines(s, "[alpha] stopped"), INCIDENT_LINES + 1);
}

static void test_incidents_of_all_have_a_bound_and_a_quiet_tenant_has_room(void **state)
{
    struct scene *s = *state;

    for (unsigned i = 0; i < LOUD; i++)
        stop(s, i, 1000);
    assert_in_range(count_lines(s, "stopped"), INCIDENTS_LINES_OF_ALL / 2, INCIDENTS_LINES_OF_ALL);
    stop(s, LOUD, 1);
    assert_int_equal(count_lines(s, "[tenant12] stopped"), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_over_a_bound_do_not_reach_the_log),
        TEST(test_lines_that_were_left_out_are_said_once_with_their_number),
        TEST(test_incidents_of_a_tenant_have_a_bound_of_their_own),
        TEST(test_incidents_of_all_have_a_bound_and_a_quiet_tenant_has_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
