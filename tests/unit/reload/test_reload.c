/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another skepd.yaml for a skepd that runs, and the tenants of its folder once more: with workers that the test plays,
 * and time that it moves. Nothing above reload/ is linked.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/loop_watch.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "supervisor/host/reader.h"
#include "supervisor/reload/reload.h"
#include "supervisor/workers/worker.h"
#include "tests/events/clock.h"
#include "tests/played/floors.h"
#include "tests/played/reader.h"
#include "tests/played/worker.h"

#define CONFIG                    \
    "listen: [\"127.0.0.1:0\"]\n" \
    "tenants: %s/tenants\n"       \
    "cordons:\n"                  \
    "  - { name: many, workers: 1, rss_mib: unlimited, spare: off }\n"

static struct reload *reload;

/* ---- what came of it */

static struct {
    unsigned done; /* reloads */
    bool is_applied;
    char errors[1024], tenant_errors[1024];
    unsigned n[RELOAD_WAITS + 1]; /* tenants, by enum reload_kind */
    unsigned unchanged;
} said;

static void copy_text(const struct config_errors *errors, char *text, size_t size)
{
    (void) snprintf(text, size, "%s", errors->text ? errors->text : "");
}

static void on_done(void *owner, const struct reload_report *report)
{
    (void) owner;
    said.done++;
    said.is_applied = report->is_applied;
    copy_text(&report->errors, said.errors, sizeof said.errors);
    copy_text(&report->tenant_errors, said.tenant_errors, sizeof said.tenant_errors);
    memset(said.n, 0, sizeof said.n);
    for (unsigned i = 0; i < report->n_tenants; i++)
        said.n[report->tenants[i].kind]++;
    said.unchanged = report->unchanged;
}

static int ask_for(reload_done_fn done)
{
    struct failure failure = { 0 };
    int r = reload_config(reload, "a test", done, &said, &failure);

    assert_int_equal(failure.code, r);
    failure_done(&failure);
    return r;
}

static int ask(void)
{
    return ask_for(on_done);
}

static void reload_all(void)
{
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    assert_int_equal(said.done, 1);
    assert_true(said.is_applied);
    floors_settle();
}

/* ---- the folder */

static void write_tenant(const char *name, const char *more)
{
    char path[128], text[512];

    (void) snprintf(path, sizeof path, "tenants/%s/skep.yaml", name);
    (void) snprintf(text, sizeof text, "name: %s\nmain: a.js\ncordon: many\n%s", name, more);
    floors_write(path, text);
    (void) snprintf(path, sizeof path, "tenants/%s/a.js", name);
    floors_write(path, "export default {}\n");
}

static void remove_tenant(const char *name)
{
    char path[192];

    (void) snprintf(path, sizeof path, "%s/tenants/%s/skep.yaml", floors.folder, name);
    assert_int_equal(unlink(path), 0);
    (void) snprintf(path, sizeof path, "%s/tenants/%s/a.js", floors.folder, name);
    assert_int_equal(unlink(path), 0);
    (void) snprintf(path, sizeof path, "%s/tenants/%s", floors.folder, name);
    assert_int_equal(rmdir(path), 0);
}

static void make_reload(struct reader *reader)
{
    const struct reload_options options = {
        .base = floors.heart.base,
        .config = floors.heart.config,
        .life = &floors.heart.life,
        .front = floors.heart.front,
        .tenants = floors.heart.tenants,
        .placements = floors.heart.placements,
        .versions = floors.heart.versions,
        .reader = reader,
        .max_files = 1 << 20,
    };

    assert_int_equal(reload_new(&options, &reload), 0);
}

static int set_up(void **state)
{
    (void) state;
    floors_start(CONFIG);
    make_reload(NULL);
    write_tenant("a", "");
    write_tenant("b", "");
    reload_all();
    assert_int_equal(said.n[RELOAD_ADDED], 2);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    reload = reload_free(reload);
    floors_end();
    return 0;
}

/* The tenant has a version in a worker, so that the next one has to load before it serves. */
static void serve(const char *name)
{
    (void) placement_preload(floors_tenant(name));
    floors_settle();
    played_load_ends(name, NULL);
    floors_settle();
}

/* ---- tenants */

