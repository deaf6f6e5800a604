/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of egress with the real skep-egress, started by a real spawner, on the false clock of tests/events. The
 * server is a listening socket of the test.
 */
#include "supervisor/helpers/egress.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/process.h"
#include "egress/program.h"
#include "supervisor/helpers/spawner.h"
#include "tests/events/clock.h"
#include "tests/pack_head.h"

#define NUMBER 1
#define STREAMS 100
#define TENANTS 4
#define DAY_MS (24U * 3600 * 1000)

struct opener {
    unsigned n_ends;
    unsigned status;
    char reason[16];
    enum egress_end end;
    char body[16];
    char text[128];
};

struct scene {
    struct event_base *base;
    struct spawner *spawner;
    struct health health;
    struct egress *egress;
    int server;
    uint32_t port;
    int clients[2 * STREAMS]; /* connections of egress */
    unsigned n_clients;
    struct opener openers[STREAMS + 1];
};

/* ---- the opener */

static void on_head(void *owner, const struct egress_answer *answer)
{
    struct opener *opener = owner;

    assert_int_equal(answer->version, 11);
    opener->status = answer->status;
    (void) snprintf(opener->reason, sizeof opener->reason, "%.*s", (int) answer->reason.size,
                    answer->reason.data);
}

static void on_body(void *owner, const uint8_t *data, size_t size)
{
    struct opener *opener = owner;

    (void) snprintf(opener->body, sizeof opener->body, "%.*s", (int) size, (const char *) data);
}

static void on_credit(void *owner, uint32_t bytes)
{
    (void) owner;
    (void) bytes;
}

static void on_end(void *owner, const struct egress_result *result)
{
    struct opener *opener = owner;

    opener->n_ends++;
    opener->end = result->end;
    (void) snprintf(opener->text, sizeof opener->text, "%.*s", (int) result->text.size,
                    result->text.data);
}

static const struct egress_ops ops = { on_head, on_body, on_credit, on_end };
static const struct spawner_ops spawner_ops = { 0 };

/* ---- the scene */

static void listen_at_any_port(struct scene *s)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->server, (const struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal(listen(s->server, 2 * STREAMS), 0);
    assert_int_equal(getsockname(s->server, (struct sockaddr *) &address, &size), 0);
    s->port = ntohs(address.sin_port);
}

static void enter(struct scene *s, const char *dns)
{
    const char *build = getenv("SKEP_BUILD_DIR");
    char path[PATH_MAX];

    *s = (struct scene){ .server = -1 };
    (void) snprintf(path, sizeof path, "%s/" EGRESS_PROGRAM, build ? build : ".");
    const struct spawner_program programs[] = {
        { .folder_fd = -1 }, /* there is no helper of this number */
        { .name = EGRESS_PROGRAM, .path = path, .folder_fd = -1, .arguments = { dns } },
    };
    const struct spawner_options options = {
        .worker_path = "/bin/true",
        .programs = programs,
        .n_programs = ARRAY_LEN(programs),
    };
    clock_reset();
    assert_int_equal(spawner_start(&options, &s->spawner), 0);
    s->base = event_base_new();
    assert_int_equal(spawner_attach(s->spawner, s->base, &spawner_ops, s), 0);
    spawner_keep_reserve(s->spawner, &s->health);
    const struct egress_options egress = {
        .number = NUMBER,
        .base = s->base,
        .spawner = s->spawner,
        .health = &s->health,
    };
    assert_int_equal(egress_new(&egress, &s->egress), 0);
    listen_at_any_port(s);
}

static void leave(struct scene *s)
{
    s->egress = egress_free(s->egress);
    s->spawner = spawner_free(s->spawner);
    event_base_free(s->base);
    fd_cleanup(&s->server);
    for (unsigned i = 0; i < s->n_clients; i++)
        fd_cleanup(&s->clients[i]);
}

static void turn(const struct scene *s)
{
    assert_int_equal(event_base_loop(s->base, EVLOOP_NONBLOCK), 0);
    (void) usleep(1000);
}

