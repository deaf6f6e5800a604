/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of idle isolates: what an isolate needed for its last requests, and holds only because it has not collected its garbage
 * since, goes back to the kernel some seconds after them. Worker, main thread, jailed.
 */
#pragma once

#include <stdint.h>

#include <event2/util.h>

struct app;

/* Notes that JavaScript has run in the app. After each entry, outside it. */
void rest_note(struct app *app, uint64_t now);
/* Lets one app rest that is due. Callback of host->rest. */
void rest_on_time(evutil_socket_t fd, short what, void *host);
