/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FIRST_NS UINT64_C(1000000000000)
#define NSEC UINT64_C(1000000000)
#define PROCESSES 4096 /* false processes whose clocks are kept; older ones share them */
#define CPU_CLOCK_FIRST 0x2000000

static uint64_t now_ns = FIRST_NS;
static uint64_t cpu_ns[PROCESSES];
static uint64_t thread_step_ns, thread_ns;

/* libevent calls these, too, because they are visible to the linker. */
#define TAKES_OVER __attribute__((visibility("default")))
TAKES_OVER int clock_gettime(clockid_t clock, struct timespec *ret);
TAKES_OVER int clock_getcpuclockid(pid_t pid, clockid_t *ret_clock);

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    uint64_t ns = now_ns;

    if (clock == CLOCK_THREAD_CPUTIME_ID && thread_step_ns > 0)
        ns = thread_ns += thread_step_ns;
    else if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
        return (int) syscall(SYS_clock_gettime, clock, ret);
    if (clock >= CPU_CLOCK_FIRST)
        ns = cpu_ns[clock % PROCESSES];
    ret->tv_sec = (time_t) (ns / NSEC);
    ret->tv_nsec = (long) (ns % NSEC);
    return 0;
}

int clock_getcpuclockid(pid_t pid, clockid_t *ret_clock)
{
    if (pid < CLOCK_FIRST_PID)
        return ESRCH;
    *ret_clock = CPU_CLOCK_FIRST + (pid - CLOCK_FIRST_PID) % PROCESSES;
    return 0;
}

void clock_reset(void)
{
    now_ns = FIRST_NS;
    thread_step_ns = 0;
    for (unsigned i = 0; i < PROCESSES; i++)
        cpu_ns[i] = 1; /* 0 would be a process that is gone */
}

void clock_pass(uint64_t ns)
{
    now_ns += ns;
}

uint64_t clock_now(void)
{
    return now_ns;
}

void clock_set_thread_step(uint64_t ns)
{
    thread_step_ns = ns;
}

void clock_burn(pid_t pid, uint64_t ns)
{
    cpu_ns[(pid - CLOCK_FIRST_PID) % PROCESSES] += ns;
}

uint64_t clock_burnt(pid_t pid)
{
    return cpu_ns[(pid - CLOCK_FIRST_PID) % PROCESSES];
}
