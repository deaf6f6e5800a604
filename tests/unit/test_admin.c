/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket over real sockets and a real loop, with a supervisor that has tenants and no
 * workers: the answers to clients, none of which can harm the others.
 */
#include <signal.h>

#include "admin_fixture.h"

#define PAGE_TENANTS 32 /* as PROTOCOL.md says */

/* ---- the file */

static void test_socket_is_for_owner_and_group_and_removed_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    open_admin(f);
    assert_int_equal(lstat(f->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0660);
    f->admin = admin_free(f->admin);
    assert_int_equal(lstat(f->path, &st), -1);
}

static void test_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct admin *second = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", f->path);
    assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof address), 0);
    (void) close(fd); /* the file stays, as after a crash */
    open_admin(f);
    assert_int_equal(heart_open_admin(&f->heart, f->path, &second), -EADDRINUSE);
    fd = connect_to(f->path);
    assert_non_null(ask_stats(f, fd));
    (void) close(fd);
}

static void test_what_is_no_socket_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct admin *admin = NULL;
    struct stat st;

    (void) close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(heart_open_admin(&f->heart, f->path, &admin), -EEXIST);
    assert_int_equal(lstat(f->path, &st), 0);
    assert_int_equal(heart_open_admin(&f->heart, "/nowhere/admin.sock", &admin), -ENOENT);
}

static void test_file_that_took_our_place_is_not_removed(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    open_admin(f);
    assert_int_equal(unlink(f->path), 0);
    (void) close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    f->admin = admin_free(f->admin);
    assert_int_equal(lstat(f->path, &st), 0);
}

/* ---- clients */

static void test_commands_are_answered_in_their_order(void **state)
{
    struct fixture *f = *state;
    Skep__Admin__StatsRequest stats = SKEP__ADMIN__STATS_REQUEST__INIT;
    Skep__Admin__TenantsRequest tenants = SKEP__ADMIN__TENANTS_REQUEST__INIT;

    open_admin(f);
    f->heart.record.counters.requests = 7;
    f->heart.record.counters.errors[ERROR_NO_ROUTE] = 3;
    int fd = connect_to(f->path);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATS, &stats);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &tenants);
    const Skep__Admin__Answer *answer = receive(f, fd);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_STATS);
    assert_int_equal(answer->stats->requests, 7);
    assert_int_equal(answer->stats->n_errors, 1);
    assert_true(is_text(answer->stats->errors[0]->code, "no_route"));
    assert_int_equal(answer->stats->errors[0]->count, 3);
    answer = receive(f, fd);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_TENANTS);
    assert_int_equal(answer->tenants->total, 0);
    (void) close(fd);
}

static void test_client_that_breaks_the_protocol_is_closed_and_others_are_not(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } nonsense[] = {
        { "GET / HTTP/1.1\r\n\r\n", 18 },  { "\xff\xff\xff\xff", 4 },   { "\0\0\0\0", 4 },
        { "\4\0\0\0\xff\xff\xff\xff", 8 }, { "\3\0\0\0\xfa\x3f\0", 7 }, /* a command that does not exist */
    };
    struct fixture *f = *state;

    open_admin(f);
    int good = connect_to(f->path);
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        int bad = connect_to(f->path);
        assert_int_equal(send(bad, nonsense[i].bytes, nonsense[i].size, MSG_NOSIGNAL),
                         nonsense[i].size);
        f->have = f->used = 0;
        assert_null(receive(f, bad));
        (void) close(bad);
        assert_non_null(ask_stats(f, good));
    }
    (void) close(good);
}

static void test_client_beyond_the_limit_is_told_why(void **state)
{
    struct fixture *f = *state;
    int fds[32];

    open_admin(f);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        fds[i] = connect_to(f->path);
        assert_non_null(ask_stats(f, fds[i]));
    }
    int fd = connect_to(f->path);
    const Skep__Admin__Answer *answer = receive(f, fd);
    assert_non_null(answer);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_FAILURE);
    assert_null(receive(f, fd));
    (void) close(fd);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        (void) close(fds[i]);
    f->have = f->used = 0;
    fd = connect_to(f->path);
    for (unsigned i = 0; i < 10; i++)
        turn(f); /* closed connections make room */
    (void) close(fd);
    fd = connect_to(f->path);
    answer = ask_stats(f, fd);
    assert_non_null(answer);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_STATS);
    (void) close(fd);
}

