/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership helpers: a local resource is declared with _cleanup_(fn) and leaves its
 * scope only through TAKE_PTR or TAKE_FD. Used by every process; no state.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* For a large array of locals: -ftrivial-auto-var-init would write all of it each time. Only what was written may be read. */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define _uninitialized_ __attribute__((uninitialized))
#endif
#endif
#ifndef _uninitialized_
#define _uninitialized_
#endif

#define TAKE_PTR(p)               \
    ({                            \
        __typeof__(p) *_p = &(p); \
        __typeof__(p) _v = *_p;   \
        *_p = NULL;               \
        _v;                       \
    })

#define TAKE_FD(fd)      \
    ({                   \
        int *_f = &(fd); \
        int _v = *_f;    \
        *_f = -1;        \
        _v;              \
    })

/* Defines `name(T *p)` for _cleanup_: frees what the pointer variable holds. */
#define DEFINE_CLEANUP(type, free_fn, name) \
    static inline void name(type *p)        \
    {                                       \
        if (*p)                             \
            (void) free_fn(*p);             \
    }

static inline void free_cleanup(void *p)
{
    free(*(void **) p);
}

static inline void fd_cleanup(const int *fd)
{
    if (*fd >= 0)
        (void) close(*fd);
}

DEFINE_CLEANUP(FILE *, fclose, file_cleanup)
DEFINE_CLEANUP(DIR *, closedir, dir_cleanup)

#define _cleanup_free_ _cleanup_(free_cleanup)
#define _cleanup_fd_ _cleanup_(fd_cleanup)
#define _cleanup_file_ _cleanup_(file_cleanup)
#define _cleanup_dir_ _cleanup_(dir_cleanup)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
