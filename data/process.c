/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process: frames in and out, its start and its end. Loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "data/database.h"
#include "data/internal.h"
#include "helper/helper.h"
#include "sandbox-policy/policy.h"

/* A buffer of so many bytes is the kernel's again once it is freed. */
#define MMAP_BYTES (256 << 10)

/* ---- frames to skepd */

static void send_frame(const struct data *data, struct helper_client *client,
                       const Skep__Data__FromData *frame)
{
    if (client && data->stuck_ns == 0)
        (void) helper_send(client, &frame->base);
}

ProtobufCBinaryData frame_text(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

void frame_head(struct data *data, struct helper_client *client, uint64_t id, uint32_t status)
{
    Skep__Data__Head head = SKEP__DATA__HEAD__INIT;
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;

    head.id = id;
    head.status = status;
    frame.message_case = SKEP__DATA__FROM_DATA__MESSAGE_HEAD;
    frame.head = &head;
    send_frame(data, client, &frame);
}

void frame_body(struct data *data, struct helper_client *client, uint64_t id, const uint8_t *bytes,
                size_t size)
{
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;

    body.id = id;
    body.data = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) bytes, .len = size };
    frame.message_case = SKEP__DATA__FROM_DATA__MESSAGE_BODY;
    frame.body = &body;
    send_frame(data, client, &frame);
}

void frame_credit(struct data *data, struct helper_client *client, uint64_t id, uint32_t bytes)
{
    Skep__Stream__Credit credit = SKEP__STREAM__CREDIT__INIT;
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;

    credit.id = id;
    credit.bytes = bytes;
    frame.message_case = SKEP__DATA__FROM_DATA__MESSAGE_CREDIT;
    frame.credit = &credit;
    send_frame(data, client, &frame);
}

void frame_done(struct data *data, struct helper_client *client, const Skep__Data__Done *done)
{
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;

    frame.message_case = SKEP__DATA__FROM_DATA__MESSAGE_DONE;
    frame.done = (Skep__Data__Done *) (uintptr_t) done;
    send_frame(data, client, &frame);
}

void frame_closed(struct data *data, struct helper_client *client, uint64_t id, bool has_failed)
{
    Skep__Data__Closed closed = SKEP__DATA__CLOSED__INIT;
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;

    closed.id = id;
    closed.failed = has_failed;
    frame.message_case = SKEP__DATA__FROM_DATA__MESSAGE_CLOSED;
    frame.closed = &closed;
    send_frame(data, client, &frame);
}

