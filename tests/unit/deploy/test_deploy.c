/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of deploys, rollbacks and removals: with a store, workers and clients that the test plays, and time that it
 * moves. Nothing above deploy/ is linked.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs some of the above */

#include "common/cleanup.h"
#include "store/history.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/host/reader.h"
#include "supervisor/record/failure.h"
#include "tests/played/floors.h"
#include "tests/played/reader.h"
#include "tests/played/store.h"
#include "tests/played/worker.h"

#define SHOP "shop"
#define HOST "shop.localhost"
#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const char config[] = "listen: [\"127.0.0.1:0\"]\n"
                             "state: %s/state\n"
                             "deploy: { watch_s: 30, errors: 5, error_percent: 50 }\n"
                             "cordons:\n"
                             "  - { name: many, workers: 1, rss_mib: unlimited, spare: off }\n";

/* ---- who asks */

static struct {
    struct deploys *deploys;
    struct deploy *deploy; /* NULL: it has ended */
    unsigned accepted, failed, done, listed;
    char text[1024]; /* the failure's */
    int code;        /* likewise */
    char version[PLAYED_VERSION_BYTES + 1], previous[PLAYED_VERSION_BYTES + 1];
    bool is_unchanged;
    unsigned in_flight;
} asked;

static void on_accepted(void *owner)
{
    (void) owner;
    asked.accepted++;
}

static void on_failed(void *owner, const struct failure *failure)
{
    char *message = failure_message(failure);

    (void) owner;
    assert_non_null(message);
    asked.failed++;
    asked.deploy = NULL;
    asked.code = failure->code;
    (void) snprintf(asked.text, sizeof asked.text, "%s", message);
    free(message);
}

static void on_done(void *owner, const struct deploy_result *result)
{
    (void) owner;
    assert_string_equal(result->tenant, SHOP);
    asked.done++;
    asked.deploy = NULL;
    (void) snprintf(asked.version, sizeof asked.version, "%s", result->version);
    (void) snprintf(asked.previous, sizeof asked.previous, "%s", result->previous);
    asked.is_unchanged = result->is_unchanged;
    asked.in_flight = result->in_flight;
}

static void on_versions(void *owner, const char *tenant, const Skep__Store__Versions *versions)
{
    (void) owner;
    assert_string_equal(tenant, SHOP);
    asked.listed = (unsigned) versions->n_versions;
    asked.deploy = NULL;
}

static const struct deploy_listener listener = {
    .accepted = on_accepted,
    .failed = on_failed,
    .done = on_done,
    .versions = on_versions,
};
static const struct deploy_asker asker = { .listener = &listener, .uid = 1000 };

