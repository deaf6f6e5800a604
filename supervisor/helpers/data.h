/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of skep-data, which keeps what tenants store: a helper (helper.h) whose work is streams, PROTOCOL.md "Supervisor and
 * data". There is a process for each cordon, so that a fault in one stays within its class of trust; a process is started when it is first
 * needed. Every frame is checked: a breach costs the process, never skepd. Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/limits.h"
#include "proto/head.h"
#include "supervisor/helpers/helper.h"

struct data;
struct data_call; /* one operation */

enum data_kind { DATA_KV, DATA_SQL };

/* An operation. Borrowed for the call. */
struct data_request {
    const char *tenant;
    enum data_kind kind;
    const char *space;     /* namespace or database */
    const char *operation; /* a to z and "-", at most DATA_OPERATION_NAME_MAX */
    bool has_body;
    bool is_operator; /* asked by `skep data` or a deploy, never by a tenant */
    uint32_t
        credit; /* bytes of the answer's body that may come at once; at most DATA_CREDIT_MAX_BYTES */
    const struct limits *limits;
};

/* The end of an operation: those of data.proto, and the end of the process itself. */
enum data_end {
    DATA_COMPLETE,
    DATA_BUSY,     /* too many operations */
    DATA_INTERNAL, /* a fault of the host */
    DATA_CLOSING,  /* the tenant's files are being closed */
    DATA_LOST,     /* the process has ended: whether a write was done is not known */
    DATA_ENDS,
};

/* Borrowed for the call. Figures are 0 where the process was lost. */
struct data_result {
    enum data_end end;
    struct head_text text;   /* for people, printable ASCII; empty for DATA_COMPLETE */
    uint64_t sent, received; /* bytes of the request's body, and of the answer's */
    uint64_t wait_us, total_us;
};

/* Functions of the opener, called on the loop, never inside of a function below but data_free. All are required. */
struct data_ops {
    /* The answer's head, once: 200, 404, or 400 to 599 and the body is a text. */
    void (*on_head)(void *owner, unsigned status);
    /* A part of the answer's body, within the credit. */
    void (*on_body)(void *owner, const uint8_t *data, size_t size);
    /* So many bytes more of the request's body may be sent. */
    void (*on_credit)(void *owner, uint32_t bytes);
    /* The end: the operation is gone. */
    void (*on_end)(void *owner, const struct data_result *result);
};

/* Functions of the owner of all processes. May be set later (data_listen); NULL: nobody wants to know. */
struct data_listener {
    /* Operations of that cordon may be opened again, after -EAGAIN or -EPIPE of data_open. */
    void (*on_room)(void *owner, const char *cordon);
    /* An operation of the tenant did not end, and its process was ended because of that. ms: for how long it had run. */
    void (*on_stuck)(void *owner, const char *cordon, const char *tenant, uint32_t ms);
};

struct data_options {
    unsigned number;         /* number of the program in spawner_options.programs */
    struct event_base *base; /* borrowed, like the next two */
    struct spawner *spawner;
    struct health *health;
};
/* Makes the set of processes, which is empty. 0 or -ENOMEM. */
int data_new(const struct data_options *options, struct data **ret_data);
/* Sets the listener; both are borrowed. */
void data_listen(struct data *data, const struct data_listener *listener, void *owner);

/* Opens an operation of a tenant in that cordon. The first DATA_WINDOW_BYTES of its body may be sent at once. 0; -EPIPE: the process is not
 * there (yet: it is asked for), -EAGAIN: it is behind, or has DATA_OPERATIONS_MAX operations; on_room follows both. -EINVAL: a part of the
 * request is out of its bounds; -ENOMEM. No callback follows an error. */
int data_open(struct data *data, const char *cordon, const struct data_request *request,
              const struct data_ops *ops, void *owner, struct data_call **ret_call);
/* Sends more of the body: never more than there is credit for, not after the end, and not nothing but the end. Failures come as
 * on_end. */
void data_send_body(struct data_call *call, const uint8_t *bytes, size_t size, bool is_end);
/* Lets more of the answer come; all credit that is open is at most DATA_CREDIT_MAX_BYTES. */
void data_give_credit(struct data_call *call, uint32_t bytes);
/* Gives the operation up, which is gone; nothing is called for it any more. A write may be done all the same. */
void data_cancel(struct data_call *call);

/* Reports the result of data_close_tenant: 0; -EIO: not all was removed, as a line in the log says; -EPIPE: the process has
 * ended or does not start; -ETIMEDOUT. */
typedef void (*data_closed_fn)(void *owner, int error);
/* Has all files of the tenant closed, and its folder removed if is_removed, by the cordon's process, which is started if need be. The
 * answer comes later by on_closed, once, within DATA_CLOSE_MS; operations of the tenant end before. 0 or -ENOMEM. */
#define DATA_CLOSE_MS 10000
int data_close_tenant(struct data *data, const char *cordon, const char *tenant, bool is_removed,
                      data_closed_fn on_closed, void *owner);
/* Takes that owner's on_closed back. data: NULL is allowed. */
void data_forget(struct data *data, const void *owner);

/* Ends processes that nobody uses, of cordons that are not wanted any more. is_wanted: called for each cordon that has a process. */
void data_end_unwanted(struct data *data, bool (*is_wanted)(void *owner, const char *cordon),
                       void *owner);

/* Has all processes, with those of later, share the folder with those of another skepd: files are open for moments only, and operations wait for
 * those that the other one has. data: NULL is allowed. */
void data_share(struct data *data, bool is_on);
/* Returns whether that is so. data: NULL is allowed. */
bool data_is_shared(const struct data *data);

bool data_is_ready(const struct data *data, const char *cordon);
/* Returns the number of open operations, with those that were cancelled and have not ended yet. NULL: 0. */
unsigned data_count(const struct data *data);

/* Ends all operations with DATA_LOST, then the processes. NULL is allowed. Returns NULL. */
struct data *data_free(struct data *data);
