/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor/check with a worker that was taken over, or that dies, while it checks a tenant's
 * modules. The test is the spawner, and its workers are forks of itself without a jail.
 */
#include "supervisor/check/check.h"

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h> /* needs some of the above */

#include "common/cleanup.h"
#include "common/io.h"
#include "common/rss.h"
#include "proto/frame.h"
#include "proto/scoreboard.h"
#include "supervisor/helpers/spawner.h"
#include "supervisor/jail/level.h"
#include "worker.pb-c.h"

/* The worker's code. channel: the worker's end, blocking. Ends with exit. */
typedef void (*play_fn)(int channel, struct scoreboard *board);

struct stage {
    struct event_base *base;
    const struct spawner_ops *ops;
    void *owner;
    play_fn play;
    unsigned slot;
    pid_t pid;
    int pidfd;
    struct event *born, *exited;
    int look_error;
    unsigned n_births;
    bool is_there; /* the worker */
};
static struct stage stage;

/* ---- the spawner */

static void on_born(evutil_socket_t fd, short what, void *arg)
{
    struct spawner_worker worker = { .pid = stage.pid, .stat_fd = -1 };

    (void) fd;
    (void) what;
    (void) arg;
    worker.pidfd = fcntl(stage.pidfd, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(rss_open(stage.pid, &worker.statm_fd), 0);
    stage.ops->on_result(stage.owner, stage.slot, 0, NULL, &worker);
}

/* Returns its wait status. */
static int reap(void)
{
    int status = 0;

    assert_int_equal(waitpid(stage.pid, &status, 0), stage.pid);
    event_free(stage.born);
    event_free(stage.exited);
    (void) close(stage.pidfd);
    stage.is_there = false;
    return status;
}

/* As spawner_free does. */
static void end_what_is_left(void)
{
    if (!stage.is_there)
        return;
    (void) kill(stage.pid, SIGKILL);
    (void) reap();
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    int status = reap();
    stage.ops->on_exited(stage.owner, stage.slot, stage.pid, status, 0);
}

int __wrap_spawner_attach(struct spawner *spawner, struct event_base *base,
                          const struct spawner_ops *ops, void *owner);
int __wrap_spawner_attach(struct spawner *spawner, struct event_base *base,
                          const struct spawner_ops *ops, void *owner)
{
    (void) spawner;
    stage.base = base;
    stage.ops = ops;
    stage.owner = owner;
    return 0;
}

int __wrap_spawner_spawn(struct spawner *spawner, const struct spawner_job *job);
int __wrap_spawner_spawn(struct spawner *spawner, const struct spawner_job *job)
{
    static const struct timeval now = { 0 };

    (void) spawner;
    stage.n_births++;
    stage.slot = job->slot;
    stage.pid = fork();
    assert_true(stage.pid >= 0);
    if (stage.pid == 0) {
        void *board =
            mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, job->scoreboard_fd, 0);
        int channel = dup(job->channel_fd);
        (void) close_range((unsigned) channel + 1, ~0U, 0);
        for (int fd = 3; fd < channel; fd++)
            (void) close(fd);
        (void) fcntl(channel, F_SETFL, 0);
        stage.play(channel, board);
        _exit(0);
    }
    stage.is_there = true;
    stage.pidfd = pidfd_open(stage.pid, 0);
    stage.born = event_new(stage.base, -1, 0, on_born, NULL);
    stage.exited = event_new(stage.base, stage.pidfd, EV_READ, on_exited, NULL);
    assert_true(stage.born && event_add(stage.born, &now) == 0);
    assert_true(stage.exited && event_add(stage.exited, NULL) == 0);
    return 0;
}

int __wrap_spawner_look(struct spawner *spawner, unsigned slot, pid_t pid, bool with_maps);
int __wrap_spawner_look(struct spawner *spawner, unsigned slot, pid_t pid, bool with_maps)
{
    static const struct jail_facts none; /* no jail at all */

    (void) spawner;
    (void) with_maps;
    stage.ops->on_facts(stage.owner, slot, pid, stage.look_error, stage.look_error ? NULL : &none);
    return 0;
}

/* ---- the worker's frames */

static void say(int channel, Skep__Worker__FromWorker__MessageCase which, void *message)
{
    static uint8_t frame[4096];
    Skep__Worker__FromWorker envelope = SKEP__WORKER__FROM_WORKER__INIT;

    envelope.message_case = which;
    envelope.hello = message;
    size_t size = frame_packed_size(&envelope.base);
    frame_pack(&envelope.base, frame, size);
    if (io_write_all(channel, frame, size) < 0)
        _exit(1);
}

