/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation: its request is gathered whole, its lane has a thread run it, its answer goes out as there is credit. All bytes in memory
 * are counted, and an operation that would be over the bounds fails at once instead of waiting with what it has: nothing can wait for
 * each other. Loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "data/internal.h"
#include "helper/helper.h"
#include "proto/frame.h"

#define MIB ((size_t) 1 << 20)
#define ARGUMENTS_MAX_BYTES (64U << 10) /* a request, besides a value or statements */
#define SQL_REQUEST_MAX_BYTES (8 * MIB) /* statements and their parameters */
#define OTHER_REQUEST_MAX_BYTES MIB     /* requests without a value */
#define VALUE_UNLIMITED_MIB 47          /* kv_value_mib and sql_rows_mib: none */
#define COPY_VALUE_MIB 25               /* for a value in a copy: what kv_value_mib is at first */
#define GRANT_BYTES (DATA_WINDOW_BYTES / 4) /* credit for less is not given back */
#define BUSY SKEP__DATA__FAILURE__FAILURE_BUSY
#define NO_MEMORY "the data process has too many bytes of this tenant, or in all"

static bool is_sql(const struct operation *operation)
{
    return operation->lane->kind == SKEP__DATA__KIND__KIND_SQL;
}

/* ---- memory */

/* Returns whether a tenant may have so many bytes when all have so many: the fuller it is, the less one tenant may have for what is large. */
static bool may_have(size_t of_operation, size_t of_tenant, size_t of_all)
{
    return of_tenant <= DATA_TENANT_BYTES_MAX && of_all <= DATA_BYTES_MAX &&
           (of_operation <= DATA_SMALL_BYTES || of_tenant <= DATA_TENANT_BYTES_LEAST ||
            of_tenant <= DATA_BYTES_MAX - of_all);
}

bool operation_count(struct data *data, struct operation *operation, size_t bytes)
{
    struct tenant *tenant = operation->tenant;

    if (bytes > operation->n_bytes && !may_have(bytes, tenant->n_bytes - operation->n_bytes + bytes,
                                                data->n_bytes - operation->n_bytes + bytes))
        return false;
    tenant->n_bytes += bytes - operation->n_bytes;
    data->n_bytes += bytes - operation->n_bytes;
    operation->n_bytes = bytes;
    return true;
}

static size_t mib(uint32_t limit)
{
    return (limit < VALUE_UNLIMITED_MIB ? limit : VALUE_UNLIMITED_MIB) * MIB;
}

static size_t request_max(const struct operation *operation)
{
    if (is_sql(operation))
        return SQL_REQUEST_MAX_BYTES + ARGUMENTS_MAX_BYTES;
    return strcmp(operation->name, "put") == 0 || strcmp(operation->name, "import") == 0
               ? mib(operation->run.limits.kv_value_mib) + ARGUMENTS_MAX_BYTES
               : OTHER_REQUEST_MAX_BYTES;
}

/* Returns the most that the answer may have. */
static size_t answer_max(const struct operation *operation)
{
    const struct data_limits *limits = &operation->run.limits;
    uint32_t most = is_sql(operation) ? limits->sql_rows_mib : limits->kv_value_mib;

    /* A copy has values of any time, also larger ones than the tenant may put now. */
    if (operation_is_copy(operation) && most < COPY_VALUE_MIB)
        most = COPY_VALUE_MIB;
    return mib(most) + MIB;
}

size_t operation_need(const struct operation *operation)
{
    bool is_all = is_sql(operation) || operation->is_large;

    return operation->room + (is_all ? answer_max(operation) : DATA_ANSWER_FIRST);
}

bool operation_is_copy(const struct operation *operation)
{
    return operation->run.is_operator && strcmp(operation->name, "query") != 0 &&
           strcmp(operation->name, "exec") != 0;
}

/* ---- the end */

static struct operation_bucket *bucket_of(struct data *data, uint64_t id)
{
    return &data->operations[id % DATA_BUCKETS];
}

