/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log's way into systemd's journal, with fields. Supervisor, one thread.
 *
 * This is journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/) and not
 * sd_journal_sendv, whose socket waits when journald does not read: skepd's loop must not.
 */
#pragma once

#include "common/log.h"

/* Makes the socket and registers it with the log: before log_set_format, and before skepd confines
 * itself. A host without journald is no error; without a socket the log does without the
 * journal. */
void journal_open(void);
/* Makes the log of a forked process, which keeps no descriptors, lines on standard error from now
 * on. */
void journal_leave(void);

/* Most bytes of an entry: fewer than any Unix socket takes as one datagram. */
#define JOURNAL_ENTRY_BYTES 65536
/* Encodes an event as one entry; size: JOURNAL_ENTRY_BYTES. Returns the entry's size. Pure. */
size_t journal_encode(const struct log_event *event, char *entry, size_t size);
