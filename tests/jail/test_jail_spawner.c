/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spawner and the attestation, with real workers: a worker's start, the errors
 * when it cannot start, the reports of ends, and that no process outlives its parent.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/process.h"
#include "common/rss.h"
#include "tests/jail/hive.h"

static const struct probe_plan sealed = { .lock = PROBE_SEALED };

static void test_sealed_worker_is_attested(void **state)
{
    struct hive hive;
    char text[128];

    (void) state;
    hive_init(&hive, NULL);
    for (int jit = 0; jit <= 1; jit++) {
        struct cell *cell = cell_start(&hive, &sealed, jit);
        int r = cell_attest(&hive, cell, jit, text, sizeof text);
        if (r < 0)
            fail_msg("%s: %s", strerror(-r), text);
        assert_string_equal(text, "");
    }
    hive_done(&hive);
}

static void test_worker_without_its_jail_is_not_attested(void **state)
{
    static const struct {
        struct probe_plan plan;
        const char *text;
    } cases[] = {
        { { .lock = PROBE_FREE }, "1 threads" },
        { { .lock = PROBE_FREE, .second_thread = true }, "Seccomp: 0" },
        { { .lock = PROBE_ENTERED, .second_thread = false }, "1 threads" },
        { { .lock = PROBE_STARTED, .second_thread = true }, "Seccomp_filters: 1" },
        { { .lock = PROBE_SEALED, .keep_scoreboard = true }, "file descriptor 4" },
    };
    struct hive hive;
    char text[128];

    (void) state;
    hive_init(&hive, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cell *cell = cell_start(&hive, &cases[i].plan, true);
        assert_int_equal(cell_attest(&hive, cell, true, text, sizeof text), -EPERM);
        assert_non_null(strstr(text, cases[i].text));
    }
    hive_done(&hive);
}

static void test_sealed_worker_has_its_limits(void **state)
{
    static const struct {
        const char *name;
        unsigned long value;
    } limits[] = {
        { "Max core file size", 0 }, { "Max file size", 0 },     { "Max processes", 0 },
        { "Max locked memory", 0 },  { "Max open files", 3 },    { "Max realtime priority", 0 },
        { "Max nice priority", 0 },  { "Max msgqueue size", 0 },
    };
    struct hive hive;
    char path[32], line[128];
    size_t n = 0;

    (void) state;
    hive_init(&hive, NULL);
    const struct cell *cell = cell_start(&hive, &sealed, true);
    (void) snprintf(path, sizeof path, "/proc/%d/limits", (int) cell->pid);
    _cleanup_file_ FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        for (size_t i = 0; i < ARRAY_LEN(limits); i++)
            if (strncmp(line, limits[i].name, strlen(limits[i].name)) == 0) {
                char *rest = line + strlen(limits[i].name);
                assert_int_equal(strtoul(rest, &rest, 10), limits[i].value);
                assert_int_equal(strtoul(rest, NULL, 10), limits[i].value);
                n++;
            }
    assert_int_equal(n, ARRAY_LEN(limits));
    hive_done(&hive);
}

/* An attacker who takes skepd over gets no worker with a lesser jail. */
static void test_spawner_starts_nothing_with_fewer_layers_than_the_last_probe_found(void **state)
{
    static struct jail_probe found;
    struct spawner_probe_job job = { .jit = true, .is_last = true };
    struct hive hive;
    char text[128];

    (void) state;
    hive_init(&hive, NULL);
    job.layers = hive.layers;
    assert_int_equal(spawner_probe(hive.spawner, &job, &found, text, sizeof text), 0);
    assert_int_equal(found.layers, hive.layers);
    (void) cell_start(&hive, &sealed, true);
    assert_int_equal(spawner_probe(hive.spawner, &job, &found, text, sizeof text), -EBUSY);
    hive.layers &= ~LAYER_BIT(LAYER_NET);
    assert_int_equal(cell_spawn(&hive, &sealed, true)->error, -EPERM);
    hive.layers = 0;
    assert_int_equal(cell_spawn(&hive, &sealed, true)->error, -EPERM);
    hive_done(&hive);
}