void frame_notice(struct data *data, const char *tenant, const char *text)
{
    Skep__Data__Notice notice = SKEP__DATA__NOTICE__INIT;
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;
    char printable[512];

    (void) snprintf(printable, sizeof printable, "%s", text);
    for (char *at = printable; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    notice.tenant = frame_text(tenant);
    notice.text = frame_text(printable);
    frame.message_case = SKEP__DATA__FROM_DATA__MESSAGE_NOTICE;
    frame.notice = &notice;
    send_frame(data, data->client, &frame);
}

void frame_stuck(struct data *data, const char *tenant, uint32_t ms)
{
    Skep__Data__Stuck stuck = SKEP__DATA__STUCK__INIT;
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;

    stuck.tenant = frame_text(tenant);
    stuck.ms = ms;
    frame.message_case = SKEP__DATA__FROM_DATA__MESSAGE_STUCK;
    frame.stuck = &stuck;
    if (data->client)
        (void) helper_answer(data->client,
                             &frame.base); /* written now, as far as the socket takes it */
}

/* ---- frames from skepd */

static struct data *data_of(struct helper_client *client)
{
    struct data *data = helper_owner(client);

    data->client = client;
    return data;
}

static int on_open(void *client, const ProtobufCMessage *message)
{
    const Skep__Data__Open *open = (const Skep__Data__Open *) message;

    return helper_take_id(client, open->id) ? operation_open(data_of(client), client, open)
                                            : -EPROTO;
}

/* Finds the operation of a frame. *ret_operation: NULL if it is over, which skepd need not know yet. 0 or -EPROTO. */
static int find(struct helper_client *client, uint64_t id, struct operation **ret_operation)
{
    *ret_operation = operation_find(data_of(client), client, id);
    return *ret_operation || helper_had_id(client, id) ? 0 : -EPROTO;
}

static int on_body(void *client, const ProtobufCMessage *message)
{
    const Skep__Stream__Body *body = (const Skep__Stream__Body *) message;
    struct operation *operation;
    int r = find(client, body->id, &operation);

    return operation ? operation_on_body(data_of(client), operation, body) : r;
}

static int on_credit(void *client, const ProtobufCMessage *message)
{
    const Skep__Stream__Credit *credit = (const Skep__Stream__Credit *) message;
    struct operation *operation;
    int r = find(client, credit->id, &operation);

    return operation ? operation_on_credit(data_of(client), operation, credit->bytes) : r;
}

static int on_cancel(void *client, const ProtobufCMessage *message)
{
    struct operation *operation;
    int r = find(client, ((const Skep__Stream__Cancel *) message)->id, &operation);

    if (!operation)
        return r;
    operation_end(data_of(client), operation, SKEP__DATA__FAILURE__FAILURE_CANCELLED, "cancelled");
    lanes_schedule(data_of(client));
    return 0;
}

static int on_close(void *client, const ProtobufCMessage *message)
{
    const Skep__Data__Close *close = (const Skep__Data__Close *) message;
    char name[NAME_MAX_BYTES + 1] = "";

    if (!helper_take_id(client, close->id) || close->tenant.len >= sizeof name ||
        (close->tenant.len > 0 && memchr(close->tenant.data, '\0', close->tenant.len)))
        return -EPROTO;
    if (close->tenant.len > 0)
        memcpy(name, close->tenant.data, close->tenant.len);
    return name_is_valid(name)
               ? tenant_close(data_of(client), client, close->id, name, close->remove)
               : -EPROTO;
}

static int on_share(void *client, const ProtobufCMessage *message)
{
    struct data *data = data_of(client);

    share_set(data, ((const Skep__Data__Share *) message)->is_on);
    lanes_schedule(data);
    return 0;
}

static int on_ping(void *client, const ProtobufCMessage *message)
{
    Skep__Stream__Pong pong = SKEP__STREAM__PONG__INIT;
    Skep__Data__FromData frame = SKEP__DATA__FROM_DATA__INIT;

    (void) message;
    frame.message_case = SKEP__DATA__FROM_DATA__MESSAGE_PONG;
    frame.pong = &pong;
    send_frame(data_of(client), client, &frame);
    return 0;
}

static const struct channel_rule rules[] = {
    [SKEP__DATA__TO_DATA__MESSAGE_OPEN] = { 1, on_open },
    [SKEP__DATA__TO_DATA__MESSAGE_BODY] = { 1, on_body },
    [SKEP__DATA__TO_DATA__MESSAGE_CREDIT] = { 1, on_credit },
    [SKEP__DATA__TO_DATA__MESSAGE_CANCEL] = { 1, on_cancel },
    [SKEP__DATA__TO_DATA__MESSAGE_CLOSE] = { 1, on_close },
    [SKEP__DATA__TO_DATA__MESSAGE_PING] = { 1, on_ping },
    [SKEP__DATA__TO_DATA__MESSAGE_SHARE] = { 1, on_share },
};

static const struct channel_table requests = {
    .envelope = &skep__data__to_data__descriptor,
    .case_offset = offsetof(Skep__Data__ToData, message_case),
    .value_offset = offsetof(Skep__Data__ToData, open),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* ---- start and end */

/* Starts SQLite, which reads its seed of random numbers from a device now. */
static int start_engines(void)
{
    uint8_t byte;

    int r = database_start();
    sqlite3_randomness(sizeof byte, &byte);
    return r;
}

/* Makes the cordon's folder, durably, and makes it the working folder: confinement leaves nothing else. */
static int enter_cordon(void *owner, struct helper_words *ret)
{
    const struct data *data = owner;

    if (!data->cordon || !name_is_valid(data->cordon)) {
        (void) snprintf(ret->error, sizeof ret->error, "--cordon: expected %s", name_expected);
        return -EINVAL;
    }
    (void) umask(0077); /* SQLite makes files of mode 0644 */
    int r = mkdir(data->cordon, 0700) < 0 && errno != EEXIST ? -errno : 0;
    if (r == 0) {
        _cleanup_fd_ int top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = top < 0 || fsync(top) < 0 || chdir(data->cordon) < 0 ? -errno : 0;
    }
    if (r == 0)
        r = start_engines();
    if (r < 0)
        (void) snprintf(ret->error, sizeof ret->error, "cannot use the folder %s: %s", data->cordon,
                        strerrordesc_np(-r));
    return r;
}

static int start_threads(void *owner)
{
    struct data *data = owner;

    /* With a bound glibc does not ask how many processors there are, which the filter refuses. */
    (void) mallopt(M_ARENA_MAX, DATA_THREADS / 2);
    /* Else glibc raises this bound to 32 MiB when the first large value is freed, and keeps what is freed from then on. */
    (void) mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
    return threads_start(DATA_THREADS, &data->threads);
}

static void on_returned(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    lanes_take_back(arg);
    lanes_schedule(arg);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct data *data = arg;

    (void) fd;
    (void) what;
    watch_look(data);
    watch_sweep(data);
    lanes_schedule(data);
    watch_arm(data);
}

static void on_share_look(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    share_look(arg);
    lanes_schedule(arg);
}

static int attach(void *owner, struct event_base *base, struct helper_words *ret)
{
    struct data *data = owner;

    (void) ret;
    data->base = base;
    data->watch = evtimer_new(base, on_watch, data);
    data->share = evtimer_new(base, on_share_look, data);
    data->returned =
        event_new(base, threads_fd(data->threads), EV_READ | EV_PERSIST, on_returned, data);
    return !data->watch || !data->share || !data->returned || event_add(data->returned, NULL) < 0
               ? -ENOMEM
               : 0;
}

static void on_left(void *owner, struct helper_client *client)
{
    struct data *data = owner;

    data->client = data->client == client ? NULL : data->client;
    operations_on_left(data, client);
    tenants_on_left(data, client);
}

static void on_drained(void *owner, struct helper_client *client)
{
    operations_on_drained(owner, client);
}

/* Ends the threads. Jobs that nobody wants are interrupted, and a thread that does not return then is none whose end would be worth the
 * wait: nothing that was acknowledged is lost. */
static void stop_threads(struct data *data)
{
    if (!data->threads)
        return;
    (void) lanes_check_times(data, io_now_ns());
    if (threads_stop(data->threads, DATA_STUCK_MS) < 0)
        _exit(1);
    lanes_take_back(data);
    data->threads = threads_free(data->threads);
}

static void stop(void *owner)
{
    struct data *data = owner;

    operations_free_all(data);
    stop_threads(data);
    tenants_free_all(data);
    if (data->watch)
        event_free(data->watch);
    if (data->share)
        event_free(data->share);
    if (data->returned)
        event_free(data->returned);
}

static const char usage[] =
    "Usage: skep-data --cordon=NAME\n"
    "Keeps what the tenants of a cordon store. It is started by skepd, and not by hand.\n\n"
    "  --cordon=NAME  folder of the cordon, below that of all data\n"
    "  --help         print this\n"
    "  --version      print the version\n";

static const char *const options[] = { DATA_OPTION_CORDON, NULL };

void data_program_init(struct data *data, struct helper_program *ret_program)
{
    data->kv_ms = DATA_KV_MS;
    TAILQ_INIT(&data->gathering);
    TAILQ_INIT(&data->answering);
    TAILQ_INIT(&data->ready);
    TAILQ_INIT(&data->running);
    TAILQ_INIT(&data->paused);
    TAILQ_INIT(&data->files);
    *ret_program = (struct helper_program){
        .name = DATA_HELPER_NAME,
        .version = DATA_VERSION,
        .requests = &requests,
        .tails = &data_tails,
        .calls = &policy_data_table,
        .folder_use = CONFINE_KEEP,
        .has_folder = true,
        .socket_bytes = DATA_SOCKET_BYTES,
        .open = enter_cordon,
        .start_threads = start_threads,
        .start = attach,
        .on_left = on_left,
        .on_drained = on_drained,
        .stop = stop,
        .usage = usage,
        .options = options,
        .owner = data,
    };
}