static ProtobufCBinaryData bytes(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static void forget_ends(void)
{
    struct deploys *deploys = asked.deploys;

    memset(&asked, 0, sizeof asked);
    asked.deploys = deploys;
}

/* ---- steps */

static void write_version(const char *version, const char *yaml)
{
    char path[256];

    (void) snprintf(path, sizeof path, "state/tenants/" SHOP "/versions/%s/bundle/skep.yaml",
                    version);
    floors_write(path, yaml);
    (void) snprintf(path, sizeof path, "state/tenants/" SHOP "/versions/%s/bundle/a.js", version);
    floors_write(path, "export default {}\n");
    (void) snprintf(path, sizeof path, "state/tenants/" SHOP "/versions/%s/env", version);
    floors_write(path, "");
}

static void make_deploys(struct reader *reader)
{
    const struct deploys_options options = {
        .base = floors.heart.base,
        .config = floors.heart.config,
        .life = &floors.heart.life,
        .health = &floors.heart.health,
        .record = &floors.heart.record,
        .tenants = floors.heart.tenants,
        .versions = floors.heart.versions,
        .store = played_store(),
        .reader = reader,
    };

    assert_int_equal(deploys_new(&options, &asked.deploys), 0);
}

static int set_up(void **state)
{
    (void) state;
    floors_start(config);
    played_store_reset();
    memset(&asked, 0, sizeof asked);
    make_deploys(NULL);
    write_version(A, "name: " SHOP "\nmain: a.js\ncordon: many\n");
    write_version(B, "name: " SHOP "\nmain: a.js\ncordon: many\nlimits: { cpu_ms: 51 }\n");
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    heart_stop_requests(&floors.heart);
    asked.deploys = deploys_free(asked.deploys);
    floors_end();
    return 0;
}

static void begin(const char *version)
{
    _cleanup_(failure_done) struct failure failure = { 0 };

    forget_ends();
    played_store_seal_as(version);
    if (deploy_begin(asked.deploys, bytes(SHOP), &asker, &asked.deploy, &failure) < 0)
        fail_msg("a deploy cannot begin: %s", failure.text);
}

static void send_part(bool is_end)
{
    const struct deploy_part part = {
        .path = bytes(is_end ? "" : "a.js"),
        .data = bytes(is_end ? "" : "export default {}"),
        .end = is_end,
    };

    assert_int_equal(deploy_take_part(asked.deploy, &part), 0);
}

/* Up to where the store has the whole upload, and has not said so. */
static void upload(const char *version)
{
    begin(version);
    assert_true(played_store_answers());
    send_part(false);
    assert_true(played_store_answers());
    assert_int_equal(asked.accepted, 2);
    send_part(true);
    assert_int_equal(played_store_asked().which, SKEP__STORE__REQUEST__MESSAGE_SEAL);
}

/* Up to where its version loads in a worker. */
static void upload_and_load(const char *version)
{
    upload(version);
    assert_true(played_store_answers());
    floors_settle();
    assert_int_equal(played_loading(SHOP), 1);
}

/* Up to where the store makes it durable. */
static void upload_and_commit(const char *version)
{
    upload_and_load(version);
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(played_store_asked().which, SKEP__STORE__REQUEST__MESSAGE_COMMIT);
}

static void deploy_all(const char *version)
{
    upload_and_commit(version);
    assert_true(played_store_answers());
    floors_settle();
    assert_int_equal(asked.done, 1);
    assert_string_equal(asked.version, version);
}

static const char *serving(void)
{
    const struct tenant *tenant = floors_tenant(SHOP);

    return tenant && floors_route(HOST)[0] ? tenant->deployed.serving : "";
}

/* Requests of the serving version fail, or do not, as they are counted. */
static void count(unsigned n, enum error_code code)
{
    for (unsigned i = 0; i < n; i++)
        version_count(floors_tenant(SHOP)->version, code, true);
    floors_settle();
}

static void assert_failed(const char *words)
{
    assert_int_equal(asked.failed, 1);
    assert_int_equal(asked.done, 0);
    if (!strstr(asked.text, words))
        fail_msg("\"%s\" is not in: %s", words, asked.text);
}

/* Asserts that the upload is given up, and that nothing is left of the upload. */
static void assert_given_up(void)
{
    assert_int_equal(played_store_asked().which, SKEP__STORE__REQUEST__MESSAGE_ABORT);
    assert_true(deploys_count_busy(asked.deploys) == 0);
    assert_true(played_store_answers());
    assert_int_equal(played_store_asked().which, 0);
}

/* ---- a deploy */

static void test_version_serves_once_it_has_loaded_and_is_durable(void **state)
{
    (void) state;
    upload_and_load(A);
    assert_string_equal(serving(), "");
    assert_true(deploys_are_busy(asked.deploys));
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_string_equal(serving(), "");
    struct played_question commit = played_store_asked();
    assert_string_equal(commit.version, A);
    assert_int_equal(commit.action, STORE_DEPLOY);
    assert_true(played_store_answers());
    assert_string_equal(serving(), A);
    assert_int_equal(asked.done, 1);
    assert_string_equal(asked.previous, "");
    assert_false(deploys_are_busy(asked.deploys));
}

static void test_version_that_serves_already_is_not_deployed_again(void **state)
{
    (void) state;
    deploy_all(A);
    upload(A);
    assert_true(played_store_answers());
    assert_int_equal(asked.done, 1);
    assert_true(asked.is_unchanged);
    assert_int_equal(played_loading(SHOP), 0);
    assert_int_equal(played_store_asked().which, SKEP__STORE__REQUEST__MESSAGE_ABORT);
}

static void test_load_that_fails_leaves_no_tenant(void **state)
{
    (void) state;
    upload_and_load(A);
    played_load_ends(SHOP, "a.js:1: it throws");
    floors_settle();
    assert_failed("a.js:1: it throws");
    assert_given_up();
    assert_null(floors_tenant(SHOP));
}

static void test_load_that_fails_leaves_the_version_before(void **state)
{
    (void) state;
    deploy_all(A);
    upload_and_load(B);
    played_load_ends(SHOP, "a.js:1: it throws");
    floors_settle();
    assert_failed("a.js:1: it throws");
    assert_given_up();
    assert_string_equal(serving(), A);
    assert_int_equal(played_loaded(SHOP), 1);
    assert_int_equal(played_loading(SHOP), 0);
}

static void test_load_that_does_not_end_fails_after_a_minute(void **state)
{
    (void) state;
    deploy_all(A);
    played_workers_die(SIGKILL); /* and the next one loads nothing */
    upload_and_load(B);
    floors_pass(50000);
    assert_int_equal(asked.failed, 0);
    floors_pass(11000);
    assert_failed("it has not loaded in time");
    assert_int_equal(asked.code, -ETIMEDOUT);
    assert_string_equal(serving(), A);
}

static void test_manifest_that_is_wrong_fails_with_its_line(void **state)
{
    (void) state;
    write_version(A, "name: " SHOP "\nmain: a.js\ncordon: nowhere\n");
    upload(A);
    assert_true(played_store_answers());
    assert_failed("skep.yaml:3");
    assert_given_up();
}

static void test_route_of_another_tenant_fails(void **state)
{
    (void) state;
    assert_int_equal(floors_install("name: other\nmain: a.js\ncordon: many\nroutes: [" HOST "]\n"),
                     0);
    upload(A);
    assert_true(played_store_answers());
    assert_failed("is one of the tenant other");
    assert_given_up();
}

static void test_route_that_is_taken_while_the_disk_is_busy_is_made_good(void **state)
{
    (void) state;
    upload_and_commit(A);
    assert_int_equal(floors_install("name: other\nmain: a.js\ncordon: many\nroutes: [" HOST "]\n"),
                     0);
    assert_true(played_store_answers());
    assert_failed("its routes were taken meanwhile");
    /* There was no version before: the tenant goes from the store, too. */
    assert_int_equal(played_store_asked().which, SKEP__STORE__REQUEST__MESSAGE_REMOVE);
    assert_true(played_store_answers());
    assert_false(deploys_are_busy(asked.deploys));
}

/* ---- the watch */

static void test_version_that_fails_is_rolled_back(void **state)
{
    (void) state;
    deploy_all(A);
    count(20, ERROR_NONE);
    deploy_all(B);
    assert_string_equal(serving(), B);
    assert_int_equal(played_loaded(SHOP), 2); /* A stays loaded */
    count(4, ERROR_EXCEPTION);
    assert_string_equal(serving(), B);
    count(1, ERROR_EXCEPTION);
    assert_string_equal(serving(), A);
    struct played_question commit = played_store_asked();
    assert_int_equal(commit.which, SKEP__STORE__REQUEST__MESSAGE_COMMIT);
    assert_int_equal(commit.action, STORE_AUTO_ROLLBACK);
    assert_string_equal(commit.version, A);
    assert_string_equal(commit.reason, "5 of 5 requests failed");
    assert_true(deploys_are_busy(asked.deploys));
    assert_true(played_store_answers());
    assert_false(deploys_are_busy(asked.deploys));
    floors_pass(1000);
    assert_int_equal(played_loaded(SHOP), 1); /* B is gone */
}

static void test_version_that_is_no_worse_than_the_one_before_stays(void **state)
{
    (void) state;
    deploy_all(A);
    count(10, ERROR_EXCEPTION);
    deploy_all(B);
    count(10, ERROR_EXCEPTION);
    assert_string_equal(serving(), B);
    assert_int_equal(played_store_asked().which, 0);
}

static void test_version_before_goes_when_the_watch_is_over(void **state)
{
    (void) state;
    deploy_all(A);
    deploy_all(B);
    floors_pass(29000);
    assert_int_equal(played_loaded(SHOP), 2);
    floors_pass(3000);
    assert_int_equal(played_loaded(SHOP), 1);
    count(10, ERROR_EXCEPTION);
    assert_string_equal(serving(), B);
}

static void test_rollback_of_the_watch_waits_for_the_store(void **state)
{
    (void) state;
    deploy_all(A);
    deploy_all(B);
    played_store_dies();
    count(5, ERROR_EXCEPTION);
    assert_string_equal(serving(), A);
    assert_int_equal(played_store_asked().which, 0);
    played_store_returns();
    assert_int_equal(played_store_asked().action, STORE_AUTO_ROLLBACK);
    played_store_dies(); /* and once more, before it has answered */
    played_store_returns();
    assert_int_equal(played_store_asked().action, STORE_AUTO_ROLLBACK);
    assert_true(played_store_answers());
    assert_false(deploys_are_busy(asked.deploys));
    assert_string_equal(played_store_current(), A);
}

static void test_rollback_that_the_store_refuses_is_not_undone(void **state)
{
    (void) state;
    deploy_all(A);
    deploy_all(B);
    count(5, ERROR_EXCEPTION);
    assert_true(played_store_says_no("the disk is full"));
    assert_string_equal(serving(), A);
    assert_false(deploys_are_busy(asked.deploys));
}

static void test_no_version_goes_back_while_its_successor_is_made_durable(void **state)
{
    (void) state;
    deploy_all(A);
    deploy_all(B);
    write_version(A, "name: " SHOP "\nmain: a.js\ncordon: many\nlimits: { cpu_ms: 52 }\n");
    upload_and_commit(A);
    count(10, ERROR_EXCEPTION);
    assert_string_equal(serving(), B);
    assert_true(played_store_answers());
    assert_string_equal(serving(), A);
    assert_int_equal(played_store_asked().which, 0);
}

/* ---- the store */

static void test_each_refusal_of_the_store_ends_a_deploy(void **state)
{
    (void) state;
    begin(A);
    assert_true(played_store_says_no("the disk is full"));
    assert_failed("the disk is full");
    assert_given_up();
    upload(A);
    assert_true(played_store_says_no("two files have one name"));
    assert_failed("two files have one name");
    assert_given_up();
    upload_and_commit(A);
    assert_true(played_store_says_no("the disk is full"));
    assert_failed("the disk is full");
    assert_given_up();
    assert_null(floors_tenant(SHOP));
}

static void test_store_that_ends_takes_an_upload_with_it_wherever_it_is(void **state)
{
    (void) state;
    begin(A);
    played_store_dies();
    assert_failed("the store has ended, and is started again");
    played_store_returns();
    begin(A);
    assert_true(played_store_answers()); /* the next part may come */
    played_store_dies();
    assert_failed("the store has ended, and is started again");
    played_store_returns();
    upload(A);
    played_store_dies();
    assert_failed("the store has ended, and is started again");
    played_store_returns();
    upload_and_load(A);
    played_store_dies();
    assert_failed("the store has ended, and is started again");
    assert_false(deploys_are_busy(asked.deploys));
    floors_pass(2000);
    assert_null(floors_tenant(SHOP));
}

static void test_store_that_ends_while_it_makes_a_version_durable_may_have_done_it(void **state)
{
    (void) state;
    deploy_all(A);
    upload_and_commit(B);
    played_store_dies();
    assert_failed("run this once more");
    assert_int_equal(asked.code, -EPIPE);
    assert_string_equal(serving(), A);
    floors_pass(1000);
    assert_int_equal(played_loaded(SHOP), 1);
}

static void test_rollback_that_loads_does_not_need_the_store_until_it_commits(void **state)
{
    _cleanup_(failure_done) struct failure failure = { 0 };

    (void) state;
    deploy_all(A);
    deploy_all(B);
    floors_pass(32000); /* the watch is over: A is in no worker */
    forget_ends();
    assert_int_equal(
        deploy_rollback(asked.deploys, bytes(SHOP), bytes(""), &asker, &asked.deploy, &failure), 0);
    assert_true(played_store_answers()); /* the list */
    assert_string_equal(played_store_asked().version, A);
    assert_true(played_store_answers()); /* the version is whole */
    floors_settle();
    played_store_dies();
    assert_int_equal(asked.failed, 0);
    played_store_returns();
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_int_equal(played_store_asked().action, STORE_ROLLBACK);
    assert_true(played_store_answers());
    assert_int_equal(asked.done, 1);
    assert_string_equal(asked.previous, B);
    assert_string_equal(serving(), A);
}

static void test_rollback_reads_a_cold_disk_beside_the_loop(void **state)
{
    _cleanup_(failure_done) struct failure failure = { 0 };

    (void) state;
    deploy_all(A);
    deploy_all(B);
    floors_pass(32000); /* the watch is over: A is in no worker */
    forget_ends();
    asked.deploys = deploys_free(asked.deploys);
    struct reader *reader = played_reader_on_cold_disk(floors.heart.base);
    make_deploys(reader);
    assert_int_equal(
        deploy_rollback(asked.deploys, bytes(SHOP), bytes(""), &asker, &asked.deploy, &failure), 0);
    assert_true(played_store_answers()); /* the list */
    assert_true(played_store_answers()); /* the version is whole */
    floors_settle();
    assert_int_equal(played_loading(SHOP), 0);
    played_disk_answers();
    floors_settle();
    assert_int_equal(played_loading(SHOP), 1);
    played_load_ends(SHOP, NULL);
    floors_settle();
    assert_true(played_store_answers());
    assert_string_equal(serving(), A);
    reader = reader_free(reader);
}

static void test_rollback_to_what_serves_fails(void **state)
{
    _cleanup_(failure_done) struct failure failure = { 0 };

    (void) state;
    deploy_all(A);
    forget_ends();
    assert_int_equal(
        deploy_rollback(asked.deploys, bytes(SHOP), bytes("aaaa"), &asker, &asked.deploy, &failure),
        0);
    assert_true(played_store_answers());
    assert_failed("serves that version already");
    forget_ends();
    assert_int_equal(
        deploy_rollback(asked.deploys, bytes(SHOP), bytes("cc"), &asker, &asked.deploy, &failure),
        0);
    assert_true(played_store_answers());
    assert_failed("has no such version");
}

/* An answer that nobody asked for ends the connection to the store. */
static void test_answers_that_do_not_fit_are_breaches(void **state)
{
    Skep__Store__Accepted accepted = SKEP__STORE__ACCEPTED__INIT;
    Skep__Store__Sealed sealed = SKEP__STORE__SEALED__INIT;
    Skep__Store__Committed committed = SKEP__STORE__COMMITTED__INIT;
    Skep__Store__Removed removed = SKEP__STORE__REMOVED__INIT;
    Skep__Store__Versions versions = SKEP__STORE__VERSIONS__INIT;

    (void) state;
    begin(A);
    sealed.id = committed.id = removed.id = versions.id = played_store_asked().id;
    assert_int_equal(played_store_says(SKEP__STORE__ANSWER__MESSAGE_SEALED, &sealed), -EPROTO);
    assert_int_equal(played_store_says(SKEP__STORE__ANSWER__MESSAGE_COMMITTED, &committed),
                     -EPROTO);
    assert_int_equal(played_store_says(SKEP__STORE__ANSWER__MESSAGE_REMOVED, &removed), -EPROTO);
    assert_int_equal(played_store_says(SKEP__STORE__ANSWER__MESSAGE_VERSIONS, &versions), -EPROTO);
    assert_true(played_store_answers());
    send_part(true);
    sealed.version = bytes("not a digest");
    sealed.folder = bytes(A);
    assert_int_equal(played_store_says(SKEP__STORE__ANSWER__MESSAGE_SEALED, &sealed), -EPROTO);
    sealed.version = bytes(A);
    sealed.folder = bytes("../" A);
    assert_int_equal(played_store_says(SKEP__STORE__ANSWER__MESSAGE_SEALED, &sealed), -EPROTO);
    accepted.id = 4711; /* no deploy's id: the deploy may be over */
    assert_int_equal(played_store_says(SKEP__STORE__ANSWER__MESSAGE_ACCEPTED, &accepted), 0);
}

/* ---- removals */

static void begin_removal(void)
{
    _cleanup_(failure_done) struct failure failure = { 0 };

    forget_ends();
    if (deploy_remove(asked.deploys, bytes(SHOP), &asker, &asked.deploy, &failure) < 0)
        fail_msg("a removal cannot begin: %s", failure.text);
}

static void test_removal_waits_for_the_requests_that_run(void **state)
{
    struct floors_client first, second;

    (void) state;
    deploy_all(A);
    floors_ask(&first, HOST);
    assert_int_equal(played_requests(SHOP), 1);
    begin_removal();
    assert_string_equal(floors_route(HOST), ""); /* at once */
    floors_ask(&second, HOST);
    assert_int_equal(floors_status(&second), 404);
    floors_pass(5000);
    assert_int_equal(played_store_asked().which, 0);
    assert_int_equal(asked.done, 0);
    played_request_ends(SHOP, 200);
    floors_pass(1000);
    assert_int_equal(floors_status(&first), 200);
    assert_int_equal(played_store_asked().which, SKEP__STORE__REQUEST__MESSAGE_REMOVE);
    assert_true(played_store_answers());
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.in_flight, 0);
    floors_pass(3000);
    assert_int_equal(played_loaded(SHOP), 0);
    assert_true(TAILQ_EMPTY(&floors.heart.tenants->leaving));
    floors_leave(&first);
    floors_leave(&second);
}

