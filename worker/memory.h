/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts of native memory: for which isolate the worker's memory outside V8's heap was allocated.
 * memory_hooks.c counts each block of malloc and its kind, v8/allocator.cc the pages of WebAssembly
 * code, into the account that is current on the thread. A block belongs to that account until it is
 * freed, whoever frees it. Worker process. Accounts are opened, closed and entered on the main thread;
 * other threads count into MEMORY_OWN and must allocate nothing while JavaScript runs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum memory_names {
    MEMORY_OWN = 0,          /* the worker's own account, current outside all others */
    MEMORY_UNCOUNTED = 4095, /* for blocks that are counted elsewhere */
    MEMORY_ACCOUNTS = 4096,
};

/* Opens an account, with nothing in it but the rest that the last account of that name has left in
 * the process. Returns MEMORY_OWN if all names are taken. */
uint32_t memory_open(void);
/* Closes the account; the rest in it no longer counts for its isolate. */
void memory_close(uint32_t account);

/* Makes the account current; returns the former one, for memory_leave. */
uint32_t memory_enter(uint32_t account);
void memory_leave(uint32_t before);

/* Counts bytes into the current account, and returns its name for memory_remove. */
uint32_t memory_add(size_t bytes);
void memory_add_to(uint32_t account, size_t bytes);
void memory_remove(uint32_t account, size_t bytes);

/* Returns the bytes in the account; never negative. */
size_t memory_held(uint32_t account);
/* Writes the account's KiB to *kib from now on, as they change by 64 KiB and more; NULL: no longer.
 * kib: an aligned word that others read at any time. */
void memory_publish(uint32_t account, uint32_t *kib);

/* Calls on_alarm(owner) once, when the account holds so many bytes or more; the next memory_set_alarm
 * arms it again. The call comes from inside an allocation: it must not need locks that are not
 * recursive. SIZE_MAX: never. */
typedef void (*memory_alarm_fn)(void *owner);
void memory_set_alarm(uint32_t account, size_t bytes, memory_alarm_fn on_alarm, void *owner);

#ifdef __cplusplus
}
#endif
