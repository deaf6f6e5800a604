/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of a tenant on its storage: a call by a binding of kind KV or SQL, which skep-data does. docs/architecture.md,
 * "Storage". Supervisor, loop thread.
 *
 * The operation belongs to its call, and is gone with it; a write that was given up may be done all the same. The answer's head waits
 * for the first part of the body, or for the end: whoever has a 200 knows that the write is on the disk.
 */
#pragma once

#include "data/program.h"
#include "supervisor/requests/fetch_queue.h"
#include "supervisor/requests/internal.h"
#include "supervisor/requests/storages.h"

struct data_call;

struct storage {
    struct fetch_place place;
    TAILQ_ENTRY(storage) entry;  /* in its gate, while it has a place */
    struct storage_gate *gate;   /* counted; NULL: not yet */
    struct storage_share *share; /* borrowed */
    struct call *call;           /* borrowed */
    struct request *parent;      /* borrowed; the request that calls */
    /* owned; body that came before it was open, then the first part of the answer; NULL: none */
    struct evbuffer *held;
    size_t kept_bytes;      /* bytes of it, in the request's fetch_bytes */
    struct data_call *open; /* NULL: waits for its turn */
    uint32_t credit;        /* bytes of the answer's body that data may still send */
    unsigned status;        /* status of the answer; 0: no head yet */
    char operation[DATA_OPERATION_NAME_MAX + 1];
};

/* Opens an operation whose turn it is. 0: it is open, or over; -EAGAIN: its process is behind, or not there yet, and it waits on. */
int storage_begin(struct storage *storage);
/* Answers an operation that has waited for its turn for too long. */
void storage_give_up_waiting(struct storage *storage);
