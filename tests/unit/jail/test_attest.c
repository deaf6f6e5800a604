/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attestation of jails with one fault each.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "supervisor/jail/attest.h"

static struct jail_facts sealed_facts(void)
{
    struct jail_facts facts = {
        .n_threads = 2,
        .seccomp_mode = 2,
        .n_filters = 2,
        .no_new_privs = 1,
        .is_speculation_off = 1,
        .n_mounts = 1,
        .is_root_empty = 1,
        .may_look = 1,
        .n_fds = 7,
        .fds = {
            { 0, FACT_FD_NULL, 5 },
            { 1, FACT_FD_NULL, 5 },
            { 2, FACT_FD_NULL, 5 },
            { 3, FACT_FD_SOCKET, 6 },
            { 4, FACT_FD_EPOLL, 7 },
            { 5, FACT_FD_PIPE, 8 },
            { 6, FACT_FD_PIPE, 8 },
        },
    };

    for (unsigned i = 0; i < LAYER_NAMESPACES; i++) {
        facts.namespaces[i] = 100 + i;
        facts.our_namespaces[i] = 200 + i;
    }
    facts.limits[RLIMIT_NOFILE] = (struct fact_limit){ 3, 3 };
    return facts;
}

static void assert_differs(const struct jail_facts *facts, layer_set layers, bool jit,
                           const char *expected)
{
    char text[128] = "";

    assert_int_equal(attest_judge(facts, layers, jit, text, sizeof text), -EPERM);
    if (!strstr(text, expected))
        fail_msg("\"%s\" does not say \"%s\"", text, expected);
}

static void assert_shows(const struct jail_facts *facts, layer_set layers, bool jit)
{
    char text[128] = "";

    if (attest_judge(facts, layers, jit, text, sizeof text) != 0)
        fail_msg("%s", text);
}

static void test_sealed_worker_shows_its_jail(void **state)
{
    const struct jail_facts facts = sealed_facts();

    (void) state;
    assert_shows(&facts, LAYERS_ALL, true);
    assert_shows(&facts, LAYERS_ALL, false);
}

#define WITH(member, wrong, text)                        \
    do {                                                 \
        struct jail_facts facts = sealed_facts();        \
        facts.member = (wrong);                          \
        assert_differs(&facts, LAYERS_ALL, false, text); \
    } while (0)

static void test_each_thing_that_is_not_as_it_should_be_is_named(void **state)
{
    (void) state;
    WITH(n_threads, 1, "1 threads");
    WITH(n_threads, 3, "3 threads");
    WITH(seccomp_mode, 0, "Seccomp: 0");
    WITH(seccomp_mode, 1, "Seccomp: 1");
    WITH(n_filters, 1, "Seccomp_filters: 1");
    WITH(no_new_privs, 0, "NoNewPrivs: 0");
    WITH(tracer, 7, "TracerPid: 7");
    WITH(is_speculation_off, 0, "speculation");
    WITH(cap_inheritable, 1, "CapInh");
    WITH(cap_permitted, UINT64_C(1) << 40, "CapPrm");
    WITH(cap_effective, 1, "CapEff");
    WITH(cap_ambient, 1, "CapAmb");
    WITH(cap_bounding, 1, "CapBnd");
    WITH(namespaces[LAYER_USER], 200 + LAYER_USER, "our user namespace");
    WITH(namespaces[LAYER_PID], 200 + LAYER_PID, "our pid namespace");
    WITH(namespaces[LAYER_NET], 200 + LAYER_NET, "our net namespace");
    WITH(namespaces[LAYER_MOUNT], 200 + LAYER_MOUNT, "our mnt namespace");
    WITH(namespaces[LAYER_IPC], 200 + LAYER_IPC, "our ipc namespace");
    WITH(namespaces[LAYER_UTS], 200 + LAYER_UTS, "our uts namespace");
    WITH(namespaces[LAYER_CGROUP], 0, "our cgroup namespace");
    WITH(n_mounts, 2, "2 mounts");
    WITH(is_root_empty, 0, "empty read-only tmpfs");
    WITH(limits[RLIMIT_CORE].hard, UINT64_MAX, "RLIMIT_CORE");
    WITH(limits[RLIMIT_NOFILE].soft, 1024, "RLIMIT_NOFILE");
    WITH(limits[RLIMIT_NPROC].hard, 1, "RLIMIT_NPROC");
    WITH(may_look, 0, "cannot be looked into");
    WITH(fds[2].kind, FACT_FD_OTHER, "file descriptor 2");
    WITH(fds[3].kind, FACT_FD_PIPE, "file descriptor 3");
    WITH(fds[4].kind, FACT_FD_SOCKET, "file descriptor 4");
    WITH(fds[5].kind, FACT_FD_EPOLL, "file descriptor 5");
    WITH(fds[6].inode, 9, "file descriptor 6");
    WITH(n_fds, 6, "one end of a pipe");
    WITH(n_fds, 3, "no channel");
    WITH(n_exec_anonymous, 1, "of no file");
    WITH(n_exec_writable, 1, "writable and executable");
}

