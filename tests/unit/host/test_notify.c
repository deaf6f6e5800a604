/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages that a service manager reads on its socket.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/host/notify.h"

struct fixture {
    int manager;
    char address[64];
    struct event_base *base;
    struct notify *notify;
    int received_fd; /* with the last message; -1: none */
    unsigned n_barriers;
    int barrier_error;
};

static int set_up(void **state)
{
    static struct fixture f;
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    f = (struct fixture){ .received_fd = -1 };
    (void) snprintf(f.address, sizeof f.address, "@skep-test-notify-%d", (int) getpid());
    (void) strcpy(address.sun_path + 1, f.address + 1);
    f.manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(f.address));
    assert_int_equal(bind(f.manager, (const struct sockaddr *) &address, size), 0);
    f.base = event_base_new();
    assert_int_equal(notify_new(f.address, &f.notify), 0);
    assert_non_null(f.notify);
    assert_int_equal(notify_attach(f.notify, f.base), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    f->notify = notify_free(f->notify);
    event_base_free(f->base);
    assert_int_equal(close(f->manager), 0);
    if (f->received_fd >= 0)
        assert_int_equal(close(f->received_fd), 0);
    return 0;
}

/* Returns the next message; "" if there is none. */
static const char *hear(struct fixture *f)
{
    static char text[1024];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_base = text, .iov_len = sizeof text - 1 };
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control.bytes,
    };

    if (f->received_fd >= 0)
        (void) close(f->received_fd);
    f->received_fd = -1;
    ssize_t n = recvmsg(f->manager, &message, MSG_CMSG_CLOEXEC);
    text[n > 0 ? n : 0] = '\0';
    const struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header)
        memcpy(&f->received_fd, CMSG_DATA(header), sizeof(int));
    return text;
}

static void on_barrier(void *owner, int error)
{
    struct fixture *f = owner;

    f->n_barriers++;
    f->barrier_error = error;
}

static void test_each_word(void **state)
{
    struct fixture *f = *state;

    notify_ready(f->notify);
    assert_string_equal(hear(f), "READY=1");
    notify_stopping(f->notify);
    assert_string_equal(hear(f), "STOPPING=1");
    notify_watchdog(f->notify);
    assert_string_equal(hear(f), "WATCHDOG=1");
    notify_extend_timeout(f->notify, 5000000);
    assert_string_equal(hear(f), "EXTEND_TIMEOUT_USEC=5000000");
    notify_remove_fds(f->notify, "listen");
    assert_string_equal(hear(f), "FDSTOREREMOVE=1\nFDNAME=listen");
    assert_string_equal(hear(f), "");
}

static void test_nothing_is_said_for_a_service_that_another_process_is(void **state)
{
    struct fixture *f = *state;

    notify_main_pid(f->notify, 1);
    notify_watchdog(f->notify);
    notify_status(f->notify, "text");
    notify_barrier(f->notify, on_barrier, f);
    assert_string_equal(hear(f), "MAINPID=1");
    assert_string_equal(hear(f), "BARRIER=1");
    assert_string_equal(hear(f), "");
    notify_main_pid(f->notify, getpid()); /* this process is the main one after all */
    notify_watchdog(f->notify);
    assert_non_null(strstr(hear(f), "MAINPID="));
    assert_string_equal(hear(f), "WATCHDOG=1");
}

static void test_nothing_is_said_after_the_end(void **state)
{
    struct fixture *f = *state;

    notify_end(f->notify);
    notify_ready(f->notify);
    notify_main_pid(f->notify, getpid());
    assert_int_equal(notify_store_fd(f->notify, f->manager, "listen"), -ENOTCONN);
    assert_string_equal(hear(f), "");
    notify_end(f->notify); /* a second call does nothing */
}

