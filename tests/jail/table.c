/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jail/table.h"

#include <errno.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/jail/confined.h"

/* Above every number of Linux 6.18 (470 and some), with room. */
#define LAST_NUMBER 512

static const struct policy_table *tried; /* the table of the child that runs */
static long call_number;

int table_run(table_confine_fn confine, void (*try)(void))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        reset_signals();
        confine();
        try();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

void table_assert_ends_by(table_confine_fn confine, int signal, void (*try)(void), const char *what)
{
    int status = table_run(confine, try);

    if (!WIFSIGNALED(status) || WTERMSIG(status) != signal)
        fail_msg("%s: wait status 0x%x, expected %s", what, (unsigned) status, strsignal(signal));
}

static bool exists_here(const struct policy_syscall *row)
{
    const struct policy_context context = { .self = 1 };

    return policy_row_applies(row, &context);
}

static void make_call(void)
{
    (void) syscall(call_number, 0, 0, 0, 0, 0, 0);
}

void table_assert_kills(const struct policy_table *table, table_confine_fn confine,
                        size_t more_than)
{
    size_t n = 0;

    for (size_t i = 0; i < table->n_rows; i++) {
        const struct policy_syscall *row = &table->rows[i];
        if (row->action != POLICY_KILL || !exists_here(row))
            continue;
        call_number = seccomp_syscall_resolve_name(row->name);
        assert_true(call_number >= 0);
        table_assert_ends_by(confine, SIGSYS, make_call, row->name);
        n++;
    }
    assert_true(n > more_than);
}

static bool has_row(int number)
{
    for (size_t i = 0; i < tried->n_rows; i++)
        if (exists_here(&tried->rows[i]) &&
            seccomp_syscall_resolve_name(tried->rows[i].name) == number)
            return true;
    return false;
}

/* uretprobe and uprobe of x86-64, which the kernel lets past every filter: see test_jail_filter.c. */
static bool is_probe_call(int number)
{
    return seccomp_arch_native() == SCMP_ARCH_X86_64 && (number == 335 || number == 336);
}

static void call_all_without_row(void)
{
    char what[32];

    for (int number = 0; number <= LAST_NUMBER; number++) {
        if (has_row(number) || is_probe_call(number))
            continue;
        (void) snprintf(what, sizeof what, "call %d", number);
        expect_error(syscall(number, -1, -1, -1, -1, -1, -1), EPERM, what);
    }
}

void table_assert_refuses(const struct policy_table *table, table_confine_fn confine)
{
    tried = table;
    assert_int_equal(table_run(confine, call_all_without_row), 0);
}