/* The spawner's answer has all files of a worker that the supervisor, which cannot open /proc, may
 * read. */
static void test_worker_comes_with_what_is_to_be_seen_of_it(void **state)
{
    struct hive hive;

    (void) state;
    hive_init(&hive, NULL);
    struct cell *cell = cell_start(&hive, &sealed, true);
    assert_int_equal(process_state(cell->stat_fd), PROCESS_RUNS);
    assert_true(rss_read_bytes(cell->statm_fd) > 0);
    assert_int_equal(pidfd_send_signal(cell->pidfd, SIGKILL, NULL, 0), 0);
    await_readable(cell->pidfd);
    assert_int_equal(process_state(cell->stat_fd), PROCESS_EXITING);
    hive_done(&hive);
}

static void test_worker_that_is_gone_is_not_attested(void **state)
{
    struct hive hive;
    char text[128];

    (void) state;
    hive_init(&hive, NULL);
    struct cell *cell = cell_start(&hive, &sealed, true);
    assert_int_equal(pidfd_send_signal(cell->pidfd, SIGKILL, NULL, 0), 0);
    await_readable(cell->pidfd);
    assert_int_equal(cell_attest(&hive, cell, true, text, sizeof text), -ESRCH);
    hive_done(&hive);
}

static void test_second_thread_keeps_the_jail_shut(void **state)
{
    const struct probe_plan plan = { .lock = PROBE_SEALED, .second_thread = true };
    struct hive hive;
    struct probe_reply reply = { 0 };

    (void) state;
    hive_init(&hive, NULL);
    struct cell *cell = cell_spawn(&hive, &plan, true);
    assert_int_equal(cell->error, 0);
    cell_read_reply(cell, &reply);
    assert_string_equal(reply.text, "jail_enter");
    hive_done(&hive);
}

static void test_ends_of_workers_are_reported(void **state)
{
    const struct probe_ask leave = { .kind = PROBE_EXIT, .number = 7 };
    struct hive hive;
    struct probe_reply reply;

    (void) state;
    hive_init(&hive, NULL);
    struct cell *cell = cell_start(&hive, &sealed, true);
    assert_false(cell_ask(cell, &leave, &reply));
    int status = cell_wait(&hive, cell);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);

    cell = cell_start(&hive, &sealed, true);
    assert_int_equal(pidfd_send_signal(cell->pidfd, SIGKILL, NULL, 0), 0);
    status = cell_wait(&hive, cell);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    hive_done(&hive);
}

static void test_many_workers_live_side_by_side(void **state)
{
    struct cell *cells[40];
    struct hive hive;

    (void) state;
    hive_init(&hive, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cells); i++)
        cells[i] = cell_start(&hive, &sealed, true);
    for (size_t i = 0; i < ARRAY_LEN(cells); i += 3)
        assert_int_equal(cell_end(&hive, cells[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(cells); i++)
        if (i % 3 != 0)
            assert_int_equal(cell_end(&hive, cells[i]), 0);
    hive_done(&hive);
}

static unsigned uid_of(pid_t pid)
{
    char path[32];
    struct stat st;

    (void) snprintf(path, sizeof path, "/proc/%d", (int) pid);
    assert_int_equal(stat(path, &st), 0);
    return st.st_uid;
}

/* /proc/PID of a process that is not dumpable belongs to root of its namespace: the worker. */
static void test_worker_of_root_has_a_uid_of_its_own(void **state)
{
    struct hive hive;

    (void) state;
    hive_init(&hive, NULL);
    struct cell *first = cell_start(&hive, &sealed, true);
    struct cell *second = cell_start(&hive, &sealed, true);
    if (geteuid() == 0) {
        assert_int_equal(uid_of(first->pid), 0x7A000000U + first->slot);
        assert_int_equal(uid_of(second->pid), 0x7A000000U + second->slot);
    } else {
        assert_int_equal(uid_of(first->pid), geteuid());
    }
    hive_done(&hive);
}

static void test_missing_worker_program_is_told_at_start(void **state)
{
    const struct spawner_options missing = { .worker_path = "/nonexistent/skep-worker" };
    const struct spawner_options plain = { .worker_path = "/etc/passwd" };
    struct spawner *spawner = NULL;

    (void) state;
    assert_int_equal(spawner_start(&missing, &spawner), -ENOENT);
    assert_int_equal(spawner_start(&plain, &spawner), -EACCES);
    assert_null(spawner);
}

static void make_program(char *path, const char *content, mode_t mode)
{
    _cleanup_fd_ int fd = mkostemp(path, O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, content, strlen(content)), 0);
    assert_int_equal(fchmod(fd, mode), 0);
}