static ProtobufCBinaryData text_of(const char *text)
{
    return (ProtobufCBinaryData){ .len = strlen(text), .data = (uint8_t *) (uintptr_t) text };
}

static void say_hello(int channel)
{
    Skep__Worker__Hello hello = SKEP__WORKER__HELLO__INIT;

    hello.protocol = PROTOCOL_VERSION;
    say(channel, SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO, &hello);
}

static void say_problem(int channel, uint32_t tenant, const char *file, bool is_unused)
{
    Skep__Worker__Problem problem = SKEP__WORKER__PROBLEM__INIT;

    problem.placement = tenant;
    problem.file = text_of(file);
    problem.line = 3;
    problem.column = 7;
    problem.text = text_of("bad \x1b[31m news\xff");
    problem.unused = is_unused;
    say(channel, SKEP__WORKER__FROM_WORKER__MESSAGE_PROBLEM, &problem);
}

static void say_loaded(int channel, Skep__Worker__LoadResult result, const char *text)
{
    Skep__Worker__Loaded loaded = SKEP__WORKER__LOADED__INIT;

    loaded.placement = 1;
    loaded.result = result;
    loaded.message = text_of(text);
    say(channel, SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED, &loaded);
}

/* Says hello, and reads until the files of the tenant have come. */
static void begin(int channel)
{
    char bytes[4096];

    say_hello(channel);
    if (read(channel, bytes, sizeof bytes) <= 0)
        _exit(1);
}

static _Noreturn void wait_for_the_end(void)
{
    for (;;)
        (void) pause();
}

/* ---- one check */

static struct check_faults faults;

static int run(play_fn play, unsigned n_tenants)
{
    static const char text[] = "limits: { maximum: { cpu_startup_ms: 10 } }";
    static const char of_tenant[] = "name: shop\nmain: worker.js\n";
    struct config_errors errors = { 0 };
    struct jail_state jail = { .is_unjailed = stage.look_error == 0 };
    struct check_options options = { .jail = &jail };
    struct manifest *tenants[2];
    struct config *config = NULL;

    memset(&faults, 0, sizeof faults);
    stage.play = play;
    stage.n_births = 0;
    options.base = event_base_new();
    assert_int_equal(config_parse("skepd.yaml", text, sizeof text - 1, &config, &errors), 0);
    options.config = config;
    for (unsigned i = 0; i < n_tenants; i++) {
        assert_int_equal(
            manifest_parse("/t/skep.yaml", of_tenant, sizeof of_tenant - 1, &tenants[i], &errors),
            0);
        tenants[i]->files = calloc(1, sizeof *tenants[i]->files);
        tenants[i]->files[0] =
            (struct tenant_file){ strdup("worker.js"), strdup("export"), strlen("export") };
        tenants[i]->n_files = 1;
    }
    int r = check_modules(&options, tenants, n_tenants, &faults);
    end_what_is_left();
    for (unsigned i = 0; i < n_tenants; i++)
        (void) manifest_free(tenants[i]);
    (void) config_free(config);
    event_base_free(options.base);
    return r;
}

static void assert_errors(const char *expected)
{
    assert_string_equal(faults.errors.text ? faults.errors.text : "", expected);
    check_faults_done(&faults);
}

static void finds_two(int channel, struct scoreboard *board)
{
    (void) board;
    begin(channel);
    say_problem(channel, 1, "worker.js", false);
    say_problem(channel, 1, "worker.js", true);
    say_loaded(channel, SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED, "");
    wait_for_the_end();
}

static void test_each_tenant_has_a_worker_which_ends(void **state)
{
    (void) state;
    assert_int_equal(run(finds_two, 2), 0);
    assert_int_equal(stage.n_births, 2);
    assert_int_equal(faults.errors.n_items, 2);
    assert_int_equal(faults.errors.items[0].column, 7);
    assert_string_equal(faults.notes.items[1].text,
                        "no import statement leads here, and: bad \\x1b[31m news\\xff");
    assert_errors("/t/worker.js:3:7: bad \\x1b[31m news\\xff\n"
                  "/t/worker.js:3:7: bad \\x1b[31m news\\xff\n");
}

