/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the engines in tests: a folder for their files, requests from values, answers read back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/engine.h"
#include "data/kv.h"
#include "data/sql.h"
#include "proto/values.h"

#define RIG_NOW_MS INT64_C(1800000000000)
#define RIG_NOW (RIG_NOW_MS / 1000)

/* cmocka's setup and teardown of a group: a folder, whose name rig_path puts before a file's. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* Returns a path in the folder, in one of a few buffers. */
const char *rig_path(const char *name);
/* Removes all files of the folder whose name begins with that. */
void rig_remove(const char *name);
/* Returns how many files of the folder have a name that begins with that. */
unsigned rig_count_files(const char *name);

struct call {
    struct data_operation operation;
    uint8_t *body; /* u32, values, rest */
    size_t size, room;
    bool has_rest;
};

/* Starts a call of the namespace or database "main", at RIG_NOW_MS, without limits and with much time. */
void call_init(struct call *call, const char *name);
void call_done(struct call *call);
void call_add(struct call *call, enum value_kind kind, const void *data, size_t size);
void call_text(struct call *call, const char *text);
void call_statement(struct call *call, const char *text);
void call_integer(struct call *call, int64_t integer);
void call_real(struct call *call, double real);
void call_null(struct call *call);
/* After all values. */
void call_rest(struct call *call, const void *data, size_t size);

/* Runs a call; returns its status. The file must not turn out to be corrupt. */
unsigned call_kv(struct call *call, struct kv *kv);
unsigned call_sql(struct call *call, struct sql *sql);
/* Writes the sizes into the request, for a run by hand. */
struct data_operation *call_ready(struct call *call);

/* The answer: its values, its rest, or all of it as a text. */
struct values call_values(const struct call *call);
const uint8_t *call_answer_rest(const struct call *call, size_t *ret_size);
/* Returns the rest, or the text of a failure, as a terminated text, which is the call's until the next. */
const char *call_answer_text(struct call *call);

struct kv *rig_open_kv(const char *name);
struct sql *rig_open_sql(const char *name);
/* Runs one statement without parameters; its answer is copied to text. Returns the status. */
unsigned rig_query(struct sql *sql, const char *statement, char *text, size_t room);
unsigned rig_put(struct kv *kv, const char *key, const void *data, size_t size);
unsigned rig_get_size(struct kv *kv, const char *key, size_t *ret_size);