static void test_removal_waits_ten_seconds_and_says_what_still_runs(void **state)
{
    struct floors_client client;

    (void) state;
    deploy_all(A);
    floors_ask(&client, HOST);
    begin_removal();
    floors_pass(9000);
    assert_int_equal(played_store_asked().which, 0);
    floors_pass(2000);
    assert_true(played_store_answers());
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.in_flight, 1);
    played_request_ends(SHOP, 200); /* served to the end all the same */
    floors_settle();
    assert_int_equal(floors_status(&client), 200);
    floors_leave(&client);
}

static void test_removal_that_the_store_refuses_fails(void **state)
{
    (void) state;
    deploy_all(A);
    begin_removal();
    floors_pass(1000);
    assert_true(played_store_says_no("the disk is full"));
    assert_failed("the disk is full");
    assert_false(deploys_are_busy(asked.deploys));
}

static void test_removal_goes_on_without_who_asked_for_it(void **state)
{
    (void) state;
    deploy_all(A);
    begin_removal();
    deploy_leave(asked.deploy);
    floors_pass(1000);
    assert_true(played_store_answers());
    assert_int_equal(asked.done, 0);
    assert_false(deploys_are_busy(asked.deploys));
    assert_string_equal(played_store_current(), "");
}

/* ---- who asks leaves; skepd ends */

