/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store without a process, for tests of deploys: it keeps nothing but which version of one tenant serves, and answers
 * when the test says so, in the order of its requests. The linker puts it in place of the client of the store: link with
 * --wrap=store_helper,--wrap=helper_listen,--wrap=helper_ask,--wrap=helper_is_ready,--wrap=helper_is_congested.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store.pb-c.h"

#define PLAYED_VERSION_BYTES 64

/* A question to the store which it has not answered. */
struct played_question {
    Skep__Store__Request__MessageCase which; /* 0: nothing */
    uint64_t id;
    char version[PLAYED_VERSION_BYTES + 1]; /* a commit's, check's or removal's; else "" */
    uint32_t action;                        /* a commit's enum store_action */
    char reason[160];                       /* likewise */
};

/* Starts anew: an empty store that is there. */
void played_store_reset(void);
/* The handle for struct deploys_options. */
struct store *played_store(void);
/* The version that serves by the store's word, and the one before; "" if there is none. */
const char *played_store_current(void);
const char *played_store_previous(void);
/* Lets the next upload become this version, which is read from a folder of its name. */
void played_store_seal_as(const char *version);

/* The oldest request that waits for its answer. */
struct played_question played_store_asked(void);
bool played_store_is_lost(void);
/* Each answers the oldest request; false: there is none. */
bool played_store_answers(void);
/* text: what is wrong. A request to give up an upload is answered as by played_store_answers. */
bool played_store_says_no(const char *text);
/* Answers it with a message that no store would choose. Returns the handler's result. */
int played_store_says(Skep__Store__Answer__MessageCase which, const void *message);
/* The store ends with all that it was asked; and is there again. */
void played_store_dies(void);
void played_store_returns(void);