static void test_client_that_does_not_read_is_not_read_from(void **state)
{
    struct fixture *f = *state;
    Skep__Admin__TenantsRequest request = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    char name[32];
    unsigned sent = 0, answered = 0;

    open_admin(f);
    for (unsigned i = 0; i < 256; i++) {
        (void) snprintf(name, sizeof name, "tenant-%u", i);
        struct tenant *tenant = add_tenant(f, name);
        for (unsigned code = 1; code < ERROR_CODES; code++)
            tenant->counted.counters.errors[code] = UINT64_MAX;
    }
    int fd = connect_to(f->path);
    while (try_send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &request)) {
        assert_true(++sent < 5000); /* the answers would be 500 MB */
        turn(f);
    }
    while (answered < sent) {
        const Skep__Admin__Answer *answer = receive(f, fd);
        assert_non_null(answer);
        assert_int_equal(answer->tenants->n_tenants, PAGE_TENANTS);
        answered++;
    }
    (void) close(fd);
}

/* ---- lists, reload */

static void test_long_list_comes_in_pages(void **state)
{
    struct fixture *f = *state;
    Skep__Admin__TenantsRequest request = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    char name[32];
    unsigned pages = 0;

    open_admin(f);
    for (unsigned i = 0; i < 600; i++) {
        (void) snprintf(name, sizeof name, "tenant-%u", i);
        (void) add_tenant(f, name);
    }
    int fd = connect_to(f->path);
    for (size_t n = 1; n > 0; pages++) {
        send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &request);
        const Skep__Admin__Answer *answer = receive(f, fd);
        n = answer->tenants->n_tenants;
        assert_int_equal(answer->tenants->total, 600);
        for (size_t i = 0; i < n; i++) {
            (void) snprintf(name, sizeof name, "tenant-%zu", request.skip + i);
            assert_true(is_text(answer->tenants->tenants[i]->name, name));
        }
        request.skip += (uint32_t) n;
    }
    assert_int_equal(request.skip, 600);
    assert_true(pages > 600 / PAGE_TENANTS); /* one turn may fill a page */
    (void) close(fd);
}

static void remove_tenant(struct fixture *f, struct tenant *tenant)
{
    tenant_unlist(f->heart.tenants, tenant);
    counted_done(&tenant->counted);
    free(tenant->name);
    free(tenant);
}

static void add_tenants(struct fixture *f, unsigned first, unsigned n)
{
    char name[32];

    for (unsigned i = first; i < first + n; i++) {
        (void) snprintf(name, sizeof name, "tenant-%u", i);
        (void) add_tenant(f, name);
    }
}

/* Returns the number in "tenant-NUMBER". Bytes on the wire have no NUL behind them. */
static unsigned number_of(ProtobufCBinaryData name)
{
    char text[32];

    assert_in_range(name.len, 8, sizeof text - 1);
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    return (unsigned) strtoul(text + 7, NULL, 10);
}

/* Each tenant that stays, and each new one, is in the list once, while others go: some that the client has got, the
 * next one, and some that it would have got later. */