static void test_tenants_come_change_and_go_with_their_folders(void **state)
{
    (void) state;
    write_tenant("a", "limits: { cpu_ms: 51 }\n");
    remove_tenant("b");
    write_tenant("c", "");
    reload_all();
    assert_int_equal(said.n[RELOAD_ADDED], 1);
    assert_int_equal(said.n[RELOAD_CHANGED], 1);
    assert_int_equal(said.n[RELOAD_REMOVED], 1);
    assert_int_equal(said.unchanged, 0);
    assert_string_equal(floors_route("b.localhost"), "");
    assert_string_equal(floors_route("c.localhost"), "c");
    reload_all();
    assert_int_equal(said.unchanged, 2);
}

static void test_version_before_serves_until_the_new_one_has_loaded(void **state)
{
    (void) state;
    serve("a");
    write_tenant("a", "limits: { cpu_ms: 51 }\n");
    reload_all();
    assert_int_equal(floors_tenant("a")->version->limits.cpu_ms, 50);
    played_load_ends("a", NULL);
    floors_settle();
    assert_int_equal(floors_tenant("a")->version->limits.cpu_ms, 51);
}

static void test_tenant_whose_folder_is_broken_stays_as_it_is(void **state)
{
    (void) state;
    floors_write("tenants/a/skep.yaml", "name: a\nmain: a.js\ncordon: nowhere\n");
    write_tenant("b", "limits: { cpu_ms: 51 }\n");
    reload_all();
    assert_non_null(strstr(said.tenant_errors, "tenants/a/skep.yaml:3"));
    assert_int_equal(said.n[RELOAD_CHANGED], 1);
    assert_int_equal(said.n[RELOAD_REMOVED], 0);
    assert_string_equal(floors_route("a.localhost"), "a");
}

static void test_tenant_that_was_deployed_keeps_its_name(void **state)
{
    (void) state;
    floors_tenant("a")->origin = TENANT_DEPLOYED;
    write_tenant("a", "limits: { cpu_ms: 51 }\n");
    reload_all();
    assert_non_null(strstr(said.tenant_errors, "a tenant \"a\" was deployed"));
    assert_null(floors_tenant("a")->candidate);
    remove_tenant("a");
    reload_all();
    assert_non_null(floors_tenant("a"));
}

/* ---- routes that move */

static void test_route_moves_from_one_tenant_to_another(void **state)
{
    (void) state;
    write_tenant("a", "routes: [a.localhost, x.localhost]\n");
    reload_all();
    serve("a");
    serve("b");
    write_tenant("a", "routes: [a.localhost]\n");
    write_tenant("b", "routes: [b.localhost, x.localhost]\n");
    reload_all();
    assert_int_equal(said.n[RELOAD_CHANGED], 1);
    assert_int_equal(said.n[RELOAD_WAITS], 1); /* b, until a has given the route up */
    floors_pass(3000);
    assert_string_equal(floors_route("x.localhost"), "a");
    assert_int_equal(played_loading("b"), 0);
    played_load_ends("a", NULL);
    floors_settle();
    assert_string_equal(floors_route("x.localhost"), "");
    floors_pass(1000);
    assert_int_equal(played_loading("b"), 1);
    played_load_ends("b", NULL);
    floors_settle();
    assert_string_equal(floors_route("x.localhost"), "b");
    assert_string_equal(floors_route("a.localhost"), "a");
}

/* Neither can be first, and a route is never without its tenant: the operator is told. */
static void test_routes_that_two_tenants_exchange_stay_where_they_are(void **state)
{
    (void) state;
    serve("a");
    serve("b");
    write_tenant("a", "routes: [b.localhost]\n");
    write_tenant("b", "routes: [a.localhost]\n");
    reload_all();
    assert_non_null(strstr(said.tenant_errors, "tenants/a/skep.yaml"));
    assert_non_null(strstr(said.tenant_errors, "tenants/b/skep.yaml"));
    assert_string_equal(floors_route("a.localhost"), "a");
    assert_string_equal(floors_route("b.localhost"), "b");
    /* In two steps they can. */
    write_tenant("a", "routes: [c.localhost]\n");
    reload_all();
    played_load_ends("a", NULL);
    floors_pass(1000);
    played_load_ends("b", NULL);
    floors_settle();
    write_tenant("a", "routes: [b.localhost]\n");
    reload_all();
    played_load_ends("a", NULL);
    floors_settle();
    assert_string_equal(floors_route("a.localhost"), "b");
    assert_string_equal(floors_route("b.localhost"), "a");
}