static void assert_exec_fails(mode_t mode, int error)
{
    char path[] = "/tmp/skep-test-XXXXXX";
    struct hive hive;

    make_program(path, "not a program", mode);
    hive_init(&hive, path);
    assert_int_equal(unlink(path), 0);
    struct cell *cell = cell_spawn(&hive, &sealed, true);
    assert_int_equal(cell->error, error);
    assert_string_equal(cell->step, "exec of the program");
    assert_int_equal(cell->pidfd, -1);
    if (error == -EACCES)
        assert_non_null(strstr(spawner_hint(cell->error, cell->step), "for every user"));
    hive_done(&hive);
}

static void test_failed_exec_says_why(void **state)
{
    (void) state;
    assert_exec_fails(0755, -ENOEXEC);
    if (geteuid() == 0) /* the worker is not root outside, so it cannot read root's private file */
        assert_exec_fails(0700, -EACCES);
}

static void test_worker_is_first_to_go_when_memory_is_short(void **state)
{
    struct hive hive;
    char path[48], score[16] = "";

    (void) state;
    hive_init(&hive, NULL);
    const struct cell *cell = cell_start(&hive, &sealed, true);
    (void) snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int) cell->pid);
    _cleanup_file_ FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(score, sizeof score, file));
    assert_true(strtol(score, NULL, 10) >= 500);
    hive_done(&hive);
}

/* ---- hosts with something wrong; each case in a process of its own */

static void write_file(const char *path, const char *text)
{
    _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || io_write_all(fd, text, strlen(text)) < 0)
        _exit(10);
}

/* Enters something like a container of a user without privileges: root inside, one uid. */
static void enter_container(void)
{
    char uids[32], gids[32];

    (void) snprintf(uids, sizeof uids, "0 %u 1", geteuid());
    (void) snprintf(gids, sizeof gids, "0 %u 1", getegid());
    if (unshare(CLONE_NEWUSER) < 0)
        _exit(11);
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", uids);
    write_file("/proc/self/gid_map", gids);
}

static void spawn_denied(int error)
{
    struct hive hive;

    hive_init(&hive, NULL);
    hive.layers = LAYERS_ALL;
    const struct cell *cell = cell_spawn(&hive, &sealed, true);
    if (cell->error != error || strcmp(cell->step, "user namespace") != 0 ||
        !spawner_hint(cell->error, cell->step))
        _exit(12);
    hive_done(&hive);
}

static void run_with_no_namespaces_left(void)
{
    enter_container();
    write_file("/proc/sys/user/max_user_namespaces", "0");
    spawn_denied(-ENOSPC);
}

static void run_with_namespaces_filtered(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (!filter ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                         SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER)) < 0 ||
        seccomp_load(filter) < 0)
        _exit(13);
    seccomp_release(filter);
    spawn_denied(-EPERM);
}

