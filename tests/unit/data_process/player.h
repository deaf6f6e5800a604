/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's end of the channel to a data process, frame by frame. The process is confined as it is in earnest. Frames that come are checked: one Head before each Body, nothing after Done, no more than there is credit for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "data.pb-c.h"

#define PLAYER_IDS 1024

/* The frames that came of one operation, or of one Close. */
struct played {
    bool is_open; /* was asked for, and Done has not come */
    unsigned n_heads, n_dones, n_closed;
    unsigned status;
    Skep__Data__Failure failure;
    char text[128];    /* Done's */
    char answer[128];  /* beginning of the answer */
    size_t n_bytes;    /* all bytes of the answer */
    uint64_t may;      /* credit for the answer so far */
    uint64_t granted;  /* credit for the request that came */
    uint64_t received; /* as Done says */
};

struct player {
    int fd;
    pid_t pid;
    char folder[32];
    bool has_folder; /* the folder is its own */
    uint64_t last_id;
    struct played played[PLAYER_IDS];
    unsigned n_pongs, n_notices, n_stuck;
    char notice[512], stuck[64]; /* text; name of the tenant */
    char noticed[64];            /* name of the tenant */
};

struct ask {
    const char *tenant, *operation, *space; /* NULL: "a", "echo", "main" */
    bool is_sql, has_body, is_operator;
    uint32_t credit;                  /* 0: DATA_CREDIT_MAX_BYTES; UINT32_MAX: none */
    uint32_t rate, sql_ms, value_mib; /* 0: no limit; value_mib: 1 */
};

/* Is the process: a program is executed, or its code is called. Does not return. */
typedef void (*player_run_fn)(void);
/* Starts a process, with a folder of its own, and takes its hello. */
void player_start(struct player *player, player_run_fn run);
/* The same with the folder of another one, which stays its own. */
void player_start_beside(struct player *player, player_run_fn run, const struct player *other);
/* Closes the channel. Returns the exit status, -1: it was killed. */
int player_end(struct player *player);

uint64_t player_open(struct player *player, const struct ask *ask);
/* Opens an operation with that request, whole. */
uint64_t player_ask(struct player *player, const struct ask *ask, const char *request);
void player_body(struct player *player, uint64_t id, const void *data, size_t size, bool end);
void player_credit(struct player *player, uint64_t id, uint32_t bytes);
void player_cancel(struct player *player, uint64_t id);
uint64_t player_close_tenant(struct player *player, const char *tenant);
void player_share(struct player *player, bool is_on);
void player_ping(struct player *player);
void player_send(const struct player *player, Skep__Data__ToData *frame);
void player_send_raw(const struct player *player, const void *bytes, size_t size);
/* Fills in an Open as player_open sends it; borrows all. */
void player_prepare(const struct ask *ask, uint64_t id, Skep__Data__Open *open,
                    Skep__Data__Limits *limits);

/* Takes one frame. False: the channel is closed. */
bool player_take(struct player *player);
/* Takes frames until that one is done, and returns what came. */
const struct played *player_await(struct player *player, uint64_t id);
/* Takes frames until a ping that is sent now is answered. */
void player_sync(struct player *player);
/* Asserts that the process closes the channel. */
void player_expect_closed(struct player *player);
