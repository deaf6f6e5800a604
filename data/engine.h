/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operation as an engine (kv.h, sql.h) gets and answers it: one operation, run whole in one thread. The loop thread makes the operation
 * and frees it; in between one thread of the pool has it. An engine knows neither frames nor other tenants.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct data_limits { /* as Limits in data.proto; UINT32_MAX: none */
    uint32_t storage_rate, kv_mib, kv_keys, kv_value_mib, sql_mib, sql_ms, sql_rows_mib;
};

/* Bytes of an answer, up to a bound. */
struct data_answer {
    uint8_t *data; /* owned */
    size_t size, room;
    size_t most; /* set by who makes it */
};
/* Returns room for so many bytes more, which data_answer_add counts, or NULL: out of memory, or over the bound (errno: ENOMEM or
 * EFBIG). */
uint8_t *data_answer_reserve(struct data_answer *answer, size_t size);
/* 0, -EFBIG or -ENOMEM. */
int data_answer_add(struct data_answer *answer, const void *data, size_t size);
void data_answer_done(struct data_answer *answer);

struct data_operation {
    const char *name;       /* "get"; borrowed */
    const char *space;      /* namespace or database; borrowed */
    const uint8_t *request; /* the whole body; borrowed */
    size_t request_size;
    struct data_limits limits;
    int64_t now_ms;           /* wall clock at the start, since 1970 */
    uint64_t deadline_ns;     /* by io_now_ns */
    atomic_bool is_cancelled; /* set by the loop thread: nobody wants the answer */
    bool is_operator;         /* asked by the operator (`skep data`), not by the tenant */
    /* The result. */
    unsigned status; /* 200, 404, or 400 and up with a text as the answer */
    struct data_answer answer;
    bool is_changed;  /* the operation has written, and its commit is on the disk */
    char notice[512]; /* a line for the operator; "": none */
};

/* Makes the operation fail with a status and a text, for engines. The answer so far is dropped. */
void data_fail(struct data_operation *operation, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
