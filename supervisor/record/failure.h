/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reason for which a command was not done, on its way from where it is found to its readers: the log, the client on
 * the admin socket, a tenant's log. No code on the way changes the text. Supervisor, loop thread.
 */
#pragma once

#include <stddef.h>

#include "common/log.h"
#include "config/errors.h"

struct failure { /* starts as { 0 } */
    int code;    /* -errno: its class; 0: nothing has failed */
    struct {
        char *file; /* owned; NULL: the failure is about no file */
        unsigned line;
    } where;
    /* Owned; the fault and the remedy, for people; may have several lines, each but the first with
     * its own place. NULL: no memory. */
    char *text;
};

void failure_done(struct failure *failure);

/* Each notes a failure in an empty struct, and returns code. */
int failure_set(struct failure *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int failure_set_at(struct failure *failure, int code, const char *file, unsigned line,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
/* text: a peer's; not NUL-ended. */
int failure_set_text(struct failure *failure, int code, const char *text, size_t size);
/* Notes faults in files; without any, a text for the code. behind: "/bundle/" has paths begin behind that part (one
 * without it: behind its last slash), because readers do not know the folder; NULL: paths are whole. */
int failure_set_errors(struct failure *failure, int code, const struct config_errors *errors,
                       const char *behind);
/* Does the same for the file of a failure that is noted. */
void failure_shorten_place(struct failure *failure, const char *behind);

/* ---- printers */

/* Returns "FILE:LINE: TEXT", as people read it. Owned by the caller; NULL: out of memory. */
char *failure_message(const struct failure *failure);
/* Logs one event: `what`, and the message, escaped. context: NULL if the failure is about skepd as a whole. */
void failure_log_event(const struct failure *failure, enum log_level level,
                       const struct log_context *context, const char *what);
/* Adds the failure to errors of files. file: for a failure that is about none. */
void failure_add_to(const struct failure *failure, const char *file, struct config_errors *errors);
