/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries each allowed row of the policy. Runs inside the sealed probe: a call that the
 * filter does not allow kills it, and the test sees that.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "sandbox-policy/policy.h"
#include "tests/jail/probe.h"

static volatile sig_atomic_t handled;

static void on_abort(int signal)
{
    (void) signal;
    handled = 1;
}

/* Sets a handler before the seal, so that rt_sigreturn can be tried. */
__attribute__((constructor)) static void set_handler(void)
{
    (void) signal(SIGABRT, on_abort);
}

static int try_read(void)
{
    char byte;
    return read(POLICY_CHANNEL_FD, &byte, 0) == 0 ? 0 : -errno;
}

static int try_write(void)
{
    if (write(POLICY_CHANNEL_FD, "", 0) != 0 || write(STDOUT_FILENO, "o", 1) != 1 ||
        write(STDERR_FILENO, "e", 1) != 1)
        return -errno;
    return 0;
}

static int try_writev(void)
{
    char byte = 'e';
    const struct iovec none = { .iov_base = &byte, .iov_len = 0 };
    const struct iovec one = { .iov_base = &byte, .iov_len = 1 };
    if (writev(POLICY_CHANNEL_FD, &none, 1) != 0 || writev(STDERR_FILENO, &one, 1) != 1)
        return -errno;
    return 0;
}

static int try_ioctl(void)
{
    int n = -1;
    return ioctl(POLICY_CHANNEL_FD, FIONREAD, &n) == 0 && n == 0 ? 0 : -EIO;
}

static int try_close(void)
{
    return close(999) < 0 && errno == EBADF ? 0 : -EIO;
}

static int try_epoll(void)
{
    struct epoll_event event = { .events = EPOLLOUT };
    int fd = probe_epoll_fd();

    if (epoll_ctl(fd, EPOLL_CTL_ADD, POLICY_CHANNEL_FD, &event) < 0)
        return -errno;
    int n = epoll_wait(fd, &event, 1, 0);
    if (n != 1 || epoll_pwait(fd, &event, 1, 0, NULL) != 1)
        return -EIO;
    return epoll_ctl(fd, EPOLL_CTL_DEL, POLICY_CHANNEL_FD, &event) == 0 ? 0 : -errno;
}

/* Makes the raw calls, since the functions of the C library take the vDSO. */
static int try_clock_gettime(void)
{
    struct timespec t;
    return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t) == 0 ? 0 : -errno;
}

static int try_gettimeofday(void)
{
    struct timeval t;
    return syscall(SYS_gettimeofday, &t, NULL) == 0 ? 0 : -errno;
}

