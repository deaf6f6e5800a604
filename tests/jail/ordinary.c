/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jail/ordinary.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

void ordinary_begin(void)
{
    const struct sched_param param = { 0 };
    int scheduler = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;

    if (scheduler == SCHED_FIFO || scheduler == SCHED_RR)
        assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &param), 0);
    if (getpriority(PRIO_PROCESS, 0) < 0)
        assert_int_equal(setpriority(PRIO_PROCESS, 0, 0), 0);
    (void) umask(S_IWGRP | S_IWOTH);
}