static void test_pages_have_each_tenant_once_while_others_come_and_go(void **state)
{
    enum { TENANTS = 10 * PAGE_TENANTS, ADDED = 20 };
    struct fixture *f = *state;
    Skep__Admin__TenantsRequest request = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    unsigned seen[TENANTS + ADDED] = { 0 };
    bool is_gone[TENANTS] = { false };
    size_t n = 1;

    open_admin(f);
    add_tenants(f, 0, TENANTS);
    int fd = connect_to(f->path);
    for (unsigned page = 0; n > 0; page++, request.skip += (uint32_t) n) {
        send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &request);
        const Skep__Admin__Answer *answer = receive(f, fd);
        n = answer->tenants->n_tenants;
        assert_true(request.skip + n <= answer->tenants->total);
        for (size_t i = 0; i < n; i++)
            seen[number_of(answer->tenants->tenants[i]->name)]++;
        if (page >= 5) {
            if (page == 5)
                add_tenants(f, TENANTS, ADDED);
            continue;
        }
        const unsigned going[] = { page * PAGE_TENANTS + 1, (page + 1) * PAGE_TENANTS,
                                   TENANTS - 1 - page };
        for (size_t i = 0; i < ARRAY_LEN(going); i++) {
            char name[32];
            (void) snprintf(name, sizeof name, "tenant-%u", going[i]);
            is_gone[going[i]] = true;
            remove_tenant(f, tenant_find(f->heart.tenants, name, strlen(name)));
        }
    }
    for (unsigned i = 0; i < TENANTS + ADDED; i++)
        if (i >= TENANTS || !is_gone[i])
            assert_int_equal(seen[i], 1);
    (void) close(fd);
}

/* Runs one turn of the loop, while turn() runs until no event is due any more. */
static void one_turn(struct fixture *f)
{
    (void) event_base_loop(f->heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static bool is_answered(int fd)
{
    uint8_t byte;

    return recv(fd, &byte, 1, MSG_PEEK) > 0;
}

/* Counts turns of the loop until the answer is there. The first tenant may go in each turn. */
static unsigned count_turns(struct fixture *f, int fd, bool has_removals)
{
    unsigned turns = 0;

    while (!is_answered(fd)) {
        assert_true(++turns < TURNS_MAX);
        one_turn(f);
        if (has_removals)
            remove_tenant(f, TAILQ_FIRST(&f->heart.tenants->list));
    }
    return turns;
}

static void test_no_turn_looks_at_all_tenants(void **state)
{
    enum { TENANTS = 10 * TENANT_LOOKS_MAX };
    struct fixture *f = *state;
    Skep__Admin__StatsRequest stats = SKEP__ADMIN__STATS_REQUEST__INIT;
    Skep__Admin__StatusRequest status = SKEP__ADMIN__STATUS_REQUEST__INIT;
    Skep__Admin__TenantsRequest tenants = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    Skep__Admin__TopRequest top = SKEP__ADMIN__TOP_REQUEST__INIT;

    open_admin(f);
    add_tenants(f, 0, TENANTS);
    int fd = connect_to(f->path);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATS, &stats);
    assert_true(count_turns(f, fd, false) >= TENANTS / TENANT_LOOKS_MAX);
    assert_int_equal(receive(f, fd)->stats->tenants, TENANTS);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATUS, &status);
    assert_true(count_turns(f, fd, false) >= TENANTS / TENANT_LOOKS_MAX);
    assert_int_equal(receive(f, fd)->status->tenants, TENANTS);
    tenants.skip = top.skip = TENANTS - 1;
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &tenants);
    assert_true(count_turns(f, fd, false) >= TENANTS / TENANT_LOOKS_MAX);
    assert_int_equal(receive(f, fd)->tenants->n_tenants, 1);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TOP, &top);
    assert_true(count_turns(f, fd, false) >= TENANTS / TENANT_LOOKS_MAX);
    assert_int_equal(receive(f, fd)->top->n_rows, 1);
    /* The last page begins where the cursor already is. */
    tenants.skip = TENANTS;
    top.skip = TENANTS;
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TOP, &top);
    assert_true(count_turns(f, fd, false) < TENANTS / TENANT_LOOKS_MAX);
    assert_int_equal(receive(f, fd)->top->n_rows, 0);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATS, &stats);
    assert_true(count_turns(f, fd, true) >= TENANTS / TENANT_LOOKS_MAX);
    assert_true(receive(f, fd)->stats->tenants >= TENANTS - TENANT_LOOKS_MAX);
    (void) close(fd);
}

