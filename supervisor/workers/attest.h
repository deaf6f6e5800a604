/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a worker's jail from outside, by /proc/PID, after its hello and before it gets
 * its first tenant. Supervisor process, no state.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Seccomp 2, NoNewPrivs 1, all capability sets empty, every namespace another than ours, exactly
 * the file descriptors that a worker should hold. pidfd guards against a reused pid. 0, or
 * -EPERM with the failed check in text (at most size bytes), or -errno when /proc could not
 * be read. */
int attest_worker(pid_t pid, int pidfd, char *text, size_t size);