static void run_in_container(void)
{
    struct hive hive;
    char text[128];

    enter_container();
    hive_init(&hive, NULL);
    struct cell *cell = cell_start(&hive, &sealed, true);
    if (cell_attest(&hive, cell, true, text, sizeof text) < 0)
        _exit(14);
    hive_done(&hive);
}

static void test_denied_user_namespaces_are_named(void **state)
{
    (void) state;
    run_apart(run_with_no_namespaces_left);
    run_apart(run_with_namespaces_filtered);
}

static void test_root_of_a_container_may_start_workers(void **state)
{
    (void) state;
    run_apart(run_in_container);
}

static void turn_until_lost(struct hive *hive, unsigned n)
{
    while (hive->health.of[HELPER_SPAWNER].losses < n)
        assert_int_equal(event_base_loop(hive->base, EVLOOP_ONCE), 0);
}

/* The loss of the spawner costs no worker: the reserve starts others, and looks at the running
 * ones. */
static void test_reserve_takes_over_from_a_spawner_that_dies_or_stands_still(void **state)
{
    static const int signals[] = { SIGKILL, SIGSTOP };
    char text[128];

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        struct hive hive;
        hive_init_with_reserve(&hive);
        struct cell *first = cell_start(&hive, &sealed, true);
        pid_t lost = spawner_pid(hive.spawner, 0);
        assert_int_equal(kill(lost, signals[i]), 0);
        turn_until_lost(&hive, 1);
        assert_int_equal(hive.health.of[HELPER_SPAWNER].state, HELPER_RESERVE);
        assert_int_not_equal(spawner_pid(hive.spawner, 0), lost);
        assert_int_equal(cell_attest(&hive, first, true, text, sizeof text), 0);
        (void) cell_start(&hive, &sealed, true);
        while (hive.health.of[HELPER_SPAWNER].state != HELPER_OK) /* waits for the next reserve */
            assert_int_equal(event_base_loop(hive.base, EVLOOP_ONCE), 0);
        assert_true(spawner_pid(hive.spawner, 1) > 0);
        hive.layers &= ~LAYER_BIT(LAYER_NET); /* the reserve starts no lesser jail */
        assert_int_equal(cell_spawn(&hive, &sealed, true)->error, -EPERM);
        assert_int_equal(cell_end(&hive, first), 0);
        hive_done(&hive);
    }
}

static void
test_request_to_a_spawner_that_stands_still_fails_and_the_next_one_does_not(void **state)
{
    struct hive hive;

    (void) state;
    hive_init_with_reserve(&hive);
    assert_int_equal(kill(spawner_pid(hive.spawner, 0), SIGSTOP), 0);
    assert_int_equal(cell_spawn(&hive, &sealed, true)->error, -EPIPE);
    assert_int_equal(hive.health.of[HELPER_SPAWNER].losses, 1);
    (void) cell_start(&hive, &sealed, true);
    hive_done(&hive);
}

static void test_worker_outlives_all_spawners_and_its_end_is_seen(void **state)
{
    struct hive hive;

    (void) state;
    hive_init_with_reserve(&hive);
    struct cell *cell = cell_start(&hive, &sealed, true);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(kill(spawner_pid(hive.spawner, i), SIGKILL), 0);
    turn_until_lost(&hive, 2);
    assert_int_equal(hive.health.of[HELPER_SPAWNER].state, HELPER_GONE);
    assert_int_equal(spawner_pid(hive.spawner, 0), 0);
    const struct spawner_job job = { .channel_fd = 0, .scoreboard_fd = 0 };
    assert_int_equal(spawner_spawn(hive.spawner, &job), -EPIPE);
    assert_int_equal(kill(cell->pid, 0), 0);
    assert_int_equal(cell_end(&hive, cell), 0);
    hive_done(&hive);
}

