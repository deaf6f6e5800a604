/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/jail_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "sandbox-policy/policy.h"
#include "sandbox-policy/verdicts.h"
#include "worker/jail_trap.h"

/* The rows that name one call. */
struct rows_of_call {
    bool has_any, is_allowed, has_checks;
};

static struct rows_of_call find_rows(int number, const struct policy_context *context)
{
    const struct policy_table *table = &policy_worker_running;
    struct rows_of_call found = { 0 };

    for (size_t i = 0; i < table->n_rows; i++) {
        const struct policy_syscall *row = &table->rows[i];
        if (!policy_row_applies(row, context) || seccomp_syscall_resolve_name(row->name) != number)
            continue;
        bool has_checks = row->args[0].check != POLICY_NO_CHECK;
        found.has_any = true;
        found.has_checks = found.has_checks || has_checks;
        found.is_allowed = found.is_allowed || (row->action == POLICY_ALLOW && !has_checks);
    }
    return found;
}

/* Returns whether the call is uretprobe or uprobe of x86-64: since Linux 6.14 the kernel lets both
 * past every filter, and itself refuses them with SIGILL to callers other than its own
 * trampolines. */
static bool is_past_filters(int number)
{
    return seccomp_arch_native() == SCMP_ARCH_X86_64 && (number == 335 || number == 336);
}

/* Tries a call with all arguments -1: no row's checks fit, and the kernel itself would refuse it
 * for another reason. */
static struct jail_verdict try_call(int number, const struct rows_of_call *rows)
{
    unsigned before = jail_trap_count();

    errno = 0;
    long result = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
    uint8_t error = result == -1 ? (uint8_t) errno : 0;
    if (jail_trap_count() > before)
        return (struct jail_verdict){ .kind =
                                          rows->has_any ? VERDICT_CONDITIONAL : VERDICT_REFUSED };
    if (!rows->has_any)
        return (struct jail_verdict){ .kind = VERDICT_PASSED, .error = error };
    return (struct jail_verdict){ .kind = rows->has_checks ? VERDICT_CONDITIONAL : VERDICT_FAILS,
                                  .error = error };
}

static void try_all(const struct jail_options *options, struct jail_verdicts *verdicts)
{
    const struct policy_context context = {
        .jit = options->jit,
        .channel_fd = options->channel_fd,
        .self = getpid(),
    };

    for (int number = 0; number < VERDICT_NUMBERS; number++) {
        const struct rows_of_call rows = find_rows(number, &context);
        struct jail_verdict *verdict = &verdicts->calls[number];
        if (is_past_filters(number))
            verdict->kind = VERDICT_PAST_FILTERS;
        else if (rows.is_allowed)
            verdict->kind = VERDICT_ALLOWED;
        else
            *verdict = try_call(number, &rows);
    }
}

_Noreturn void jail_report_run(const struct jail_options *options, int error,
                               const struct jail_failure *failure)
{
    static struct jail_verdicts verdicts;
    char byte;

    verdicts.error = error;
    if (error < 0) {
        verdicts.layer = (uint32_t) failure->layer;
        (void) snprintf(verdicts.step, sizeof verdicts.step, "%s", failure->step);
    } else {
        try_all(options, &verdicts);
    }
    if (io_write_all(options->channel_fd, &verdicts, sizeof verdicts) < 0)
        _exit(1);
    while (read(options->channel_fd, &byte, sizeof byte) > 0)
        ;
    _exit(0);
}
