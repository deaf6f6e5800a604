/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the admin socket: a supervisor with tenants and without workers, a real loop, and clients on real
 * sockets.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
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

#include "admin.pb-c.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "proto/frame.h"
#include "supervisor/admin/admin.h"
#include "tests/heart.h"

#define CLIENTS_MAX (geteuid() == 0 ? 32U : 24U) /* as PROTOCOL.md says */
#define TURNS_MAX 5000
#define INPUT_BYTES (FRAME_HEADER_BYTES + FRAME_MAX_BYTES)

struct fixture {
    char folder[64], path[96];
    struct heart heart;
    struct admin *admin;
    struct arena arena;
    uint8_t *input;
    size_t have, used;
};

static inline int set_up(void **state)
{
    static const char config[] = "listen: [\"127.0.0.1:8080\"]\n";
    struct config_errors errors = { 0 };
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    (void) strcpy(f->folder, "/tmp/skep-admin-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void) snprintf(f->path, sizeof f->path, "%s/admin.sock", f->folder);
    assert_int_equal(
        config_parse("skepd.yaml", config, sizeof config - 1, &f->heart.config, &errors), 0);
    f->heart.base = event_base_new();
    assert_non_null(f->heart.base);
    assert_int_equal(heart_make(&f->heart), 0);
    assert_int_equal(arena_init(&f->arena, 16U << 20), 0);
    f->input = malloc(INPUT_BYTES);
    assert_non_null(f->input);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    struct tenant *tenant;

    (void) admin_free(f->admin);
    while ((tenant = TAILQ_FIRST(&f->heart.tenants->list))) {
        tenant_unlist(f->heart.tenants, tenant);
        counted_done(&tenant->counted);
        free(tenant->name);
        free(tenant);
    }
    heart_free(&f->heart);
    event_base_free(f->heart.base);
    (void) config_free(f->heart.config);
    arena_done(&f->arena);
    free(f->input);
    (void) unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

static inline void open_admin(struct fixture *f)
{
    assert_int_equal(heart_open_admin(&f->heart, f->path, &f->admin), 0);
}

static inline struct tenant *add_tenant(struct fixture *f, const char *name)
{
    struct tenant *tenant = calloc(1, sizeof *tenant);

    assert_non_null(tenant);
    tenant->tenants = f->heart.tenants;
    tenant->number = ++f->heart.tenants->last_number;
    tenant->name = strdup(name);
    counted_init(&tenant->counted, &f->heart.record, tenant->name);
    TAILQ_INIT(&tenant->queue);
    tenant_list(f->heart.tenants, tenant);
    return tenant;
}

static inline int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(connect(fd, (const struct sockaddr *) &address, sizeof address), 0);
    return fd;
}

static inline void turn(struct fixture *f)
{
    (void) event_base_loop(f->heart.base, EVLOOP_NONBLOCK);
}

/* Returns the next answer; NULL: the supervisor has closed. Fails if neither comes. For one client at a
 * time: bytes that were read ahead are kept in the fixture. */
static inline const Skep__Admin__Answer *receive(struct fixture *f, int fd)
{
    f->have -= f->used;
    memmove(f->input, f->input + f->used, f->have);
    f->used = 0;
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        int64_t size = frame_measure(f->input, f->have);
        assert_true(size >= 0);
        if (size > 0) {
            f->used = (size_t) size;
            const void *answer =
                frame_unpack(&skep__admin__answer__descriptor, f->input, (size_t) size, &f->arena);
            assert_non_null(answer);
            return answer;
        }
        turn(f);
        ssize_t n = read(fd, f->input + f->have, INPUT_BYTES - f->have);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return NULL;
        if (n > 0)
            f->have += (size_t) n;
        else
            (void) usleep(100);
    }
    fail_msg("no answer");
    return NULL;
}

/* Sends a command. False: the socket is full, as the other end does not read. */
static inline bool try_send_command(int fd, Skep__Admin__Command__MessageCase kind, void *message)
{
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
    uint8_t frame[256];

    command.message_case = kind;
    command.stats = message; /* any member of the union: all are pointers */
    size_t size = frame_packed_size(&command.base);
    assert_in_range(size, 1, sizeof frame);
    frame_pack(&command.base, frame, size);
    ssize_t n = send(fd, frame, size, MSG_NOSIGNAL);
    assert_true(n == (ssize_t) size || (n < 0 && errno == EAGAIN));
    return n > 0;
}

static inline void send_command(int fd, Skep__Admin__Command__MessageCase kind, void *message)
{
    assert_true(try_send_command(fd, kind, message));
}

static inline const Skep__Admin__Answer *ask_stats(struct fixture *f, int fd)
{
    Skep__Admin__StatsRequest request = SKEP__ADMIN__STATS_REQUEST__INIT;

    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATS, &request);
    return receive(f, fd);
}

static inline void subscribe(struct fixture *f, int fd, const char *name)
{
    Skep__Admin__LogsRequest request = SKEP__ADMIN__LOGS_REQUEST__INIT;

    request.name.data = (uint8_t *) (uintptr_t) name;
    request.name.len = strlen(name);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_LOGS, &request);
    const Skep__Admin__Answer *answer = receive(f, fd);
    assert_non_null(answer);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_SUBSCRIBED);
}

static inline bool is_text(ProtobufCBinaryData data, const char *text)
{
    return data.len == strlen(text) && (data.len == 0 || memcmp(data.data, text, data.len) == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
