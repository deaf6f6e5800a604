/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can wake a request that waits, as one table, and the search for requests that nothing can wake.
 * Whoever adds something asynchronous adds its row: a frame to the worker or a native that no row names
 * fails tests/unit/v8/test_wake.c. Worker, main thread, jailed; never inside an entry, unless said
 * otherwise.
 */
#pragma once

#include "worker/host_internal.h"

enum wake_source {
    WAKE_TIMER,
    WAKE_BODY,   /* more of the request's body, or its end */
    WAKE_CREDIT, /* room for more of the response's body */
    WAKE_CALL,   /* what comes of a call */
    WAKE_SOURCES,
};

struct wake_row {
    const char *name;
    bool (*is_open)(const struct job *job);
};
extern const struct wake_row wake_table[WAKE_SOURCES];

/* Returns what a frame to the worker, or a native (its offset in struct isolate_host), may bring about later:
 * an enum wake_source, WAKE_SOURCES for what wakes nobody, or a negative value for what no row names. */
int wake_of_frame(unsigned message_case);
int wake_of_native(size_t offset);

/* Returns whether something is left that could wake the job, but for other requests. */
bool wake_is_open(const struct job *job);
/* Before an entry: has V8 tell whose promises are continued in it, if a request has been waiting for a
 * while with nothing to wake it but other requests. */
void wake_before_entry(struct app *app);
/* After an entry, and after a job of the app has gone: has its requests ended as hung if nothing can wake
 * them, at once where no later request can come, else after hung_ms. */
void wake_look(struct app *app);
/* A continuation of the job runs in the entry of another. Inside an entry. */
void wake_note(struct job *job);
/* For the app's event; arg: the app, which may be gone afterwards. */
void wake_on_hung(evutil_socket_t fd, short what, void *arg);