struct operation *operation_find(const struct data *data, const struct helper_client *client,
                                 uint64_t id)
{
    struct operation *operation;

    LIST_FOREACH (operation, &data->operations[id % DATA_BUCKETS], bucket)
        if (operation->id == id && operation->client == client)
            break;
    return operation;
}

/* Frees an operation that no thread and no list has. */
static void operation_free(struct data *data, struct operation *operation)
{
    (void) operation_count(data, operation, 0);
    operation->tenant->n_operations--;
    data->n_operations--;
    data_answer_done(&operation->run.answer);
    free(operation->body);
    free(operation);
}

static void send_done(struct data *data, const struct operation *operation,
                      Skep__Data__Failure failure, const char *text)
{
    Skep__Data__Done done = SKEP__DATA__DONE__INIT;
    const uint64_t now = io_now_ns(), began = operation->opened_ns;

    done.id = operation->id;
    done.failure = failure;
    done.text = frame_text(text);
    done.received = operation->received;
    done.sent = operation->sent;
    done.wait_us =
        ((operation->started_ns > 0 ? operation->started_ns : now) - began) / NSEC_PER_USEC;
    done.total_us = (now - began) / NSEC_PER_USEC;
    frame_done(data, operation->client, &done);
}

/* Takes an operation out of the list of its phase. */
static void leave_list(struct data *data, struct operation *operation)
{
    struct operation_list *const lists[] = {
        [OPERATION_GATHERING] = &data->gathering,
        [OPERATION_WAITING] = &operation->lane->waiting,
        [OPERATION_ANSWERING] = &data->answering,
    };

    TAILQ_REMOVE(lists[operation->phase], operation, entry);
    if (operation->phase == OPERATION_WAITING)
        lane_check(operation->lane);
}

void operation_end(struct data *data, struct operation *operation, Skep__Data__Failure failure,
                   const char *text)
{
    send_done(data, operation, failure, text);
    LIST_REMOVE(operation, bucket);
    operation->client = NULL;
    if (operation->phase == OPERATION_RUNNING) {
        atomic_store(&operation->run.is_cancelled, true);
        if (is_sql(operation)) /* alone in its job */
            job_interrupt(&operation->lane->job);
        return;
    }
    leave_list(data, operation);
    operation_free(data, operation);
}

/* ---- the answer */

/* Sends the part of an answer for which there is credit. False: there is no more of the answer, and the operation is gone. */
static bool send_part(struct data *data, struct operation *operation)
{
    const struct data_answer *answer = &operation->run.answer;
    size_t left = answer->size - operation->sent;
    size_t part = left < operation->credit ? left : operation->credit;

    part = part < ANSWER_CHUNK_MAX_BYTES ? part : ANSWER_CHUNK_MAX_BYTES;
    if (!operation->is_head_sent)
        frame_head(data, operation->client, operation->id, operation->run.status);
    operation->is_head_sent = true;
    if (part > 0)
        frame_body(data, operation->client, operation->id, answer->data + operation->sent, part);
    operation->sent += part;
    operation->credit -= (uint32_t) part;
    if (operation->sent < answer->size)
        return true;
    operation_end(data, operation, SKEP__DATA__FAILURE__FAILURE_NONE, "");
    return false;
}

static bool can_send(const struct operation *operation)
{
    return !helper_client_is_congested(operation->client) &&
           (operation->credit > 0 || !operation->is_head_sent ||
            operation->sent == operation->run.answer.size);
}

/* Sends as much of an answer as may be. The operation may be gone afterwards. */
static void pass(struct data *data, struct operation *operation)
{
    while (can_send(operation) && send_part(data, operation))
        ;
}