static int try_clock_nanosleep(void)
{
    const struct timespec t = { .tv_nsec = 1000 };
    return -clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static int try_brk(void)
{
    return syscall(SYS_brk, 0) != 0 ? 0 : -EIO;
}

#define PAGE 4096
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static int try_mmap(void)
{
    void *p = mmap(NULL, PAGE, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    if (mmap(p, PAGE, PROT_READ | PROT_WRITE, ANONYMOUS | MAP_FIXED, -1, 0) != p)
        return -errno;
    memset(p, 1, PAGE);
    return munmap(p, PAGE) == 0 ? 0 : -errno;
}

static int try_mprotect(void)
{
    void *p = mmap(NULL, PAGE, PROT_NONE, ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    if (mprotect(p, PAGE, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    memset(p, 1, PAGE);
    return munmap(p, PAGE) == 0 ? 0 : -errno;
}

static int try_madvise(void)
{
    static const int advice[] = { MADV_NORMAL, MADV_FREE, MADV_DONTNEED };
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return -errno;
    for (size_t i = 0; i < ARRAY_LEN(advice); i++)
        if (madvise(p, PAGE, advice[i]) < 0)
            return -errno;
    return munmap(p, PAGE) == 0 ? 0 : -errno;
}

static long futex(uint32_t *word, int op, uint32_t value, uintptr_t value2, uint32_t *word2,
                  uint32_t value3)
{
    return syscall(SYS_futex, word, op, value, value2, word2, value3);
}

static int try_futex(void)
{
    const int private = FUTEX_PRIVATE_FLAG;
    uint32_t a = 1, b = 1;

    if (futex(&a, FUTEX_WAIT | private, 2, 0, NULL, 0) != -1 || errno != EAGAIN ||
        futex(&a, FUTEX_WAIT_BITSET | private | FUTEX_CLOCK_REALTIME, 2, 0, NULL, ~0U) != -1 ||
        errno != EAGAIN || futex(&a, FUTEX_CMP_REQUEUE, 1, 1, &b, 2) != -1 || errno != EAGAIN)
        return -EIO;
    if (futex(&a, FUTEX_WAKE | private, 1, 0, NULL, 0) != 0 ||
        futex(&a, FUTEX_WAKE_BITSET | private, 1, 0, NULL, ~0U) != 0 ||
        futex(&a, FUTEX_REQUEUE, 1, 1, &b, 0) != 0)
        return -EIO;
    return 0;
}

static int try_sched_yield(void)
{
    return syscall(SYS_sched_yield) == 0 ? 0 : -errno;
}

static int try_gettid(void)
{
    return gettid() == 1 ? 0 : -EIO;
}

static int try_getpid(void)
{
    return getpid() == 1 ? 0 : -EIO;
}

/* A handler that was set before the seal: the signal arrives, and the handler returns. */
static int try_tgkill(void)
{
    handled = 0;
    if (syscall(SYS_tgkill, getpid(), gettid(), SIGABRT) < 0)
        return -errno;
    return handled ? 0 : -EIO;
}

static int try_rt_sigprocmask(void)
{
    sigset_t set;
    (void) sigemptyset(&set);
    return sigprocmask(SIG_SETMASK, &set, NULL) == 0 ? 0 : -errno;
}

static int try_rt_sigaction(void)
{
    struct sigaction old;
    if (sigaction(SIGABRT, NULL, &old) < 0 || sigaction(SIGTRAP, NULL, &old) < 0)
        return -errno;
    return 0;
}

static int try_restart_syscall(void)
{
    return syscall(SYS_restart_syscall) == -1 && errno == EINTR ? 0 : -EIO;
}

static int try_getrandom(void)
{
    char bytes[16];
    return getrandom(bytes, sizeof bytes, 0) == (ssize_t) sizeof bytes ? 0 : -errno;
}

/* test_worker_that_exits_is_reported sees it. */
static int try_exit_group(void)
{
    return 0;
}

const struct probe_try probe_tries[] = {
    { "read", 1, try_read },
    { "write", 3, try_write },
    { "writev", 2, try_writev },
    { "ioctl", 1, try_ioctl },
    { "close", 1, try_close },
#if defined(__x86_64__)
    { "epoll_wait", 1, try_epoll },
#endif
    { "epoll_pwait", 1, try_epoll },
    { "epoll_ctl", 1, try_epoll },
    { "clock_gettime", 1, try_clock_gettime },
    { "gettimeofday", 1, try_gettimeofday },
    { "clock_nanosleep", 1, try_clock_nanosleep },
    { "brk", 1, try_brk },
    { "mmap", 1, try_mmap },
    { "munmap", 1, try_mmap },
    { "mprotect", 2, try_mprotect },
    { "madvise", 3, try_madvise },
    { "futex", 6, try_futex },
    { "sched_yield", 1, try_sched_yield },
    { "gettid", 1, try_gettid },
    { "getpid", 1, try_getpid },
    { "rt_sigreturn", 1, try_tgkill },
    { "rt_sigprocmask", 1, try_rt_sigprocmask },
    { "rt_sigaction", 2, try_rt_sigaction },
    { "tgkill", 1, try_tgkill },
    { "restart_syscall", 1, try_restart_syscall },
    { "exit", 1, probe_join_thread },
    { "exit_group", 1, try_exit_group },
    { "getrandom", 1, try_getrandom },
};

const size_t probe_n_tries = ARRAY_LEN(probe_tries);
