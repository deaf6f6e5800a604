/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations of a tenant's storage over the admin socket, one at a time: requests of packed values with bytes behind them, whole answers.
 * For `skep data`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/client.h"
#include "proto/values.h"

/* Bytes in memory that grow; zero at its start. */
struct bytes {
    uint8_t *data; /* owned */
    size_t size, room;
};
/* Returns room for so many bytes more, which count; NULL: out of memory. */
uint8_t *bytes_add(struct bytes *bytes, size_t size);
void bytes_done(struct bytes *bytes);

struct storage {
    const struct cli *cli; /* borrowed, as all */
    struct client *client;
    const char *tenant;
    struct bytes arguments, answer; /* bytes of the operation at hand */
    struct values values;           /* the values of its answer */
    const uint8_t *rest;            /* bytes behind the values */
    size_t rest_size;
};
void storage_done(struct storage *storage);

/* Begins the arguments of the next operation, and adds to them. Out of memory comes out with storage_run. */
void storage_begin(struct storage *storage);
void storage_add_integer(struct storage *storage, int64_t integer);
void storage_add_null(struct storage *storage);
/* kind: as values_put_bytes. */
void storage_add_bytes(struct storage *storage, enum value_kind kind, const void *data,
                       size_t size);

struct storage_call {
    bool is_sql;
    const char *space; /* namespace or database */
    const char *operation;
    const void *rest; /* bytes behind the arguments; NULL: none */
    size_t rest_size;
};
/* Runs an operation. False: it has failed, and the reason is printed; else the answer is in storage until the next one. */
bool storage_run(struct storage *storage, const struct storage_call *call);
/* Takes the next integer or text of the answer. False: it is not there, which is printed. */
bool storage_take(struct storage *storage, enum value_kind kind, bool or_null,
                  struct value *ret_value);

/* ---- the actions of `skep data`. Each returns the exit status. */

/* output: NULL: standard output. */
int data_export(struct storage *storage, const char *output);
/* input: NULL: standard input. */
int data_import(struct storage *storage, const char *input, bool is_replaced);
/* statements: none: one from standard input. is_script: they are run by `exec`. */
int data_sql(struct storage *storage, const char *database, char *const *statements, unsigned n,
             bool is_script);

/* The word of the export's first line, whose value is the version of the format. */
#define DATA_FORMAT_KEY "skep_data"
#define DATA_FORMAT_VERSION 1
/* The name of a namespace for operations on all of them. */
#define DATA_ANY_SPACE "all"