static void test_worker_dies_when_the_spawner_is_freed(void **state)
{
    struct hive hive;

    (void) state;
    hive_init(&hive, NULL);
    struct cell *cell = cell_start(&hive, &sealed, true);
    _cleanup_fd_ int pidfd = TAKE_FD(cell->pidfd);
    hive_done(&hive);
    await_readable(pidfd);
}

static void test_spawner_ignores_the_terminal(void **state)
{
    struct hive hive;

    (void) state;
    hive_init(&hive, NULL);
    (void) cell_start(&hive, &sealed, true); /* by now the spawner's signals are set */
    assert_int_equal(kill(spawner_pid(hive.spawner, 0), SIGINT), 0);
    assert_int_equal(kill(spawner_pid(hive.spawner, 0), SIGTERM), 0);
    (void) cell_start(&hive, &sealed, true);
    hive_done(&hive);
}

/* Plays the supervisor: starts a worker, reports the pids, and waits for the end. A
 * child keeps every socket open, so that only the parent death signals can end the others. */
static _Noreturn void play_supervisor(int out)
{
    struct hive hive;

    hive_init(&hive, NULL);
    const struct cell *cell = cell_start(&hive, &sealed, true);
    pid_t holder = fork();
    const pid_t pids[3] = { spawner_pid(hive.spawner, 0), cell->pid, holder };
    if (holder == 0)
        (void) alarm(60); /* longer than the test's patience, shorter than a hanging build's */
    else
        (void) io_write_all(out, pids, sizeof pids);
    for (;;)
        (void) pause();
}

static void test_nothing_outlives_the_supervisor(void **state)
{
    int fds[2];
    pid_t pids[3];

    (void) state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t supervisor = fork();
    assert_true(supervisor >= 0);
    if (supervisor == 0)
        play_supervisor(fds[1]);
    assert_int_equal(read(fds[0], pids, sizeof pids), sizeof pids);
    _cleanup_fd_ int spawner = pidfd_open(pids[0], 0);
    _cleanup_fd_ int worker = pidfd_open(pids[1], 0);
    assert_true(spawner >= 0 && worker >= 0);
    assert_int_equal(kill(supervisor, SIGKILL), 0);
    assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
    await_readable(spawner);
    await_readable(worker);
    assert_int_equal(kill(pids[2], SIGKILL), 0);
    (void) close(fds[0]);
    (void) close(fds[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_worker_is_attested),
        cmocka_unit_test(test_worker_without_its_jail_is_not_attested),
        cmocka_unit_test(test_sealed_worker_has_its_limits),
        cmocka_unit_test(test_spawner_starts_nothing_with_fewer_layers_than_the_last_probe_found),
        cmocka_unit_test(test_worker_comes_with_what_is_to_be_seen_of_it),
        cmocka_unit_test(test_worker_that_is_gone_is_not_attested),
        cmocka_unit_test(test_second_thread_keeps_the_jail_shut),
        cmocka_unit_test(test_ends_of_workers_are_reported),
        cmocka_unit_test(test_many_workers_live_side_by_side),
        cmocka_unit_test(test_worker_of_root_has_a_uid_of_its_own),
        cmocka_unit_test(test_missing_worker_program_is_told_at_start),
        cmocka_unit_test(test_failed_exec_says_why),
        cmocka_unit_test(test_worker_is_first_to_go_when_memory_is_short),
        cmocka_unit_test(test_denied_user_namespaces_are_named),
        cmocka_unit_test(test_root_of_a_container_may_start_workers),
        cmocka_unit_test(test_reserve_takes_over_from_a_spawner_that_dies_or_stands_still),
        cmocka_unit_test(
            test_request_to_a_spawner_that_stands_still_fails_and_the_next_one_does_not),
        cmocka_unit_test(test_worker_outlives_all_spawners_and_its_end_is_seen),
        cmocka_unit_test(test_worker_dies_when_the_spawner_is_freed),
        cmocka_unit_test(test_spawner_ignores_the_terminal),
        cmocka_unit_test(test_nothing_outlives_the_supervisor),
    };

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