static void test_jit_may_have_executable_pages(void **state)
{
    struct jail_facts facts = sealed_facts();

    (void) state;
    facts.n_exec_anonymous = facts.n_exec_writable = 3;
    assert_shows(&facts, LAYERS_ALL, true);
}

/* A layer that is not asked for may be missing, but no other with it. */
static void test_missing_layer_is_excused_only_where_it_is_not_among_the_layers(void **state)
{
    struct jail_facts facts = sealed_facts();

    (void) state;
    facts.cap_bounding = UINT64_MAX;
    assert_shows(&facts, LAYERS_ALL & ~LAYER_BIT(LAYER_BOUNDING), true);
    facts.cap_effective = 1;
    assert_differs(&facts, LAYERS_ALL & ~LAYER_BIT(LAYER_BOUNDING), true, "CapEff");

    facts = sealed_facts();
    facts.is_speculation_off = 0;
    assert_shows(&facts, LAYERS_ALL & ~LAYER_BIT(LAYER_SPECULATION), true);

    facts = sealed_facts();
    facts.namespaces[LAYER_NET] = facts.our_namespaces[LAYER_NET];
    assert_shows(&facts, LAYERS_ALL & ~LAYER_BIT(LAYER_NET), true);
    assert_differs(&facts, LAYERS_ALL & ~LAYER_BIT(LAYER_UTS), true, "our net namespace");

    facts = sealed_facts();
    facts.n_mounts = 30;
    facts.is_root_empty = 0;
    facts.may_look = 0;
    assert_shows(&facts, LAYERS_ALL & ~LAYERS_OF_USER_NAMESPACE, true);
    facts.seccomp_mode = 0;
    assert_differs(&facts, LAYERS_ALL & ~LAYERS_OF_USER_NAMESPACE, true, "Seccomp: 0");
}

/* Linux before 5.9 does not report the number of filters. */
static void test_unknown_number_of_filters_is_no_fault(void **state)
{
    struct jail_facts facts = sealed_facts();

    (void) state;
    facts.n_filters = 0;
    assert_shows(&facts, LAYERS_ALL, true);
}

static void test_layers_are_found_by_name(void **state)
{
    char text[LAYERS_TEXT_BYTES];
    enum jail_layer layer = LAYERS;

    (void) state;
    for (unsigned i = 0; i < LAYERS; i++) {
        assert_int_equal(layer_parse(layer_table[i].name, &layer), 0);
        assert_int_equal(layer, i);
    }
    assert_int_equal(layer_parse("walls", &layer), -EINVAL);
    assert_string_equal(layers_names(0, text, sizeof text), "");
    assert_string_equal(
        layers_names(LAYER_BIT(LAYER_USER) | LAYER_BIT(LAYER_SECCOMP), text, sizeof text),
        "user, seccomp");
    assert_true(strlen(layers_names(LAYERS_ALL, text, sizeof text)) + 1 < sizeof text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_worker_shows_its_jail),
        cmocka_unit_test(test_each_thing_that_is_not_as_it_should_be_is_named),
        cmocka_unit_test(test_jit_may_have_executable_pages),
        cmocka_unit_test(test_missing_layer_is_excused_only_where_it_is_not_among_the_layers),
        cmocka_unit_test(test_unknown_number_of_filters_is_no_fault),
        cmocka_unit_test(test_layers_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
