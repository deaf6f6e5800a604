/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd is told, by the protocol of sd_notify(3): lines of text in datagrams to $NOTIFY_SOCKET.
 * libsystemd makes a socket for each message, which a confined skepd may not: here one is made
 * before, and kept. A message that finds no room waits, in order; nothing else ever does.
 * Supervisor; all but notify_new on the loop's thread. Every function takes NULL for a skepd that nobody
 * listens to, and does nothing then.
 */
#pragma once

#include <event2/event.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

struct notify;

/* Connects to the address, a path or "@" and an abstract name (NULL: *ret_notify is NULL). Before
 * confinement. 0 or -errno. */
int notify_new(const char *address, struct notify **ret_notify);
/* Messages that found no room go out by this loop. Before it, and after NULL, they wait for the next
 * message. 0 or -ENOMEM. */
int notify_attach(struct notify *notify, struct event_base *base);
/* Tries what still waits once more, and says nothing from now on. Before the loop is freed. */
void notify_end(struct notify *notify);
/* As notify_end, and frees it. Returns NULL. */
struct notify *notify_free(struct notify *notify);
DEFINE_CLEANUP(struct notify *, notify_free, notify_cleanup)

/* READY=1: it serves; also at the end of a reload. */
void notify_ready(struct notify *notify);
/* RELOADING=1 and MONOTONIC_USEC: notify_ready has to follow, also after a reload that failed. */
void notify_reloading(struct notify *notify);
/* STOPPING=1: it drains, and then ends. */
void notify_stopping(struct notify *notify);
/* STATUS=, one line; sent if it is another than the last one. */
void notify_status(struct notify *notify, const char *text);
/* WATCHDOG=1 */
void notify_watchdog(struct notify *notify);
/* EXTEND_TIMEOUT_USEC=: it will need that long, from now on, until it says so again or has ended. */
void notify_extend_timeout(struct notify *notify, uint64_t usec);
/* MAINPID=: another process is the service from now on; this one says nothing more but the barrier. Our own
 * pid: it is not after all. */
void notify_main_pid(struct notify *notify, pid_t pid);

/* FDSTORE=1: keeps a duplicate of the descriptor for the next start, by that name ([a-z]). A
 * descriptor that is there already is not kept twice. 0: it is sent, or waits for room; or -errno, and it is
 * not kept. */
int notify_store_fd(struct notify *notify, int fd, const char *name);
/* FDSTOREREMOVE=1: lets go of all of that name. */
void notify_remove_fds(struct notify *notify, const char *name);

/* BARRIER=1: calls back once everything that was sent before has been taken in, or after a timeout
 * (-ETIMEDOUT) or another -errno. May call back before it returns: always, if notify is NULL. One at a
 * time; not after notify_free. */
void notify_barrier(struct notify *notify, void (*on_done)(void *owner, int error), void *owner);
/* Nobody waits for it any more. Nothing happens if there is none. */
void notify_cancel_barrier(struct notify *notify);
