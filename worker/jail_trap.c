/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers of SIGSYS, which the filters raise instead of a call that they refuse. They run on
 * the thread that made the call, in the worst of states: the handler of workers touches nothing but
 * the scoreboard, and never returns. sandbox-policy/README.md says why that is as safe as a kill by
 * the kernel.
 */
#include "worker/jail_trap.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code of a refused call */
#endif

/* Threads without a row of their own leave their last words in that of the main thread. */
static struct scoreboard_thread *last_row;

static void on_refused(int signal, siginfo_t *info, void *context)
{
    (void) signal;
    (void) context;
    if (last_row && info->si_code == SYS_SECCOMP) {
        atomic_store(&last_row->syscall_arch, info->si_arch);
        atomic_store(&last_row->syscall_number, (uint32_t) info->si_syscall);
        atomic_store(&last_row->last_words, LAST_WORDS_SYSCALL);
    }
    /* A call that is not in the policy, and harmless should there be no filter. SIGSYS is blocked
     * here, so the kernel takes the handler away and kills with it (signal.c,
     * force_sig_info_to_task). */
    (void) syscall(SYS_getppid);
    for (;;)
        __builtin_trap();
}

int jail_set_trap(struct scoreboard *board)
{
    struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO };

    /* All signals wait: no handler of another may run before the end. */
    (void) sigfillset(&action.sa_mask);
    last_row = board ? &board->threads[SCOREBOARD_MAIN_THREAD] : NULL;
    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

/* ---- the report's handler */

static volatile sig_atomic_t refused;

static void on_counted(int signal, siginfo_t *info, void *context)
{
    ucontext_t *state = context;

    (void) signal;
    if (info->si_code != SYS_SECCOMP)
        _exit(1);
    refused++;
#if defined(__x86_64__)
    state->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#elif defined(__aarch64__)
    state->uc_mcontext.regs[0] = (unsigned long long) -ENOSYS;
#endif
}

int jail_set_counting_trap(void)
{
    const struct sigaction action = { .sa_sigaction = on_counted, .sa_flags = SA_SIGINFO };

    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

unsigned jail_trap_count(void)
{
    return (unsigned) refused;
}