static void test_reloading_has_a_time(void **state)
{
    struct fixture *f = *state;
    unsigned long long usec = 0;

    notify_reloading(f->notify);
    assert_int_equal(sscanf(hear(f), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
    assert_true(usec > 0);
}

static void test_status_is_said_when_it_changes(void **state)
{
    struct fixture *f = *state;

    notify_status(f->notify, "one");
    notify_status(f->notify, "one");
    notify_status(f->notify, "two");
    assert_string_equal(hear(f), "STATUS=one");
    assert_string_equal(hear(f), "STATUS=two");
    assert_string_equal(hear(f), "");
}

static void test_descriptor_goes_along(void **state)
{
    struct fixture *f = *state;
    struct stat sent, received;
    int pair[2];

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    notify_store_fd(f->notify, pair[0], "http");
    assert_string_equal(hear(f), "FDSTORE=1\nFDNAME=http");
    assert_int_equal(fstat(pair[0], &sent), 0);
    assert_int_equal(fstat(f->received_fd, &received), 0);
    assert_int_equal(sent.st_ino, received.st_ino);
    (void) close(pair[0]);
    (void) close(pair[1]);
}

static void test_what_finds_no_room_waits_in_order(void **state)
{
    struct fixture *f = *state;
    char expected[32];

    for (unsigned i = 0; i < 300; i++)
        notify_main_pid(f->notify, (pid_t) (i + 1));
    for (unsigned i = 0; i < 300; i++) {
        struct pollfd wait = { .fd = f->manager, .events = POLLIN };
        unsigned tries = 0;
        while (poll(&wait, 1, 10) == 0 && tries++ < 500)
            (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
        (void) snprintf(expected, sizeof expected, "MAINPID=%u", i + 1);
        assert_string_equal(hear(f), expected);
    }
    (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_string_equal(hear(f), "");
}

/* The socket is another one, as after systemd has executed itself anew. */
static void test_socket_that_is_made_anew_is_found(void **state)
{
    struct fixture *f = *state;
    char folder[] = "/tmp/skep-test-notify-XXXXXX";
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct notify *notify;

    assert_non_null(mkdtemp(folder));
    (void) snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", folder);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(close(f->manager), 0);
        f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(f->manager, (const struct sockaddr *) &address, sizeof address), 0);
        if (i == 0)
            assert_int_equal(notify_new(address.sun_path, &notify), 0);
        notify_ready(notify);
        assert_string_equal(hear(f), "READY=1");
        assert_int_equal(notify_store_fd(notify, 0, "http"), 0);
        assert_string_equal(hear(f), "FDSTORE=1\nFDNAME=http");
        assert_int_equal(unlink(address.sun_path), 0);
        /* A descriptor that the manager did not take does not count as stored. */
        assert_int_equal(notify_store_fd(notify, 0, "http"), -ENOENT);
    }
    assert_null(notify_free(notify));
    assert_int_equal(rmdir(folder), 0);
}

static void test_descriptor_that_finds_no_place_is_not_kept(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;

    while (n < 100000 && notify_store_fd(f->notify, 0, "http") == 0)
        n++;
    assert_true(n > 100 && n < 100000);
    assert_int_equal(notify_store_fd(f->notify, 0, "http"), -ENOBUFS);
    notify_main_pid(f->notify, 1);
    assert_int_equal(notify_store_fd(f->notify, 0, "http"), -ENOTCONN);
}

static void test_barrier_that_is_over_does_not_end(void **state)
{
    struct fixture *f = *state;

    notify_barrier(f->notify, on_barrier, f);
    assert_string_equal(hear(f), "BARRIER=1");
    notify_cancel_barrier(f->notify);
    (void) hear(f); /* closes it */
    (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_int_equal(f->n_barriers, 0);
    notify_cancel_barrier(f->notify); /* none */
    notify_cancel_barrier(NULL);
}

static void test_barrier_ends_when_the_manager_closes_it(void **state)
{
    struct fixture *f = *state;

    notify_barrier(f->notify, on_barrier, f);
    (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_int_equal(f->n_barriers, 0);
    assert_string_equal(hear(f), "BARRIER=1");
    assert_true(f->received_fd >= 0);
    (void) event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_int_equal(f->n_barriers, 0);
    (void) hear(f); /* closes it */
    (void) event_base_loop(f->base, EVLOOP_ONCE);
    assert_int_equal(f->n_barriers, 1);
    assert_int_equal(f->barrier_error, 0);
}

static void test_nobody_is_notified_without_an_address(void **state)
{
    struct fixture *f = *state;
    struct notify *notify;

    assert_int_equal(notify_new(NULL, &notify), 0);
    assert_null(notify);
    notify_ready(notify);
    notify_status(notify, "x");
    notify_barrier(notify, on_barrier, f);
    assert_int_equal(f->n_barriers, 1);
    assert_int_equal(notify_attach(notify, f->base), 0);
    assert_null(notify_free(notify));
}

static void test_addresses_that_are_none(void **state)
{
    static const char *const bad[] = { "", "@", "/", "relative", "vsock:2:1", "/nowhere/at/all" };
    struct notify *notify;

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(notify_new(bad[i], &notify) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_word),
        TEST(test_nothing_is_said_for_a_service_that_another_process_is),
        TEST(test_nothing_is_said_after_the_end),
        TEST(test_reloading_has_a_time),
        TEST(test_status_is_said_when_it_changes),
        TEST(test_descriptor_goes_along),
        TEST(test_what_finds_no_room_waits_in_order),
        TEST(test_socket_that_is_made_anew_is_found),
        TEST(test_descriptor_that_finds_no_place_is_not_kept),
        TEST(test_barrier_that_is_over_does_not_end),
        TEST(test_barrier_ends_when_the_manager_closes_it),
        TEST(test_nobody_is_notified_without_an_address),
        TEST(test_addresses_that_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
