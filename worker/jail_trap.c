/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler of SIGSYS, which the filter raises instead of a call that it refuses. Runs on the
 * thread that made the call, in the worst of states: it touches nothing but the scoreboard, and
 * never returns. sandbox-policy/README.md says why that is as safe as a kill by the kernel.
 */
#include "worker/jail_trap.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code of a refused call */
#endif

static struct scoreboard *last_board;

static void on_refused(int signal, siginfo_t *info, void *context)
{
    (void) signal;
    (void) context;
    if (last_board && info->si_code == SYS_SECCOMP) {
        atomic_store(&last_board->syscall_arch, info->si_arch);
        atomic_store(&last_board->syscall_number, (uint32_t) info->si_syscall);
        atomic_store(&last_board->last_words, LAST_WORDS_SYSCALL);
    }
    /* Not in the policy, and harmless should there be no filter. SIGSYS is blocked here, so the
     * kernel takes the handler away and kills with it (signal.c, force_sig_info_to_task). */
    (void) syscall(SYS_getppid);
    for (;;)
        __builtin_trap();
}

int jail_set_trap(struct scoreboard *board)
{
    struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO };

    /* All signals wait: no handler of another may run before the end. */
    (void) sigfillset(&action.sa_mask);
    last_board = board;
    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}
