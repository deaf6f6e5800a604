/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sources that can wake a request that waits, as one table, and the search for requests that
 * nothing can wake. A new asynchronous function needs a row: a frame to the worker or a native that
 * no row names fails tests/unit/v8/test_wake.c. Worker, main thread, jailed; never inside an entry,
 * unless said otherwise.
 */
#pragma once

#include "worker/host_internal.h"

enum wake_source {
    WAKE_TIMER,
    WAKE_BODY,   /* more of the request's body, or its end */
    WAKE_CREDIT, /* room for more of the response's body */
    WAKE_CALL,   /* the answer of a call, or its end */
    WAKE_SOURCES,
};

struct wake_row {
    const char *name;
    bool (*is_open)(const struct job *job);
};
extern const struct wake_row wake_table[WAKE_SOURCES];

/* Returns the source that a frame to the worker, or a native (its offset in struct isolate_host),
 * leads to later: an enum wake_source, WAKE_SOURCES for one that wakes nobody, or a negative value
 * for one that no row names. */
int wake_of_frame(unsigned message_case);
int wake_of_native(size_t offset);

/* Returns whether a source is left that could wake the job, other requests not counted. */
bool wake_is_open(const struct job *job);
/* Prepares an entry: makes V8 report whose promises are continued in it, if a request has been
 * waiting for a while and only other requests can wake it. */
void wake_before_entry(struct app *app);
/* Ends requests of the app as hung if nothing can wake them, at once where no later request can
 * come, else after hung_ms. Called after an entry, and after a job of the app has gone. */
void wake_look(struct app *app);
/* Notes that a continuation of the job runs in the entry of another. Inside an entry. */
void wake_note(struct job *job);
/* Callback of the app's event; arg: the app, which may be gone afterwards. */
void wake_on_hung(evutil_socket_t fd, short what, void *arg);