/* Commands that were sent at once are answered in their order, also when the first one takes many turns. */
static void test_commands_behind_a_long_one_wait_for_its_answer(void **state)
{
    struct fixture *f = *state;
    Skep__Admin__StatsRequest stats = SKEP__ADMIN__STATS_REQUEST__INIT;
    Skep__Admin__TenantsRequest tenants = SKEP__ADMIN__TENANTS_REQUEST__INIT;

    open_admin(f);
    add_tenants(f, 0, 10 * TENANT_LOOKS_MAX);
    int fd = connect_to(f->path);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATS, &stats);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &tenants);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATS, &stats);
    assert_int_equal(receive(f, fd)->message_case, SKEP__ADMIN__ANSWER__MESSAGE_STATS);
    assert_int_equal(receive(f, fd)->message_case, SKEP__ADMIN__ANSWER__MESSAGE_TENANTS);
    assert_int_equal(receive(f, fd)->message_case, SKEP__ADMIN__ANSWER__MESSAGE_STATS);
    (void) close(fd);
}

static void test_client_may_leave_in_the_middle_of_a_walk(void **state)
{
    struct fixture *f = *state;
    Skep__Admin__StatsRequest stats = SKEP__ADMIN__STATS_REQUEST__INIT;

    (void) signal(SIGPIPE, SIG_IGN); /* as skepd does */
    open_admin(f);
    add_tenants(f, 0, 10 * TENANT_LOOKS_MAX);
    int fd = connect_to(f->path);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATS, &stats);
    for (unsigned i = 0; i < TURNS_MAX && LIST_EMPTY(&f->heart.tenants->cursors); i++)
        one_turn(f);
    assert_false(LIST_EMPTY(&f->heart.tenants->cursors));
    (void) close(fd);
    for (unsigned i = 0; i < TURNS_MAX && !LIST_EMPTY(&f->heart.tenants->cursors); i++)
        turn(f);
    assert_true(LIST_EMPTY(&f->heart.tenants->cursors));
}

static void test_reload_of_nobody_fails_and_the_client_stays(void **state)
{
    struct fixture *f = *state;
    Skep__Admin__ReloadRequest request = SKEP__ADMIN__RELOAD_REQUEST__INIT;
    char name[] = "nobody";

    open_admin(f);
    int fd = connect_to(f->path);
    request.name = (ProtobufCBinaryData){ .data = (uint8_t *) name, .len = strlen(name) };
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_RELOAD, &request);
    const Skep__Admin__Answer *answer = receive(f, fd);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_FAILURE);
    assert_non_null(ask_stats(f, fd));
    (void) close(fd);
}

static void test_reload_of_a_tenant_that_is_gone_from_disk_says_so(void **state)
{
    struct fixture *f = *state;
    Skep__Admin__ReloadRequest request = SKEP__ADMIN__RELOAD_REQUEST__INIT;
    struct tenant *tenant = add_tenant(f, "gone");
    char missing[] = "/nowhere/gone";

    open_admin(f);
    tenant->dir = missing;
    int fd = connect_to(f->path);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_RELOAD, &request);
    const Skep__Admin__Answer *answer = receive(f, fd);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_RELOADED);
    assert_int_equal(answer->reloaded->tenants, 0);
    assert_non_null(memmem(answer->reloaded->errors.data, answer->reloaded->errors.len, missing,
                           strlen(missing)));
    tenant->dir = NULL;
    (void) close(fd);
}

static unsigned count_answers(int fd)
{
    uint8_t buffer[65536];
    unsigned n = 0;

    ssize_t have = read(fd, buffer, sizeof buffer);
    for (ssize_t at = 0; at < have; n++)
        at += (ssize_t) frame_measure(buffer + at, (size_t) (have - at));
    return n;
}

static void test_client_has_one_command_in_a_turn_of_the_loop(void **state)
{
    enum { COMMANDS = 20 };
    struct fixture *f = *state;
    Skep__Admin__StatsRequest request = SKEP__ADMIN__STATS_REQUEST__INIT;
    unsigned answers = 0, turns = 0;

    open_admin(f);
    int fd = connect_to(f->path);
    turn(f);
    for (unsigned i = 0; i < COMMANDS; i++)
        send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_STATS, &request);
    while (answers < COMMANDS && turns < 10 * COMMANDS) {
        (void) event_base_loop(f->heart.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        turns++;
        answers += count_answers(fd);
        assert_true(answers <= turns);
    }
    assert_int_equal(answers, COMMANDS);
    (void) close(fd);
}