static void test_route_that_is_not_given_up_is_waited_for_in_vain(void **state)
{
    (void) state;
    write_tenant("a", "routes: [a.localhost, x.localhost]\n");
    reload_all();
    serve("a");
    write_tenant("a", "routes: [a.localhost]\n");
    write_tenant("b", "routes: [b.localhost, x.localhost]\n");
    reload_all();
    assert_int_equal(said.n[RELOAD_WAITS], 1);
    played_load_ends("a", "a.js:1: it throws"); /* a serves on as it was */
    floors_pass(2000);
    assert_string_equal(floors_route("x.localhost"), "a");
    assert_string_equal(floors_route("b.localhost"), "b");
    assert_null(floors_tenant("b")->candidate);
}

static void test_route_of_a_tenant_that_goes_is_free_at_once(void **state)
{
    (void) state;
    remove_tenant("a");
    write_tenant("c", "routes: [a.localhost]\n");
    reload_all();
    assert_int_equal(said.n[RELOAD_WAITS], 0);
    assert_string_equal(floors_route("a.localhost"), "c");
}

/* ---- the config */

static void test_limits_of_the_config_count(void **state)
{
    (void) state;
    floors_write_config(CONFIG "limits: { maximum: { queue: 3 } }\n");
    reload_all();
    assert_int_equal(said.n[RELOAD_LIMITS], 2);
    assert_int_equal(floors_tenant("a")->version->limits.queue, 3);
}

static void test_config_that_is_wrong_changes_nothing(void **state)
{
    (void) state;
    floors_write_config(CONFIG "nonsense: 1\n");
    write_tenant("a", "limits: { cpu_ms: 51 }\n");
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    assert_int_equal(said.done, 1);
    assert_false(said.is_applied);
    assert_non_null(strstr(said.errors, "nonsense"));
    assert_int_equal(floors_tenant("a")->version->limits.cpu_ms, 50);
    assert_false(reload_is_under_way(reload));
}

static void test_cordon_of_a_tenant_that_stays_cannot_go(void **state)
{
    (void) state;
    floors_tenant("a")->origin = TENANT_DEPLOYED;
    floors_write_config("listen: [\"127.0.0.1:0\"]\n"
                        "tenants: %s/tenants\n"
                        "cordons:\n"
                        "  - { name: few, workers: 1, rss_mib: unlimited, spare: off }\n");
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    assert_false(said.is_applied);
    assert_non_null(strstr(said.errors, "many"));
}

static void test_nothing_is_reloaded_while_skepd_ends_or_hands_over(void **state)
{
    (void) state;
    memset(&said, 0, sizeof said);
    floors.heart.life.is_draining = true;
    assert_int_equal(ask(), -ECANCELED);
    floors.heart.life.is_draining = false;
    floors.heart.life.is_handing_over = true;
    assert_int_equal(ask(), -EBUSY);
    floors.heart.life.is_handing_over = false;
    assert_int_equal(said.done, 0);
    reload_all();
}

/* ---- in steps */

#define LOOK_NS 100000 /* how long a look at a tenant takes, where a step may take 2 ms */
enum { MANY = 100 };

static void write_many(const char *more)
{
    char name[16];

    for (unsigned i = 0; i < MANY; i++) {
        (void) snprintf(name, sizeof name, "t%u", i);
        write_tenant(name, more);
    }
}

/* Those around the one whose turn is next. */
static void remove_some(void)
{
    struct tenant *tenant = TAILQ_FIRST(&floors.heart.tenants->list), *next;

    for (unsigned i = 0; tenant && i < MANY / 2; i++, tenant = next) {
        next = TAILQ_NEXT(tenant, entry);
        if (i >= MANY / 10)
            versions_remove(tenant);
    }
}