static void test_deploy_is_given_up_when_who_asked_has_left(void **state)
{
    (void) state;
    begin(A);
    deploy_leave(asked.deploy);
    assert_true(played_store_answers()); /* to what it was at before */
    assert_given_up();
    upload(A);
    deploy_leave(asked.deploy);
    assert_true(played_store_answers());
    assert_given_up();
    upload_and_load(A);
    deploy_leave(asked.deploy);
    assert_given_up();
    assert_null(floors_tenant(SHOP));
    played_load_ends(SHOP, NULL); /* which nobody waits for */
    floors_pass(2000);
    assert_int_equal(played_loaded(SHOP), 0);
    assert_int_equal(asked.failed, 0); /* nobody is told */
}

static void test_deploy_that_is_made_durable_goes_on_without_who_asked(void **state)
{
    (void) state;
    upload_and_commit(A);
    deploy_leave(asked.deploy);
    assert_true(played_store_answers());
    assert_string_equal(serving(), A);
    assert_int_equal(asked.done, 0);
}

static void test_drain_ends_what_is_not_being_made_durable(void **state)
{
    (void) state;
    deploy_all(A);
    upload_and_load(B);
    floors.heart.life.is_draining = true;
    deploys_drain(asked.deploys);
    assert_failed("skepd is about to end");
    assert_given_up();
    played_load_ends(SHOP, NULL);
    floors_settle();
    floors.heart.life.is_draining = false;
    upload_and_commit(B);
    floors.heart.life.is_draining = true;
    deploys_drain(asked.deploys);
    assert_int_equal(asked.failed, 0);
    assert_true(played_store_answers());
    assert_int_equal(asked.done, 1);
}

