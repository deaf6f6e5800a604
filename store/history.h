/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file `history` of a tenant: each switch to another version, who asked for it, and when; and
 * what follows from these: which version served before, and which was rolled back. The store's own
 * text on its own disk, and read as if it were not. Store process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VERSION_BYTES 64 /* SHA-256 in hexadecimal */
#define HISTORY_RECORDS_MAX 500
#define HISTORY_REASON_MAX 159

enum store_action {
    STORE_DEPLOY,
    STORE_ROLLBACK,      /* an operator asked for it */
    STORE_AUTO_ROLLBACK, /* the version that goes had too many errors */
    STORE_ACTIONS,
};

struct history_entry {
    uint64_t time_ms;
    uint32_t uid;
    enum store_action action;
    char version[VERSION_BYTES + 1]; /* the version that served from then on */
    char from[VERSION_BYTES + 1];    /* the version that served until then; "-": none */
    char reason[HISTORY_REASON_MAX + 1];
};

struct history {
    struct history_entry *records; /* owned; oldest first */
    unsigned count;
};

/* Returns whether the text is 64 times 0-9a-f. */
bool version_is_valid(const char *text);

/* Reads the history of a tenant's folder; lines that cannot be parsed are left out, no file is no
 * lines. 0 or -errno. */
int history_read(int tenant_fd, struct history *ret_history);
void history_done(struct history *history);
/* Adds an entry at the end, and drops the oldest if there are too many. 0 or -ENOMEM. */
int history_add(struct history *history, const struct history_entry *record);
/* Writes the history, durably. 0 or -errno. */
int history_write(int tenant_fd, const struct history *history);

/* Returns the index of the last record that names the version as `version` or `from`; -1: none. */
int history_find(const struct history *history, const char *version);
/* Returns the record by which the version was rolled back for its errors, if it has not been
 * switched to since; NULL: there is none. */
const struct history_entry *history_rollback_of(const struct history *history, const char *version);
