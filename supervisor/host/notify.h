/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to systemd, by the protocol of sd_notify(3): lines of text in datagrams to
 * $NOTIFY_SOCKET. libsystemd makes a socket for each message, which a confined skepd may not: here
 * one is made before, and kept. A message that finds no room waits, in order; nothing else ever
 * waits. Supervisor; all but notify_new on the loop's thread. Every function takes NULL, for a
 * skepd without a service manager, and does nothing then.
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
/* Attaches the loop by which messages that found no room go out. Before that, and after NULL, they
 * wait for the next message. 0 or -ENOMEM. */
int notify_attach(struct notify *notify, struct event_base *base);
/* Tries to send the queue once more, and sends nothing from now on. Before the loop is freed. */
void notify_end(struct notify *notify);
/* Ends as notify_end does, and frees notify. Returns NULL. */
struct notify *notify_free(struct notify *notify);
DEFINE_CLEANUP(struct notify *, notify_free, notify_cleanup)

/* Sends READY=1: skepd serves; also at the end of a reload. */
void notify_ready(struct notify *notify);
/* Sends RELOADING=1 and MONOTONIC_USEC: notify_ready has to follow, also after a reload that
 * failed. */
void notify_reloading(struct notify *notify);
/* Sends STOPPING=1: skepd drains, and then ends. */
void notify_stopping(struct notify *notify);
/* Sends STATUS=, one line, if it differs from the last one. */
void notify_status(struct notify *notify, const char *text);
/* Sends WATCHDOG=1. */
void notify_watchdog(struct notify *notify);
/* Sends EXTEND_TIMEOUT_USEC=: skepd needs that long, from now on, until it says so again or has
 * ended. */
void notify_extend_timeout(struct notify *notify, uint64_t usec);
/* Sends MAINPID=: another process is the service from now on; this one sends nothing more but the
 * barrier. With the own pid: takes that back. */
void notify_main_pid(struct notify *notify, pid_t pid);

/* Sends FDSTORE=1: the manager keeps a duplicate of the descriptor for the next start, by that name
 * ([a-z]). A descriptor that is there already is not kept twice. 0: the message is sent, or waits
 * for room; or -errno, and the descriptor is not kept. */
int notify_store_fd(struct notify *notify, int fd, const char *name);
/* Sends FDSTOREREMOVE=1: the manager closes all descriptors of that name. */
void notify_remove_fds(struct notify *notify, const char *name);

/* Sends BARRIER=1: calls back once the manager has read all messages before it, or after a timeout
 * (-ETIMEDOUT) or another -errno. May call back before it returns: always, if notify is NULL. One
 * at a time; not after notify_free. */
void notify_barrier(struct notify *notify, void (*on_done)(void *owner, int error), void *owner);
/* Cancels the callback of a barrier, if there is one. */
void notify_cancel_barrier(struct notify *notify);