/* Begins to answer an operation that is in no list. */
static void answer(struct data *data, struct operation *operation)
{
    operation->phase = OPERATION_ANSWERING;
    operation->answered_ns = io_now_ns();
    free(TAKE_PTR(operation->body));
    operation->room = 0;
    (void) operation_count(data, operation, 0);
    operation->n_bytes = operation->run.answer.room;
    operation->tenant->n_bytes += operation->n_bytes;
    data->n_bytes += operation->n_bytes;
    TAILQ_INSERT_TAIL(&data->answering, operation, entry);
    pass(data, operation);
}

/* One part of each answer at a time, so that none waits for all of another one. */
void operations_on_drained(struct data *data, const struct helper_client *client)
{
    bool is_any = true;

    while (is_any) {
        is_any = false;
        for (struct operation *operation = TAILQ_FIRST(&data->answering), *next; operation;
             operation = next) {
            next = TAILQ_NEXT(operation, entry);
            if (operation->client == client && can_send(operation))
                is_any |= send_part(data, operation) && operation->credit > 0;
        }
    }
    lanes_schedule(data);
}

int operation_on_credit(struct data *data, struct operation *operation, uint32_t bytes)
{
    if (bytes > DATA_CREDIT_MAX_BYTES - operation->credit)
        return -EPROTO;
    operation->credit += bytes;
    if (operation->phase == OPERATION_ANSWERING) {
        pass(data, operation);
        lanes_schedule(data);
    }
    return 0;
}

/* ---- back from a thread */

bool operation_is_to_run_again(struct operation *operation)
{
    struct data_operation *run = &operation->run;

    if (is_sql(operation) || operation->is_large || run->status != 413 || run->is_changed ||
        !operation->client || tenant_is_closing(operation->tenant))
        return false;
    data_answer_done(&run->answer);
    run->answer = (struct data_answer){ .data = NULL };
    run->status = 0;
    operation->is_large = true;
    operation->phase = OPERATION_WAITING;
    operation->progress_ns = io_now_ns();
    return true;
}

bool operation_is_to_wait_again(struct operation *operation)
{
    if (!operation->client || tenant_is_closing(operation->tenant))
        return false;
    operation->phase = OPERATION_WAITING;
    return true;
}

/* Ends an operation that is in no list. */
static void end_returned(struct data *data, struct operation *operation,
                         Skep__Data__Failure failure, const char *text)
{
    operation->phase = OPERATION_ANSWERING;
    TAILQ_INSERT_TAIL(&data->answering, operation, entry);
    operation_end(data, operation, failure, text);
}

/* Fails an operation whose file could not be opened. */
static void fail_to_open(struct data *data, struct operation *operation, int error)
{
    char text[128];

    if (error == -ENOSPC || error == -EDQUOT) {
        data_fail(&operation->run, 507, "the disk of the data process is full");
        answer(data, operation);
        return;
    }
    (void) snprintf(text, sizeof text, "cannot open the tenant's file: %s",
                    error == -EBUSY ? "another data process has it" : strerrordesc_np(-error));
    end_returned(data, operation, error == -EBUSY ? BUSY : SKEP__DATA__FAILURE__FAILURE_INTERNAL,
                 text);
}

void operation_on_returned(struct data *data, struct operation *operation, const struct job *job)
{
    struct data_operation *run = &operation->run;
    const bool is_closing = tenant_is_closing(operation->tenant);

    if (run->notice[0] != '\0')
        frame_notice(data, operation->tenant->name, run->notice);
    if (!operation->client) {
        operation_free(data, operation);
        return;
    }
    if (job->error < 0) {
        fail_to_open(data, operation, job->error);
        return;
    }
    if (job->is_overdue && run->status != 200 && run->status != 504)
        data_fail(run, 504, "the operation took longer than it may");
    if (is_closing && run->status != 200)
        end_returned(data, operation, SKEP__DATA__FAILURE__FAILURE_CLOSED,
                     "the tenant's files are being closed");
    else if (run->status == 0)
        end_returned(data, operation, SKEP__DATA__FAILURE__FAILURE_INTERNAL,
                     "the engine has no result");
    else
        answer(data, operation);
}

