/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls by every way into the kernel. Runs in the probe; most of these end it.
 */
#include <unistd.h>

#include "tests/jail/probe.h"

#define X32_BIT 0x40000000

#if defined(__x86_64__)
/* The kernel takes the arguments of i386 from these registers' lower halves. rbx and rbp are the
 * compiler's, and the 128 bytes below the stack pointer, too. */
static long call_int80(int64_t number, const int64_t args[static 6])
{
    register const int64_t *a __asm__("r12") = args;
    long result;

    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
                     "push %%rbp\n\t"
                     "push %%rbx\n\t"
                     "mov (%[a]), %%ebx\n\t"
                     "mov 8(%[a]), %%ecx\n\t"
                     "mov 16(%[a]), %%edx\n\t"
                     "mov 24(%[a]), %%esi\n\t"
                     "mov 32(%[a]), %%edi\n\t"
                     "mov 40(%[a]), %%ebp\n\t"
                     "int $0x80\n\t"
                     "pop %%rbx\n\t"
                     "pop %%rbp\n\t"
                     "lea 128(%%rsp), %%rsp"
                     : "=a"(result)
                     : "a"(number), [a] "r"(a)
                     : "memory", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
    return result;
}
#endif

long probe_call(enum probe_abi abi, int64_t number, const int64_t args[static 6])
{
    switch (abi) {
    case PROBE_NATIVE:
        break;
    case PROBE_ABI_X32:
        number |= X32_BIT;
        break;
    case PROBE_ABI_INT80:
#if defined(__x86_64__)
        return call_int80(number, args);
#endif
    case PROBE_ABIS:
        return -1;
    }
    return syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

long probe_int80_getpid(void)
{
    static const int64_t none[6] = { 0 };

    return probe_call(PROBE_ABI_INT80, 20, none);
}

long probe_call_without_stack(long number)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("mov %%rsp, %%rbx\n\txor %%esp, %%esp\n\tsyscall\n\tmov %%rbx, %%rsp"
                     : "=a"(result)
                     : "a"(number)
                     : "memory", "rbx", "rcx", "r11");
    return result;
#else
    return syscall(number);
#endif
}
