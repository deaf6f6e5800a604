/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something that was asked for was not done, on its way from where it is found to all who hear of it: the log, who
 * asked on the admin socket, a tenant's log. Nobody on the way makes another text of it. Supervisor, loop thread.
 */
#pragma once

#include <stddef.h>

#include "common/log.h"
#include "config/errors.h"

struct failure { /* starts as { 0 } */
    int code;    /* -errno: its class; 0: nothing has failed */
    struct {
        char *file; /* owned; NULL: it is about no file */
        unsigned line;
    } where;
    /* Owned; what is wrong, and what to do about it, for people; may have several lines, each but the first with its own
     * place. NULL: there was no memory for it. */
    char *text;
};

void failure_done(struct failure *failure);

/* Each notes a failure in an empty one, and returns code. */
int failure_set(struct failure *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int failure_set_at(struct failure *failure, int code, const char *file, unsigned line,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
/* text: of a peer; not NUL-ended. */
int failure_set_text(struct failure *failure, int code, const char *text, size_t size);
/* What is wrong in files; if nothing is listed, the code says it. behind: "/bundle/" has paths begin behind that part (one
 * without it: behind its last slash), because who hears of it does not know the folder; NULL: they are whole. */
int failure_set_errors(struct failure *failure, int code, const struct config_errors *errors,
                       const char *behind);
/* The same for the place of a failure that is noted. */
void failure_shorten_place(struct failure *failure, const char *behind);

/* ---- printers */

/* "FILE:LINE: TEXT", as people read it. Owned by the caller; NULL: out of memory. */
char *failure_message(const struct failure *failure);
/* One event of the log: what, and the message, escaped. */
void failure_log_event(const struct failure *failure, enum log_level level,
                       const struct log_context *context, const char *what);
/* Adds it to what is wrong in files. file: for one that is about none. */
void failure_add_to(const struct failure *failure, const char *file, struct config_errors *errors);