/* ---- the request */

/* Answers an operation that was not run; more of its request may still come, and is dropped. */
static void refuse(struct data *data, struct operation *operation, unsigned status,
                   const char *text)
{
    leave_list(data, operation);
    operation->run.answer.most = ARGUMENTS_MAX_BYTES;
    data_fail(&operation->run, status, "%s", text);
    answer(data, operation);
}

/* Makes room for more of the request. 0, -ENOBUFS: too many bytes of all, or -ENOMEM. */
static int make_room(struct data *data, struct operation *operation, size_t more, bool is_end)
{
    size_t need = operation->size + more, twice = 2 * operation->room;
    size_t room = is_end || need > twice ? need : twice;

    if (need <= operation->room)
        return 0;
    if (!is_end && room < DATA_WINDOW_BYTES)
        room = DATA_WINDOW_BYTES;
    if (room > operation->most)
        room = operation->most;
    if (!operation_count(data, operation, room + (is_end ? 0 : DATA_WINDOW_BYTES)))
        return -ENOBUFS;
    uint8_t *body = realloc(operation->body, room);
    if (!body)
        return -ENOMEM;
    operation->body = body;
    operation->room = room;
    return 0;
}

/* Lets skepd send as much as has come. */
static void grant(struct data *data, struct operation *operation)
{
    uint64_t due = operation->received - operation->granted;

    if (operation->is_body_ended || due < GRANT_BYTES)
        return;
    operation->granted = operation->received;
    operation->window += (uint32_t) due;
    frame_credit(data, operation->client, operation->id, (uint32_t) due);
}

static void wait_for_thread(struct data *data, struct operation *operation)
{
    TAILQ_REMOVE(&data->gathering, operation, entry);
    operation->phase = OPERATION_WAITING;
    (void) operation_count(data, operation, operation->room);
    TAILQ_INSERT_TAIL(&operation->lane->waiting, operation, entry);
    lane_check(operation->lane);
    lanes_schedule(data);
}

static void gather(struct data *data, struct operation *operation, const Skep__Stream__Body *body)
{
    const size_t size = body->data.len;

    if (size > operation->most - operation->size) {
        refuse(data, operation, 413, "the request is larger than the operation's may be");
        return;
    }
    int r = make_room(data, operation, size, body->end);
    if (r < 0) {
        operation_end(data, operation, r == -ENOBUFS ? BUSY : SKEP__DATA__FAILURE__FAILURE_INTERNAL,
                      r == -ENOBUFS ? NO_MEMORY : "out of memory");
        return;
    }
    if (size > 0)
        memcpy(operation->body + operation->size, body->data.data, size);
    operation->size += size;
    operation->progress_ns = io_now_ns();
    if (body->end)
        wait_for_thread(data, operation);
    else
        grant(data, operation);
}

int operation_on_body(struct data *data, struct operation *operation,
                      const Skep__Stream__Body *body)
{
    if (!operation->has_body || operation->is_body_ended || body->data.len > operation->window ||
        (body->data.len == 0 && !body->end))
        return -EPROTO;
    operation->window -= (uint32_t) body->data.len;
    operation->received += body->data.len;
    operation->is_body_ended = body->end;
    if (operation->phase == OPERATION_GATHERING)
        gather(data, operation, body);
    return 0;
}

/* ---- Open */