static void is_over_its_limit(int channel, struct scoreboard *board)
{
    Skep__Worker__Exceeded exceeded = SKEP__WORKER__EXCEEDED__INIT;

    (void) board;
    begin(channel);
    exceeded.placement = 1;
    say(channel, SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED, &exceeded);
    say_loaded(channel, SKEP__WORKER__LOAD_RESULT__LOAD_CPU_STARTUP, "stopped after a while");
    wait_for_the_end();
}

static void test_limit_that_is_met_is_the_tenants_error(void **state)
{
    (void) state;
    assert_int_equal(run(is_over_its_limit, 1), 0);
    assert_errors("/t/worker.js: stopped after a while\n");
}

static void names_a_strange_file(int channel, struct scoreboard *board)
{
    (void) board;
    begin(channel);
    say_problem(channel, 1, "/etc/passwd", false);
    wait_for_the_end();
}

static void names_another_tenant(int channel, struct scoreboard *board)
{
    (void) board;
    begin(channel);
    say_problem(channel, 2, "worker.js", false);
    wait_for_the_end();
}

static void logs(int channel, struct scoreboard *board)
{
    Skep__Worker__Log log = SKEP__WORKER__LOG__INIT;

    (void) board;
    begin(channel);
    log.placement = 1;
    say(channel, SKEP__WORKER__FROM_WORKER__MESSAGE_LOG, &log);
    wait_for_the_end();
}

static void floods(int channel, struct scoreboard *board)
{
    (void) board;
    begin(channel);
    for (;;)
        say_problem(channel, 1, "worker.js", true);
}

static void test_worker_that_breaks_the_protocol_is_ended_and_said(void **state)
{
    static const play_fn plays[] = { names_a_strange_file, names_another_tenant, logs, floods };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(plays); i++) {
        assert_int_equal(run(plays[i], 1), 0);
        assert_errors("/t/worker.js: the worker that compiled it broke the protocol\n");
    }
}

static void runs_out_of_heap(int channel, struct scoreboard *board)
{
    begin(channel);
    atomic_store(&board->threads[0].last_words, LAST_WORDS_HEAP_OOM);
    (void) raise(SIGKILL);
}

static void dies(int channel, struct scoreboard *board)
{
    (void) board;
    begin(channel);
    (void) raise(SIGKILL);
}

static void test_death_while_it_compiles_is_the_tenants_error(void **state)
{
    (void) state;
    assert_int_equal(run(runs_out_of_heap, 2), 0);
    assert_int_equal(stage.n_births, 2);
    assert_errors("/t/worker.js: compiling it takes more than heap_mib\n"
                  "/t/worker.js: compiling it takes more than heap_mib\n");
    assert_int_equal(run(dies, 1), 0);
    assert_errors("/t/worker.js: the worker that compiled it has died\n");
}

static void never_ends(int channel, struct scoreboard *board)
{
    (void) board;
    begin(channel);
    wait_for_the_end();
}

static void test_compilation_that_does_not_end_is_ended(void **state)
{
    (void) state;
    assert_int_equal(run(never_ends, 1), 0);
    assert_errors("/t/worker.js: compiling it has not ended after 5000 ms; cpu_startup_ms is 10\n");
}

static void dies_first(int channel, struct scoreboard *board)
{
    (void) channel;
    (void) board;
}

static void says_problems_first(int channel, struct scoreboard *board)
{
    (void) board;
    say_problem(channel, 1, "worker.js", false);
    wait_for_the_end();
}

static void test_without_a_worker_nothing_is_said_of_tenants(void **state)
{
    (void) state;
    assert_true(run(dies_first, 2) < 0);
    assert_int_equal(stage.n_births, 1);
    assert_errors("");
    assert_true(run(says_problems_first, 2) < 0);
    assert_int_equal(stage.n_births, 1);
    assert_errors("");
}

static void test_worker_that_shows_no_jail_gets_no_file(void **state)
{
    (void) state;
    stage.look_error = -EPERM;
    assert_true(run(never_ends, 1) < 0);
    stage.look_error = 0;
    assert_errors("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_tenant_has_a_worker_which_ends),
        cmocka_unit_test(test_limit_that_is_met_is_the_tenants_error),
        cmocka_unit_test(test_worker_that_breaks_the_protocol_is_ended_and_said),
        cmocka_unit_test(test_death_while_it_compiles_is_the_tenants_error),
        cmocka_unit_test(test_compilation_that_does_not_end_is_ended),
        cmocka_unit_test(test_without_a_worker_nothing_is_said_of_tenants),
        cmocka_unit_test(test_worker_that_shows_no_jail_gets_no_file),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