static void pass_s(const struct scene *s, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        clock_pass(NSEC_PER_SEC);
        turn(s);
    }
}

/* Waits until egress is there; the back-off after losses is passed. */
static void await_ready(const struct scene *s)
{
    while (!egress_is_ready(s->egress)) {
        clock_pass(NSEC_PER_MSEC);
        turn(s);
    }
}

static void open_one(struct scene *s, struct opener *opener, uint64_t tenant)
{
    static const struct address_prefix loopback = {
        .bytes = { [10] = 0xff, [11] = 0xff, [12] = 127 },
        .bits = 104,
    };
    uint8_t packed[16];
    const struct egress_request request = {
        .tenant = tenant,
        .method = { "GET", 3 },
        .host = { "127.0.0.1", 9 },
        .path = { "/", 1 },
        .port = s->port,
        .head = packed,
        .head_size = pack_head(packed, 0, NULL),
        .length = -1,
        .credit = 1000,
        .addresses = { &loopback, 1, NULL, 0 },
        .connect_ms = DAY_MS,
        .head_ms = DAY_MS,
        .idle_ms = DAY_MS,
        .total_ms = DAY_MS,
    };
    struct egress_fetch *fetch;

    *opener = (struct opener){ .n_ends = 0 };
    assert_int_equal(egress_open(s->egress, &request, &ops, opener, &fetch), 0);
}

/* Waits until that many requests have reached the server. */
static void await_clients(struct scene *s, unsigned n)
{
    char request[1024];

    while (s->n_clients < n) {
        turn(s);
        int fd = accept4(s->server, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        s->clients[s->n_clients++] = fd;
        assert_true(read(fd, request, sizeof request) > 0);
    }
}

static void expect_answer(struct scene *s)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    struct opener *opener = &s->openers[STREAMS];
    const unsigned before = s->n_clients;

    open_one(s, opener, 1);
    await_clients(s, before + 1);
    assert_int_equal(write(s->clients[before], answer, sizeof answer - 1), sizeof answer - 1);
    while (opener->n_ends == 0)
        turn(s);
    assert_int_equal(opener->end, EGRESS_COMPLETE);
    assert_int_equal(opener->status, 200);
    assert_string_equal(opener->reason, "OK");
    assert_string_equal(opener->body, "hello");
}

/* Returns the pid of egress, a child of this process; *ret_stat_fd: its /proc/PID/stat, the caller's. */
static pid_t find_egress(int *ret_stat_fd)
{
    DIR *all = opendir("/proc");
    const struct dirent *entry;
    pid_t found = 0, parent;
    char path[64], name[32] = "";

    while (found == 0 && (entry = readdir(all))) {
        pid_t pid = atoi(entry->d_name);
        if (pid <= 0 || process_parent(pid, &parent) < 0 || parent != getpid())
            continue;
        (void) snprintf(path, sizeof path, "/proc/%d/comm", (int) pid);
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
        if (n <= 0 || strncmp(name, EGRESS_PROGRAM "\n", (size_t) n) != 0)
            continue;
        assert_int_equal(process_open(pid, ret_stat_fd), 0);
        if (process_state(*ret_stat_fd) == PROCESS_RUNS)
            found = pid;
        else
            (void) close(*ret_stat_fd); /* one that was killed before, and was not reaped yet */
    }
    (void) closedir(all);
    assert_true(found > 0);
    return found;
}

static void open_streams(struct scene *s)
{
    for (unsigned i = 0; i < STREAMS; i++)
        open_one(s, &s->openers[i], 1 + i % TENANTS);
    await_clients(s, STREAMS);
    assert_int_equal(egress_count(s->egress), STREAMS);
}

static void expect_all_lost(struct scene *s)
{
    while (egress_count(s->egress) > 0)
        turn(s);
    for (unsigned i = 0; i < STREAMS; i++) {
        assert_int_equal(s->openers[i].n_ends, 1);
        assert_int_equal(s->openers[i].end, EGRESS_LOST);
    }
    assert_string_equal(log_last_error(), "egress has ended, and 100 open fetches with it");
}