static void test_tenants_that_go_between_the_steps_are_passed_over(void **state)
{
    struct reader *reader =
        NULL; /* without a thread: files are read at once, and tenants are changed in steps */
    unsigned turns = 0;

    (void) state;
    write_many("");
    reload_all();
    reload = reload_free(reload);
    assert_int_equal(reader_new(floors.heart.base, &reader), 0);
    make_reload(reader);
    clock_set_thread_step(LOOK_NS);
    write_many("limits: { queue: 5 }\n");
    remove_tenant("t99"); /* the last in the list */
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    for (; said.done == 0; turns++) {
        assert_in_range(turns, 0, 1000);
        if (turns == 0)
            remove_some();
        (void) event_base_loop(floors.heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    assert_true(said.is_applied);
    assert_in_range(turns, MANY / 20, 1000);
    /* Each is there once, those that went have come again. */
    assert_int_equal(floors.heart.tenants->n_listed, MANY + 1);
    assert_int_equal(said.n[RELOAD_REMOVED], 1);
    assert_int_equal(said.n[RELOAD_CHANGED] + said.n[RELOAD_ADDED], MANY - 1);
    reload = reload_free(reload);
    reader = reader_free(reader);
}

static void test_reload_that_is_asked_for_meanwhile_follows(void **state)
{
    struct reader *reader = NULL;

    (void) state;
    write_many("");
    reload = reload_free(reload);
    assert_int_equal(reader_new(floors.heart.base, &reader), 0);
    make_reload(reader);
    clock_set_thread_step(LOOK_NS);
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    assert_true(reload_is_under_way(reload));
    write_tenant("c", "");
    assert_int_equal(ask(), 0);
    for (unsigned i = 0; i < 1000 && said.done < 2; i++)
        (void) event_base_loop(floors.heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(said.done, 2);
    assert_int_equal(said.n[RELOAD_ADDED], 1);
    assert_non_null(floors_tenant("c"));
    reload = reload_free(reload);
    reader = reader_free(reader);
}

static void ask_again(void *owner, const struct reload_report *report)
{
    on_done(owner, report);
    assert_int_equal(ask(), 0);
}

static void test_reload_that_is_asked_for_by_who_is_told_follows(void **state)
{
    (void) state;
    memset(&said, 0, sizeof said);
    assert_int_equal(ask_for(ask_again), 0);
    assert_int_equal(said.done, 2);
    assert_false(reload_is_under_way(reload));
}

static void test_who_has_left_is_not_told(void **state)
{
    struct reader *reader = NULL;

    (void) state;
    write_many("");
    reload = reload_free(reload);
    assert_int_equal(reader_new(floors.heart.base, &reader), 0);
    make_reload(reader);
    clock_set_thread_step(LOOK_NS);
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    reload_forget(reload, &said);
    for (unsigned i = 0; i < 1000 && reload_is_under_way(reload); i++)
        (void) event_base_loop(floors.heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(said.done, 0);
    assert_non_null(floors_tenant("t99"));
    reload = reload_free(reload);
    reader = reader_free(reader);
}

/* ---- the loop goes on */

#define STEP_MOST (LOOP_CALLBACK_MAX_US * 1000 / LOOK_NS) /* looks at tenants in one callback */

static unsigned count_with_queue(unsigned queue)
{
    const struct tenant *tenant;
    unsigned n = 0;

    TAILQ_FOREACH (tenant, &floors.heart.tenants->list, entry) {
        const struct version *last = tenant->candidate ? tenant->candidate : tenant->version;
        n += last->limits.queue == queue;
    }
    return n;
}

static unsigned count_missing(unsigned unused)
{
    (void) unused;
    return MANY + 2 - (unsigned) floors.heart.tenants->n_listed;
}

/* Reloads, and checks in each turn of the loop by how much the count of changed tenants has grown. */
static void reload_watched(unsigned (*count)(unsigned queue), unsigned queue)
{
    unsigned before = count(queue), after, turns = 0;

    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0); /* with the first step */
    for (;; turns++, before = after) {
        after = count(queue);
        assert_in_range(after - before, 0, STEP_MOST);
        if (said.done > 0)
            break;
        assert_in_range(turns, 0, 1000);
        (void) event_base_loop(floors.heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    assert_true(said.is_applied);
    assert_int_equal(after, MANY);
}

static void test_no_turn_of_the_loop_changes_more_tenants_than_its_time_allows(void **state)
{
    struct reader *reader = NULL;
    char name[16];

    (void) state;
    reload = reload_free(reload);
    assert_int_equal(reader_new(floors.heart.base, &reader), 0);
    make_reload(reader);
    clock_set_thread_step(LOOK_NS);
    write_many("limits: { queue: 5 }\n");
    reload_watched(count_with_queue, 5);
    write_many("limits: { queue: 6 }\n");
    reload_watched(count_with_queue, 6);
    for (unsigned i = 0; i < MANY; i++) {
        (void) snprintf(name, sizeof name, "t%u", i);
        remove_tenant(name);
    }
    reload_watched(count_missing, 0);
    reload = reload_free(reload);
    reader = reader_free(reader);
}

static void test_requests_are_served_while_a_disk_is_waited_for(void **state)
{
    struct floors_client client;

    (void) state;
    serve("a");
    reload = reload_free(reload);
    struct reader *reader = played_reader_on_cold_disk(floors.heart.base);
    make_reload(reader);
    write_tenant("b", "limits: { cpu_ms: 51 }\n");
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    floors_ask(&client, "a.localhost");
    played_request_ends("a", 200);
    floors_settle();
    assert_int_equal(floors_status(&client), 200);
    floors_leave(&client);
    assert_int_equal(said.done, 0);
    assert_true(reload_is_under_way(reload));
    played_disk_answers();
    for (unsigned i = 0; i < 1000 && said.done == 0; i++)
        (void) event_base_loop(floors.heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_true(said.is_applied);
    assert_int_equal(said.n[RELOAD_CHANGED], 1);
    reload = reload_free(reload);
    reader = reader_free(reader);
}

#define LARGE_BYTES (6U << 20)

static void test_files_of_a_large_version_go_to_the_worker_in_parts(void **state)
{
    const struct worker *worker = TAILQ_FIRST(&floors.heart.slots->workers);
    char *text = calloc(1, LARGE_BYTES + 1);
    unsigned turns = 0;

    (void) state;
    assert_non_null(text);
    memset(text, ' ', LARGE_BYTES);
    floors_write("tenants/a/large.txt", text);
    free(text);
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    assert_int_equal(said.n[RELOAD_CHANGED], 1);
    (void) placement_preload(floors_tenant("a"));
    for (; played_loading("a") == 0; turns++) {
        assert_in_range(channel_queued_bytes(worker->channel), 0, FRAME_MAX_BYTES);
        assert_in_range(turns, 0, 1000);
        (void) event_base_loop(floors.heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    assert_in_range(turns, LARGE_BYTES / FRAME_MAX_BYTES, 1000);
}

/* ---- large files */

#define COMPARED_BYTES (12U << 20)
#define COMPARED_STEP_NS 500000 /* how long a look takes: a few in each step of 2 ms */
#define COMPARED_TURNS_LEAST 8

/* Writes a file of the tenant with that last byte. */
static void write_compared(const char *name, char last)
{
    char *text = malloc(COMPARED_BYTES + 1), path[64];

    assert_non_null(text);
    memset(text, ' ', COMPARED_BYTES);
    text[COMPARED_BYTES - 1] = last;
    text[COMPARED_BYTES] = '\0';
    (void) snprintf(path, sizeof path, "tenants/%s/large.txt", name);
    floors_write(path, text);
    free(text);
}

/* Reloads with turns of the loop between the steps. meanwhile: called after the second turn; may be NULL. Returns the number of
 * turns. */
static unsigned reload_in_turns(void (*meanwhile)(void))
{
    struct reader *reader = NULL;
    unsigned turns = 0;

    reload = reload_free(reload);
    assert_int_equal(reader_new(floors.heart.base, &reader), 0);
    make_reload(reader);
    clock_set_thread_step(COMPARED_STEP_NS);
    memset(&said, 0, sizeof said);
    assert_int_equal(ask(), 0);
    for (; said.done == 0; turns++) {
        assert_in_range(turns, 0, 1000);
        if (turns == 2 && meanwhile)
            meanwhile();
        (void) event_base_loop(floors.heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    clock_set_thread_step(0);
    assert_true(said.is_applied);
    reload = reload_free(reload);
    reader = reader_free(reader);
    make_reload(NULL);
    return turns;
}

static void test_large_files_are_compared_in_parts(void **state)
{
    (void) state;
    write_compared("a", 'a');
    reload_all();
    assert_int_equal(said.n[RELOAD_CHANGED], 1);
    assert_in_range(reload_in_turns(NULL), COMPARED_TURNS_LEAST, 1000);
    assert_int_equal(said.unchanged, 2);
    write_compared("a", 'b');
    assert_in_range(reload_in_turns(NULL), COMPARED_TURNS_LEAST, 1000);
    assert_int_equal(said.n[RELOAD_CHANGED], 1);
    assert_int_equal(said.unchanged, 1);
}

static void remove_compared(void)
{
    versions_remove(floors_tenant("a"));
}

static void replace_compared(void)
{
    assert_int_equal(floors_install("name: a\nmain: a.js\ncordon: many\n"), 0);
}

static void test_tenant_changes_while_its_files_are_compared(void **state)
{
    (void) state;
    write_compared("a", 'a');
    reload_all();
    (void) reload_in_turns(remove_compared);
    assert_int_equal(said.n[RELOAD_ADDED], 1);
    assert_int_equal(said.unchanged, 1);
    assert_non_null(floors_tenant("a"));
    (void) reload_in_turns(replace_compared);
    assert_int_equal(said.n[RELOAD_CHANGED], 1);
    assert_int_equal(said.unchanged, 1);
    (void) reload_in_turns(NULL);
    assert_int_equal(said.unchanged, 2);
}

/* Another limit makes another version of the same files. */
static void test_large_files_are_not_copied_for_other_limits(void **state)
{
    const struct tenant_file *files;

    (void) state;
    write_compared("a", 'a');
    reload_all();
    serve("a");
    files = floors_tenant("a")->version->manifest->files;
    floors_write_config(CONFIG "limits: { maximum: { cpu_ms: 49 } }\n");
    reload_all();
    assert_int_equal(floors_tenant("a")->candidate->limits.cpu_ms, 49);
    assert_ptr_equal(floors_tenant("a")->candidate->manifest->files, files);
}

static struct {
    struct reader *reader;
    pthread_t thread;
    unsigned disposed, released;
} large;

static void release_large(void *what)
{
    large.released += !pthread_equal(pthread_self(), large.thread);
    (void) manifest_free(what);
}

static void dispose_large(void *owner, struct manifest *manifest)
{
    (void) owner;
    large.disposed++;
    reader_release(large.reader, release_large, manifest);
}

static void test_large_files_are_freed_in_another_thread(void **state)
{
    (void) state;
    write_tenant("c", "");
    write_compared("c", 'a');
    reload_all();
    memset(&large, 0, sizeof large);
    large.thread = pthread_self();
    large.reader = played_reader_on_cold_disk(floors.heart.base);
    floors.heart.tenants->dispose = dispose_large;
    reload_all();
    assert_int_equal(said.unchanged, 3);
    assert_int_equal(large.disposed, 1); /* the files that were read again */
    versions_remove(floors_tenant("c"));
    floors_pass(2000);                   /* until it is swept up */
    assert_int_equal(large.disposed, 2); /* the tenant's version is disposed of, too */
    assert_int_equal(large.released, 0);
    played_disk_answers();
    assert_int_equal(large.released, 2);
    floors.heart.tenants->dispose = NULL;
    large.reader = reader_free(large.reader);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tenants_come_change_and_go_with_their_folders),
        TEST(test_version_before_serves_until_the_new_one_has_loaded),
        TEST(test_tenant_whose_folder_is_broken_stays_as_it_is),
        TEST(test_tenant_that_was_deployed_keeps_its_name),
        TEST(test_route_moves_from_one_tenant_to_another),
        TEST(test_routes_that_two_tenants_exchange_stay_where_they_are),
        TEST(test_route_that_is_not_given_up_is_waited_for_in_vain),
        TEST(test_route_of_a_tenant_that_goes_is_free_at_once),
        TEST(test_limits_of_the_config_count),
        TEST(test_config_that_is_wrong_changes_nothing),
        TEST(test_cordon_of_a_tenant_that_stays_cannot_go),
        TEST(test_nothing_is_reloaded_while_skepd_ends_or_hands_over),
        TEST(test_tenants_that_go_between_the_steps_are_passed_over),
        TEST(test_reload_that_is_asked_for_meanwhile_follows),
        TEST(test_reload_that_is_asked_for_by_who_is_told_follows),
        TEST(test_who_has_left_is_not_told),
        TEST(test_no_turn_of_the_loop_changes_more_tenants_than_its_time_allows),
        TEST(test_requests_are_served_while_a_disk_is_waited_for),
        TEST(test_files_of_a_large_version_go_to_the_worker_in_parts),
        TEST(test_large_files_are_compared_in_parts),
        TEST(test_tenant_changes_while_its_files_are_compared),
        TEST(test_large_files_are_not_copied_for_other_limits),
        TEST(test_large_files_are_freed_in_another_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
