/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin.pb-c.h"
#include "common/cleanup.h"
#include "supervisor/admin/internal.h"
#include "supervisor/commands.h"

enum { GROUP = 5000, READERS, WRITERS, SOMEBODY, READER, WRITER };

static gid_t groups[] = { 7, GROUP, 9 };
static uint32_t readers[] = { READER }, writers[] = { 1, WRITER };
static uint32_t read_groups[] = { READERS }, write_groups[] = { WRITERS };
static const struct admin_config none = { 0 };
static const struct admin_config lists = {
    .read = { .uids = readers, .gids = read_groups, .n_uids = 1, .n_gids = 1 },
    .write = { .uids = writers, .gids = write_groups, .n_uids = 2, .n_gids = 1 },
};

static enum admin_right right_of(uid_t uid, gid_t gid, const struct admin_config *config,
                                 gid_t group)
{
    const struct admin_peer peer = {
        .who = { .uid = uid, .gid = gid },
        .groups = groups,
        .n_groups = ARRAY_LEN(groups),
    };

    return admin_peer_right(&peer, config, group);
}

static void test_root_and_our_own_user_may_do_everything(void **state)
{
    (void) state;
    assert_int_equal(right_of(0, 0, &none, ADMIN_NO_GROUP), ADMIN_MAY_WRITE);
    assert_int_equal(right_of(geteuid(), 1, &lists, ADMIN_NO_GROUP), ADMIN_MAY_WRITE);
}

static void test_lists_say_who_may_what(void **state)
{
    (void) state;
    assert_int_equal(right_of(READER, 1, &lists, GROUP), ADMIN_MAY_READ);
    assert_int_equal(right_of(WRITER, 1, &lists, GROUP), ADMIN_MAY_WRITE);
    assert_int_equal(right_of(SOMEBODY, READERS, &lists, GROUP), ADMIN_MAY_READ);
    assert_int_equal(right_of(READER, WRITERS, &lists, GROUP), ADMIN_MAY_WRITE);
    assert_int_equal(right_of(SOMEBODY, 1, &lists, GROUP), ADMIN_MAY_NOTHING);
    read_groups[0] = 9; /* a supplementary group */
    assert_int_equal(right_of(SOMEBODY, 1, &lists, GROUP), ADMIN_MAY_READ);
    read_groups[0] = READERS;
}

static void test_group_may_read_only_where_no_list_has_an_entry(void **state)
{
    struct admin_config one = { .write = { .uids = writers, .n_uids = 1 } };

    (void) state;
    assert_int_equal(right_of(SOMEBODY, 1, &none, GROUP), ADMIN_MAY_READ);
    assert_int_equal(right_of(SOMEBODY, 1, &none, GROUP + 20), ADMIN_MAY_NOTHING);
    assert_int_equal(right_of(SOMEBODY, 1, &none, ADMIN_NO_GROUP), ADMIN_MAY_NOTHING);
    assert_int_equal(right_of(SOMEBODY, ADMIN_NO_GROUP, &none, ADMIN_NO_GROUP), ADMIN_MAY_NOTHING);
    assert_int_equal(right_of(SOMEBODY, 1, &one, GROUP), ADMIN_MAY_NOTHING);
}

static void test_command_needs_the_right_to_write_unless_it_is_said(void **state)
{
    (void) state;
    assert_int_equal(admin_command_right(&commands, SKEP__ADMIN__COMMAND__MESSAGE_STATS),
                     ADMIN_MAY_READ);
    assert_int_equal(admin_command_right(&commands, SKEP__ADMIN__COMMAND__MESSAGE_RELOAD),
                     ADMIN_MAY_WRITE);
    assert_int_equal(admin_command_right(&commands, 0), ADMIN_MAY_WRITE);
    assert_int_equal(admin_command_right(&commands, 9999), ADMIN_MAY_WRITE);
}

static void test_peer_is_who_the_kernel_says(void **state)
{
    struct admin_peer peer;
    int pair[2];

    (void) state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(admin_peer_init(&peer, pair[0]), 0);
    assert_int_equal(peer.who.uid, geteuid());
    assert_int_equal(peer.who.pid, getpid());
    assert_int_equal(peer.n_groups, (unsigned) getgroups(0, NULL));
    admin_peer_done(&peer);
    (void) close(pair[0]);
    (void) close(pair[1]);
    assert_int_equal(admin_peer_init(&peer, STDIN_FILENO) < 0, 1);
    assert_int_equal(peer.who.uid, (uid_t) -1);
    admin_peer_done(&peer);
}

static void test_group_is_found_by_name_or_number(void **state)
{
    gid_t group;

    (void) state;
    assert_int_equal(admin_group_find(NULL, &group), 0);
    assert_int_equal(group, ADMIN_NO_GROUP);
    assert_int_equal(admin_group_find("root", &group), 0);
    assert_int_equal(group, 0);
    assert_int_equal(admin_group_find("4711", &group), 0);
    assert_int_equal(group, 4711);
    assert_int_equal(admin_group_find("4294967295", &group), -ERANGE);
    assert_int_equal(admin_group_find("99999999999999999999", &group), -ERANGE);
    assert_true(admin_group_find("no-such-group-here", &group) < 0);
    assert_true(admin_group_find("", &group) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_and_our_own_user_may_do_everything),
        cmocka_unit_test(test_lists_say_who_may_what),
        cmocka_unit_test(test_group_may_read_only_where_no_list_has_an_entry),
        cmocka_unit_test(test_command_needs_the_right_to_write_unless_it_is_said),
        cmocka_unit_test(test_peer_is_who_the_kernel_says),
        cmocka_unit_test(test_group_is_found_by_name_or_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