static void assert_refused(int r, struct failure *failure, int code, const char *words)
{
    assert_int_equal(r, code);
    assert_int_equal(failure->code, code);
    assert_non_null(strstr(failure->text, words));
    failure_done(failure);
}

static void test_one_change_of_a_tenant_at_a_time(void **state)
{
    struct failure failure = { 0 };
    struct deploy *deploy = NULL;

    (void) state;
    upload_and_load(A);
    int r = deploy_begin(asked.deploys, bytes(SHOP), &asker, &deploy, &failure);
    assert_refused(r, &failure, -EBUSY, "by somebody else");
    r = deploy_remove(asked.deploys, bytes(SHOP), &asker, &deploy, &failure);
    assert_refused(r, &failure, -EBUSY, "by somebody else");
    assert_int_equal(deploy_list(asked.deploys, bytes(SHOP), &asker, &deploy, &failure), 0);
    assert_true(played_store_answers());
    assert_int_equal(asked.listed, 0);
}

static void test_tenant_of_the_folder_is_not_deployed(void **state)
{
    struct failure failure = { 0 };
    struct deploy *deploy = NULL;

    (void) state;
    assert_int_equal(floors_install("name: " SHOP "\nmain: a.js\ncordon: many\n"), 0);
    int r = deploy_begin(asked.deploys, bytes(SHOP), &asker, &deploy, &failure);
    assert_refused(r, &failure, -EEXIST, "remove it there first");
    r = deploy_begin(asked.deploys, bytes("No Name"), &asker, &deploy, &failure);
    assert_refused(r, &failure, -EINVAL, "not the name of a tenant");
}