/* ---- log lines */

/* Logs a line as counted_log does, without its bounds. */
static void log_line(struct tenant *tenant, enum tenant_log_level level, const char *text,
                     size_t size)
{
    struct log_line line = { .level = level, .size = size };

    log_store_add(tenant->counted.record->log_store, &tenant->counted, &line, text);
}

static void test_lines_go_to_those_who_asked_for_that_tenant(void **state)
{
    struct fixture *f = *state;
    struct tenant *a = add_tenant(f, "a"), *b = add_tenant(f, "b");

    log_line(a, TENANT_INFO, "early", 5);
    open_admin(f);
    int of_b = connect_to(f->path), silent = connect_to(f->path);
    subscribe(f, of_b, "b");
    assert_non_null(ask_stats(f, silent));
    log_line(a, TENANT_INFO, "not this", 8);
    log_line(b, TENANT_ERROR, "two\nlines\0!", 11);
    const Skep__Admin__Answer *answer = receive(f, of_b);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_LOG);
    assert_true(is_text(answer->log->tenant, "b"));
    assert_true(is_text(answer->log->level, "error"));
    assert_int_equal(answer->log->text.len, 11);
    assert_int_equal(answer->log->lost, 0);
    assert_int_equal(ask_stats(f, silent)->message_case, SKEP__ADMIN__ANSWER__MESSAGE_STATS);
    (void) close(of_b);
    (void) close(silent);
}

static void test_slow_client_loses_lines_and_is_told_how_many(void **state)
{
    enum { LINES = 20000 };
    struct fixture *f = *state;
    struct tenant *tenant = add_tenant(f, "loud");
    char line[256];
    uint64_t seen = 0, lost = 0;

    memset(line, 'x', sizeof line);
    open_admin(f);
    int fd = connect_to(f->path);
    subscribe(f, fd, "");
    for (unsigned i = 0; i < LINES; i++) {
        log_line(tenant, TENANT_INFO, line, sizeof line);
        if (i % 100 == 0)
            turn(f);
    }
    while (seen + lost < LINES) {
        const Skep__Admin__Answer *answer = receive(f, fd);
        assert_non_null(answer);
        seen += answer->log->tenant.len > 0;
        lost += answer->log->lost;
    }
    assert_int_equal(seen + lost, LINES);
    assert_true(lost > 0);
    assert_non_null(ask_stats(f, fd)); /* and it is served again */
    (void) close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_socket_is_for_owner_and_group_and_removed_at_the_end),
        TEST(test_stale_socket_is_replaced_and_a_live_one_is_not),
        TEST(test_what_is_no_socket_is_left_alone),
        TEST(test_file_that_took_our_place_is_not_removed),
        TEST(test_commands_are_answered_in_their_order),
        TEST(test_client_that_breaks_the_protocol_is_closed_and_others_are_not),
        TEST(test_client_beyond_the_limit_is_told_why),
        TEST(test_client_that_does_not_read_is_not_read_from),
        TEST(test_client_has_one_command_in_a_turn_of_the_loop),
        TEST(test_long_list_comes_in_pages),
        TEST(test_pages_have_each_tenant_once_while_others_come_and_go),
        TEST(test_no_turn_looks_at_all_tenants),
        TEST(test_commands_behind_a_long_one_wait_for_its_answer),
        TEST(test_client_may_leave_in_the_middle_of_a_walk),
        TEST(test_reload_of_nobody_fails_and_the_client_stays),
        TEST(test_reload_of_a_tenant_that_is_gone_from_disk_says_so),
        TEST(test_lines_go_to_those_who_asked_for_that_tenant),
        TEST(test_slow_client_loses_lines_and_is_told_how_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