/* ---- tests */

static void test_killed_egress_ends_a_hundred_streams_and_the_next_one_answers(void **state)
{
    static struct scene scene;
    struct scene *s = &scene;

    (void) state;
    enter(s, "--dns=127.0.0.1:1");
    await_ready(s);
    expect_answer(s);
    s->n_clients = 0;
    open_streams(s);
    _cleanup_fd_ int stat_fd = -1;
    assert_int_equal(kill(find_egress(&stat_fd), SIGKILL), 0);
    expect_all_lost(s);
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 1);
    await_ready(s);
    expect_answer(s);
    leave(s);
}

static void test_stopped_egress_is_named_and_then_replaced(void **state)
{
    static struct scene scene;
    struct scene *s = &scene;
    const struct helper_health *health = &s->health.of[HELPER_EGRESS];

    (void) state;
    enter(s, "--dns=127.0.0.1:1");
    await_ready(s);
    open_streams(s);
    _cleanup_fd_ int stat_fd = -1;
    pid_t pid = find_egress(&stat_fd);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    while (process_state(stat_fd) != PROCESS_STOPPED)
        (void) usleep(1000);
    pass_s(s, 3);
    assert_int_equal(health->state, HELPER_SILENT);
    assert_int_equal(egress_count(s->egress), STREAMS);
    pass_s(s, 10);
    assert_string_equal(health->why, "it was stopped by a signal, and is ended");
    expect_all_lost(s);
    while (process_state(stat_fd) != PROCESS_EXITING)
        (void) usleep(1000);
    await_ready(s);
    expect_answer(s);
    leave(s);
}

static void test_idle_egress_that_answers_pings_is_left_alone(void **state)
{
    static struct scene scene;
    struct scene *s = &scene;

    (void) state;
    enter(s, "--dns=127.0.0.1:1");
    await_ready(s);
    open_one(s, &s->openers[0], 1);
    await_clients(s, 1);
    for (unsigned i = 0; i < 50; i++) {
        pass_s(s, 1);
        for (unsigned n = 0; n < 10; n++)
            turn(s);
    }
    assert_int_equal(s->health.of[HELPER_EGRESS].losses, 0);
    assert_int_equal(s->openers[0].n_ends, 0);
    assert_int_equal(s->health.of[HELPER_EGRESS].state, HELPER_OK);
    leave(s);
}

/* The argument reaches the program, and is refused there. */
static void test_egress_that_cannot_start_does_not_hold_skepd_up(void **state)
{
    static struct scene scene;
    struct scene *s = &scene;

    (void) state;
    enter(s, "--dns=nonsense");
    while (s->health.of[HELPER_EGRESS].state != HELPER_RESTARTING)
        turn(s);
    assert_string_equal(s->health.of[HELPER_EGRESS].why, "it cannot start");
    assert_non_null(strstr(log_last_error(), "helper egress is restarting: it cannot start"));
    assert_false(egress_is_ready(s->egress));
    leave(s);
}

static void on_none(void *owner, int error, const char *step, const struct spawner_started *started)
{
    (void) step;
    assert_null(started);
    *(int *) owner = error;
}

static void test_helper_that_there_is_not_cannot_be_asked_for(void **state)
{
    static struct scene scene;
    int error = 0;

    (void) state;
    enter(&scene, "--dns=127.0.0.1:1");
    assert_int_equal(spawner_start_helper(scene.spawner, 0, NULL, on_none, &error), 0);
    while (error == 0)
        turn(&scene);
    assert_int_equal(error, -ENOENT);
    leave(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_egress_ends_a_hundred_streams_and_the_next_one_answers),
        cmocka_unit_test(test_stopped_egress_is_named_and_then_replaced),
        cmocka_unit_test(test_idle_egress_that_answers_pings_is_left_alone),
        cmocka_unit_test(test_egress_that_cannot_start_does_not_hold_skepd_up),
        cmocka_unit_test(test_helper_that_there_is_not_cannot_be_asked_for),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