static void test_tenant_of_the_folder_that_comes_meanwhile_keeps_its_name(void **state)
{
    (void) state;
    upload(A);
    assert_int_equal(floors_install("name: " SHOP "\nmain: a.js\ncordon: many\n"), 0);
    assert_true(played_store_answers());
    assert_failed("is served from /nowhere by now");
}

static void test_candidate_of_a_reload_takes_the_place_of_one_that_loads(void **state)
{
    (void) state;
    deploy_all(A);
    upload_and_load(B);
    assert_int_equal(
        floors_install("name: " SHOP "\nmain: a.js\ncordon: many\nlimits: { cpu_ms: 77 }\n"), 0);
    assert_failed("the service was reloaded meanwhile");
    assert_given_up();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_version_serves_once_it_has_loaded_and_is_durable),
        TEST(test_version_that_serves_already_is_not_deployed_again),
        TEST(test_load_that_fails_leaves_no_tenant),
        TEST(test_load_that_fails_leaves_the_version_before),
        TEST(test_load_that_does_not_end_fails_after_a_minute),
        TEST(test_manifest_that_is_wrong_fails_with_its_line),
        TEST(test_route_of_another_tenant_fails),
        TEST(test_route_that_is_taken_while_the_disk_is_busy_is_made_good),
        TEST(test_version_that_fails_is_rolled_back),
        TEST(test_version_that_is_no_worse_than_the_one_before_stays),
        TEST(test_version_before_goes_when_the_watch_is_over),
        TEST(test_rollback_of_the_watch_waits_for_the_store),
        TEST(test_rollback_that_the_store_refuses_is_not_undone),
        TEST(test_no_version_goes_back_while_its_successor_is_made_durable),
        TEST(test_each_refusal_of_the_store_ends_a_deploy),
        TEST(test_store_that_ends_takes_an_upload_with_it_wherever_it_is),
        TEST(test_store_that_ends_while_it_makes_a_version_durable_may_have_done_it),
        TEST(test_rollback_that_loads_does_not_need_the_store_until_it_commits),
        TEST(test_rollback_reads_a_cold_disk_beside_the_loop),
        TEST(test_rollback_to_what_serves_fails),
        TEST(test_answers_that_do_not_fit_are_breaches),
        TEST(test_removal_waits_for_the_requests_that_run),
        TEST(test_removal_waits_ten_seconds_and_says_what_still_runs),
        TEST(test_removal_that_the_store_refuses_fails),
        TEST(test_removal_goes_on_without_who_asked_for_it),
        TEST(test_deploy_is_given_up_when_who_asked_has_left),
        TEST(test_deploy_that_is_made_durable_goes_on_without_who_asked),
        TEST(test_drain_ends_what_is_not_being_made_durable),
        TEST(test_one_change_of_a_tenant_at_a_time),
        TEST(test_tenant_of_the_folder_is_not_deployed),
        TEST(test_tenant_of_the_folder_that_comes_meanwhile_keeps_its_name),
        TEST(test_candidate_of_a_reload_takes_the_place_of_one_that_loads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