/* Copies a name; false: it is longer than it may be, or has a NUL. */
static bool copy_name(ProtobufCBinaryData from, char *to, size_t size)
{
    if (from.len >= size || (from.len > 0 && memchr(from.data, '\0', from.len)))
        return false;
    if (from.len > 0)
        memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

static bool operation_name_is_valid(const char *name)
{
    return name[0] != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyz-") == strlen(name);
}

/* Checks an Open, and reads the names in it. 0 or -EPROTO. */
static int read_open(const Skep__Data__Open *open, struct operation *operation,
                     char tenant[static NAME_MAX_BYTES + 1])
{
    bool is_right = copy_name(open->tenant, tenant, NAME_MAX_BYTES + 1) && name_is_valid(tenant);

    is_right &= copy_name(open->space, operation->space, sizeof operation->space) &&
                name_is_valid(operation->space);
    is_right &= copy_name(open->operation, operation->name, sizeof operation->name) &&
                operation_name_is_valid(operation->name);
    is_right &= open->kind == SKEP__DATA__KIND__KIND_KV || open->kind == SKEP__DATA__KIND__KIND_SQL;
    return is_right && open->credit <= DATA_CREDIT_MAX_BYTES && open->limits ? 0 : -EPROTO;
}

static struct data_limits limits_of(const Skep__Data__Limits *limits)
{
    return (struct data_limits){
        .storage_rate = limits->storage_rate,
        .kv_mib = limits->kv_mib,
        .kv_keys = limits->kv_keys,
        .kv_value_mib = limits->kv_value_mib,
        .sql_mib = limits->sql_mib,
        .sql_ms = limits->sql_ms,
        .sql_rows_mib = limits->sql_rows_mib,
    };
}

/* Fills in an operation of which the names are set. */
static void prepare(struct operation *operation, const Skep__Data__Open *open)
{
    operation->lane = &operation->tenant->lanes[open->kind == SKEP__DATA__KIND__KIND_SQL];
    operation->opened_ns = operation->progress_ns = io_now_ns();
    operation->has_body = open->has_body;
    operation->is_body_ended = !open->has_body;
    operation->window = open->has_body ? DATA_WINDOW_BYTES : 0;
    operation->credit = open->credit;
    operation->run.name = operation->name;
    operation->run.space = operation->space;
    operation->run.limits = limits_of(open->limits);
    operation->run.is_operator = open->is_operator;
    operation->most = request_max(operation);
}

/* Fails an operation of which there is no state: no memory, or too many. */
static int fail_open(struct data *data, struct helper_client *client, uint64_t id,
                     Skep__Data__Failure failure, const char *text)
{
    Skep__Data__Done done = SKEP__DATA__DONE__INIT;

    done.id = id;
    done.failure = failure;
    done.text = frame_text(text);
    frame_done(data, client, &done);
    return 0;
}

/* Lets an operation begin, whose state is made and in the list of those that are gathered. */
static void begin(struct data *data, struct operation *operation)
{
    struct tenant *tenant = operation->tenant;

    if (tenant_is_closing(tenant))
        operation_end(data, operation, SKEP__DATA__FAILURE__FAILURE_CLOSED,
                      "the tenant's files are being closed");
    else if (tenant->n_operations > DATA_TENANT_OPERATIONS_MAX)
        operation_end(data, operation, BUSY, "too many operations of this tenant");
    else if (!operation->run.is_operator &&
             !tenant_take_rate(tenant, operation->run.limits.storage_rate, operation->opened_ns))
        refuse(data, operation, 429, "more operations a second than storage_rate allows");
    else if (!operation_count(data, operation, operation->has_body ? DATA_WINDOW_BYTES : 0))
        operation_end(data, operation, BUSY, NO_MEMORY);
    else if (!operation->has_body)
        wait_for_thread(data, operation);
}

int operation_open(struct data *data, struct helper_client *client, const Skep__Data__Open *open)
{
    _cleanup_free_ struct operation *operation = calloc(1, sizeof *operation);
    char tenant[NAME_MAX_BYTES + 1];

    if (!operation)
        return fail_open(data, client, open->id, SKEP__DATA__FAILURE__FAILURE_INTERNAL,
                         "out of memory");
    if (read_open(open, operation, tenant) < 0)
        return -EPROTO;
    operation->tenant = data->n_operations < DATA_OPERATIONS_MAX ? tenant_get(data, tenant) : NULL;
    if (!operation->tenant)
        return fail_open(data, client, open->id, BUSY, "too many operations or tenants in all");
    operation->id = open->id;
    operation->client = client;
    prepare(operation, open);
    operation->tenant->n_operations++;
    data->n_operations++;
    LIST_INSERT_HEAD(bucket_of(data, open->id), operation, bucket);
    TAILQ_INSERT_TAIL(&data->gathering, operation, entry);
    begin(data, TAKE_PTR(operation));
    return 0;
}

/* ---- many */

/* Ends those of all operations for which `is_of` holds. */
static void end_all(struct data *data, bool (*is_of)(const struct operation *, const void *),
                    const void *whose, Skep__Data__Failure failure, const char *text)
{
    for (size_t i = 0; i < DATA_BUCKETS; i++)
        for (struct operation *operation = LIST_FIRST(&data->operations[i]), *next; operation;
             operation = next) {
            next = LIST_NEXT(operation, bucket);
            if (is_of(operation, whose))
                operation_end(data, operation, failure, text);
        }
}

static bool is_of_client(const struct operation *operation, const void *client)
{
    return operation->client == client;
}

void operations_on_left(struct data *data, const struct helper_client *client)
{
    end_all(data, is_of_client, client, SKEP__DATA__FAILURE__FAILURE_CANCELLED, "");
    lanes_schedule(data);
}

/* Those that run end by themselves or are interrupted, and answers are on their way. */
static bool is_before_run(const struct operation *operation, const void *tenant)
{
    return operation->tenant == tenant && operation->phase < OPERATION_RUNNING;
}

void operations_on_close(struct data *data, const struct tenant *tenant)
{
    end_all(data, is_before_run, tenant, SKEP__DATA__FAILURE__FAILURE_CLOSED,
            "the tenant's files are being closed");
}

static bool is_late(const struct operation *operation, const void *now_ns)
{
    return operation->phase < OPERATION_RUNNING &&
           operation->progress_ns + DATA_WAIT_NS <= *(const uint64_t *) now_ns;
}

/* Returns whether an operation, of which bytes wait for its tenant, has had its time. */
static bool has_held(const struct operation *operation, uint64_t now_ns)
{
    const uint64_t since_ns =
        operation->phase == OPERATION_ANSWERING ? operation->answered_ns : operation->opened_ns;

    return operation->n_bytes > 0 && since_ns + DATA_HOLD_NS <= now_ns;
}

/* Finds, of the tenant with the most bytes, the first operation of a list that has held its own for too long. */
static struct operation *find_holder(struct operation_list *list, struct operation *found,
                                     uint64_t now_ns)
{
    struct operation *operation;

    TAILQ_FOREACH (operation, list, entry)
        if (has_held(operation, now_ns) &&
            (!found || operation->tenant->n_bytes > found->tenant->n_bytes))
            found = operation;
    return found;
}

/* Makes room: otherwise some tenants that read nothing would keep all others waiting. */
static void end_holders(struct data *data, uint64_t now_ns)
{
    struct operation *operation;

    while (data->n_bytes > DATA_BYTES_SHORT) {
        operation = find_holder(&data->gathering, NULL, now_ns);
        operation = find_holder(&data->answering, operation, now_ns);
        if (!operation)
            return;
        operation_end(data, operation, BUSY,
                      operation->phase == OPERATION_ANSWERING
                          ? "the answer was read too slowly, and others need its memory"
                          : "the request was sent too slowly, and others need its memory");
    }
}

void operations_check_times(struct data *data, uint64_t now_ns)
{
    end_all(
        data, is_late, &now_ns, BUSY,
        "nothing more of the request has come, or no thread, file or memory was free, for 30 s");
    end_holders(data, now_ns);
}

void operations_free_all(struct data *data)
{
    end_all(data, is_late, &(const uint64_t){ UINT64_MAX }, BUSY, "");
    for (struct operation *operation; (operation = TAILQ_FIRST(&data->answering));)
        operation_end(data, operation, SKEP__DATA__FAILURE__FAILURE_CANCELLED, "");
}
