/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/link.h"
#include "supervisor/placement/placement.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "supervisor/requests/failure.h"
#include "worker.pb-c.h"

enum { PHASE_BOOTING = 1, PHASE_READY = 2 };

#define RESPONSE_HEADERS_MAX 256
/* Well below a millisecond of the loop's time. */
#define FRAMES_PER_TURN 256
#define VERSION_TEXT_MAX 31
/* What stopped requests leave behind in an isolate never adds up to more than this many leave. */
#define STOPS_MOST 100
/* Requests that are over, and kept by their timers. */
#define LINGER_MS 5000
#define LINGERING_MAX 16
/* Files of a version that are sent in one turn: about half a millisecond of the loop's time. */
#define LOAD_PART_BYTES (FRAME_MAX_BYTES / 2)
#define FRAME_COST_BYTES 1024 /* for which a frame counts besides its data */
#define LOAD_AGAIN_MS 100     /* after a shortage of memory */

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}

static ProtobufCBinaryData text(const char *string)
{
    return bytes(string, strlen(string));
}

/* Texts whose length a tenant's JavaScript may choose are cut, never refused. */
static size_t line_size(ProtobufCBinaryData line)
{
    return line.len < LOG_LINE_MAX_BYTES ? line.len : LOG_LINE_MAX_BYTES;
}

static struct http_text view(ProtobufCBinaryData data)
{
    return (struct http_text){ .data = (const char *) data.data, .size = data.len };
}

/* ---- in */

static int on_hello(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Hello *hello = (const Skep__Worker__Hello *) message;
    static const char allowed[] = "0123456789.-abcdefghijklmnopqrstuvwxyz";
    struct child *child = owner;
    char *version = child->server->record.v8_version;

    if (child->has_hello || hello->protocol != PROTOCOL_VERSION ||
        hello->v8_version.len > VERSION_TEXT_MAX)
        return -EPROTO;
    for (size_t i = 0; i < hello->v8_version.len; i++)
        if (!memchr(allowed, hello->v8_version.data[i], sizeof allowed - 1))
            return -EPROTO;
    (void) snprintf(version, sizeof child->server->record.v8_version, "%.*s",
                    (int) hello->v8_version.len, (const char *) hello->v8_version.data);
    child_on_event(child, EVENT_HELLO);
    return 0;
}

static struct placement *find_placement(struct child *child, uint32_t id)
{
    struct placement *placement;

    LIST_FOREACH (placement, &child->placements, in_child)
        if (placement->id == id)
            return placement;
    return NULL;
}

static int on_loaded(void *owner, const ProtobufCMessage *message)
{
    static const enum error_code codes[] = {
        [SKEP__WORKER__LOAD_RESULT__LOAD_OK] = ERROR_NONE,
        [SKEP__WORKER__LOAD_RESULT__LOAD_BOOT_FAILED] = ERROR_BOOT_FAILED,
        [SKEP__WORKER__LOAD_RESULT__LOAD_CPU_STARTUP] = ERROR_CPU_STARTUP,
        [SKEP__WORKER__LOAD_RESULT__LOAD_MEM_ISOLATE] = ERROR_MEM_ISOLATE,
    };
    const Skep__Worker__Loaded *loaded = (const Skep__Worker__Loaded *) message;
    struct child *child = owner;
    struct placement *placement = find_placement(child, loaded->tenant);

    if (!placement || placement->state != PLACEMENT_LOADING ||
        (unsigned) loaded->result >= ARRAY_LEN(codes))
        return -EPROTO;
    placement_on_loaded(placement, codes[loaded->result],
                        loaded->message.len > 0 ? (const char *) loaded->message.data : "",
                        line_size(loaded->message), loaded->cpu_us);
    return 0;
}

static int on_response_head(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__ResponseHead *head = (const Skep__Worker__ResponseHead *) message;
    struct request *request = child_find_request(owner, head->id);
    struct http_field fields[RESPONSE_HEADERS_MAX];

    if (!request || head->n_headers > RESPONSE_HEADERS_MAX || head->body.len > BODY_CHUNK_MAX_BYTES)
        return -EPROTO;
    for (size_t i = 0; i < head->n_headers; i++) {
        fields[i].name = view(head->headers[i]->name);
        fields[i].value = view(head->headers[i]->value);
    }
    struct http_response response = { .status = head->status,
                                      .fields = fields,
                                      .n_fields = head->n_headers };
    return ledger_on_head(request, &response, head->body.data, head->body.len, head->end);
}

static int on_body(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Body *body = (const Skep__Worker__Body *) message;
    struct request *request = child_find_request(owner, body->id);

    /* Each part is progress: one without bytes is none. */
    if (!request || body->data.len > BODY_CHUNK_MAX_BYTES || (body->data.len == 0 && !body->end))
        return -EPROTO;
    return ledger_on_body(request, body->data.data, body->data.len, body->end);
}

static int on_credit(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Credit *credit = (const Skep__Worker__Credit *) message;
    struct request *request = child_find_request(owner, credit->id);

    return request ? ledger_on_credit(request, credit->bytes) : -EPROTO;
}

static void log_of_tenant(struct request *request, Skep__Worker__LogLevel level,
                          ProtobufCBinaryData line)
{
    if (line.len == 0)
        return;
    tenant_log(request->tenant, (enum tenant_log_level) level, (const char *) line.data,
               line_size(line));
    request->is_told = true;
}

static int on_done(void *owner, const ProtobufCMessage *message)
{
    static const enum error_code codes[] = {
        [SKEP__WORKER__OUTCOME__OUTCOME_OK] = ERROR_NONE,
        [SKEP__WORKER__OUTCOME__OUTCOME_EXCEPTION] = ERROR_EXCEPTION,
        [SKEP__WORKER__OUTCOME__OUTCOME_BAD_RESPONSE] = ERROR_BAD_RESPONSE,
        [SKEP__WORKER__OUTCOME__OUTCOME_CPU_REQUEST] = ERROR_CPU_REQUEST,
        [SKEP__WORKER__OUTCOME__OUTCOME_MEM_ISOLATE] = ERROR_MEM_ISOLATE,
        [SKEP__WORKER__OUTCOME__OUTCOME_CANCELLED] = ERROR_EXCEPTION,
        [SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED] = ERROR_NONE,
        [SKEP__WORKER__OUTCOME__OUTCOME_HUNG] = ERROR_HUNG,
    };
    const Skep__Worker__Done *done = (const Skep__Worker__Done *) message;
    struct request *request = child_find_request(owner, done->id);

    /* Another worker has it by now: anything else that is said of it is of an id that is not known. */
    if (done->outcome == SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED &&
        child_end_withdrawn(owner, done->id))
        return 0;
    if (!request || (unsigned) done->outcome >= ARRAY_LEN(codes))
        return -EPROTO;
    log_of_tenant(request, SKEP__WORKER__LOG_LEVEL__LOG_ERROR, done->message);
    if (done->outcome == SKEP__WORKER__OUTCOME__OUTCOME_NOT_LOADED)
        ledger_on_not_loaded(request);
    else
        ledger_on_done(request, codes[done->outcome], done->cpu_us);
    return 0;
}

static int on_log(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Log *line = (const Skep__Worker__Log *) message;
    struct placement *placement = find_placement(owner, line->tenant);

    if (!placement || (unsigned) line->level > SKEP__WORKER__LOG_LEVEL__LOG_ERROR)
        return -EPROTO;
    tenant_log(placement->version->tenant, (enum tenant_log_level) line->level,
               (const char *) line->text.data, line_size(line->text));
    return 0;
}

static int on_unloaded(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Unloaded *unloaded = (const Skep__Worker__Unloaded *) message;
    struct placement *placement = find_placement(owner, unloaded->tenant);

    if (!placement || placement->state == PLACEMENT_LOADING || placement->state == PLACEMENT_GONE)
        return -EPROTO;
    placement_on_unloaded(placement);
    return 0;
}

/* Its word: a lie costs the tenant of that isolate a new one, and nobody else anything. */
static int on_stopped(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Stopped *stopped = (const Skep__Worker__Stopped *) message;
    struct placement *placement = find_placement(owner, stopped->tenant);

    if (!placement || placement->is_stopped || placement->state == PLACEMENT_LOADING ||
        placement->state == PLACEMENT_GONE || placement->version->manifest->reuse_after_stop)
        return -EPROTO;
    placement_on_stopped(placement);
    return 0;
}

static int on_pong(void *owner, const ProtobufCMessage *message)
{
    struct child *child = owner;

    (void) message;
    if (child->pings_open == 0)
        return -EPROTO;
    child->pings_open--;
    return 0; /* that it came at all is what counts: child_check looks at the number of frames */
}

/* What a worker may say of a limit: which row of limit_table, and how many thousandths of its unit one
 * of `used` is. */
static const struct {
    unsigned index;
    uint64_t numerator, denominator;
    enum incident_stage stage;
} exceeded_limits[] = {
    [SKEP__WORKER__LIMIT__LIMIT_CPU_MS] = { LIMIT_INDEX(cpu_ms), 1, 1, STAGE_STOPPED },
    [SKEP__WORKER__LIMIT__LIMIT_CPU_STARTUP_MS] = { LIMIT_INDEX(cpu_startup_ms), 1, 1,
                                                    STAGE_STOPPED },
    [SKEP__WORKER__LIMIT__LIMIT_HEAP_MIB] = { LIMIT_INDEX(heap_mib), 1000, 1024, STAGE_STOPPED },
    [SKEP__WORKER__LIMIT__LIMIT_EXTERNAL_MIB] = { LIMIT_INDEX(external_mib), 1000, 1024,
                                                  STAGE_REFUSED },
    [SKEP__WORKER__LIMIT__LIMIT_TIMERS] = { LIMIT_INDEX(timers), 1000, 1, STAGE_REFUSED },
    [SKEP__WORKER__LIMIT__LIMIT_LOG_KIB] = { LIMIT_INDEX(log_kib), 1000, 1024, STAGE_REFUSED },
};

static int on_exceeded(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Exceeded *exceeded = (const Skep__Worker__Exceeded *) message;
    struct child *child = owner;
    struct placement *placement = find_placement(child, exceeded->tenant);
    limit_set *seen = placement ? &placement->exceeded : NULL;
    limit_set *noted = placement ? &placement->noted : NULL;
    unsigned which = (unsigned) exceeded->limit;

    if (!placement || which >= ARRAY_LEN(exceeded_limits))
        return -EPROTO;
    struct request *request =
        exceeded->request != 0 ? child_find_request(child, exceeded->request) : NULL;
    if (exceeded->request != 0) {
        if (!request || request->placement != placement)
            return -EPROTO;
        seen = &request->exceeded;
        noted = &request->noted;
    }
    uint64_t used = exceeded->used < EXCEEDED_USED_MAX ? exceeded->used : EXCEEDED_USED_MAX;
    unsigned index = exceeded_limits[which].index;
    bool is_observed = (placement->version->observed >> index & 1U) != 0;
    if ((*seen >> index & 1U) != 0 || exceeded->observed != is_observed)
        return -EPROTO;
    *seen |= 1U << index;
    if (is_observed && (*noted >> index & 1U) != 0) /* while it ran */
        return 0;
    *noted |= (limit_set) 1 << index;
    struct incident incident = {
        .stage = is_observed ? STAGE_OBSERVED : exceeded_limits[which].stage,
        .cause = index,
        .limit_milli = UINT64_C(1000) * limit_get(&placement->version->limits, &limit_table[index]),
        .used_milli = used * exceeded_limits[which].numerator / exceeded_limits[which].denominator,
        .request = exceeded->request,
        .worker = child->number,
        .pid = child->pid,
    };
    incident_note(&child->server->record, &placement->version->tenant->counted, &incident);
    if (request && !is_observed)
        failure_note_limit(request, index, incident.used_milli);
    if (incident.stage == STAGE_STOPPED && ++placement->stops >= STOPS_MOST)
        placement->is_retiring = true; /* when it is idle */
    return 0;
}

static int on_caught_up(void *owner, const ProtobufCMessage *message)
{
    struct child *child = owner;

    (void) message;
    if (child->caught_up == child->served) /* each is for one request at least */
        return -EPROTO;
    child->caught_up++;
    ledger_on_caught_up(child);
    return 0;
}

static int on_call(void *owner, const ProtobufCMessage *message)
{
    return ((struct child *) owner)->server->call_frames->on_call(owner, message);
}

static int on_call_body(void *owner, const ProtobufCMessage *message)
{
    return ((struct child *) owner)->server->call_frames->on_body(owner, message);
}

static int on_call_credit(void *owner, const ProtobufCMessage *message)
{
    return ((struct child *) owner)->server->call_frames->on_credit(owner, message);
}

static int on_call_cancel(void *owner, const ProtobufCMessage *message)
{
    return ((struct child *) owner)->server->call_frames->on_cancel(owner, message);
}

static const struct channel_rule rules[] = {
    [SKEP__WORKER__FROM_WORKER__MESSAGE_HELLO] = { PHASE_BOOTING, on_hello },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_LOADED] = { PHASE_READY, on_loaded },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_RESPONSE_HEAD] = { PHASE_READY, on_response_head },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_BODY] = { PHASE_READY, on_body },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CREDIT] = { PHASE_READY, on_credit },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_DONE] = { PHASE_READY, on_done },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_LOG] = { PHASE_READY, on_log },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_UNLOADED] = { PHASE_READY, on_unloaded },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_PONG] = { PHASE_READY, on_pong },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_EXCEEDED] = { PHASE_READY, on_exceeded },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CAUGHT_UP] = { PHASE_READY, on_caught_up },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_STOPPED] = { PHASE_READY, on_stopped },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CALL] = { PHASE_READY, on_call },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_BODY] = { PHASE_READY, on_call_body },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CREDIT] = { PHASE_READY, on_call_credit },
    [SKEP__WORKER__FROM_WORKER__MESSAGE_CALL_CANCEL] = { PHASE_READY, on_call_cancel },
};

static const struct channel_table table = {
    .envelope = &skep__worker__from_worker__descriptor,
    .case_offset = offsetof(Skep__Worker__FromWorker, message_case),
    .value_offset = offsetof(Skep__Worker__FromWorker, hello),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

static void on_closed(void *owner, int error)
{
    struct child *child = owner;

    if (error == -EPROTO || error == -EMSGSIZE) {
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_CHILD(child),
                  "worker %u (pid %d) broke the protocol", child->number, (int) child->pid);
        child_kill(child, KILL_PROTOCOL, 0);
        return;
    }
    child_on_event(child, EVENT_CLOSED);
}

static void on_drained(void *owner)
{
    ledger_on_drained(owner);
}

static void on_written(void *owner);

int link_open(struct child *child, int fd)
{
    struct channel_options options = {
        .base = child->server->base,
        .fd = fd,
        .name = "worker: frames",
        .receive = &table,
        .phase = PHASE_BOOTING,
        .owner = child,
        .on_closed = on_closed,
        .on_drained = on_drained,
        .on_written = on_written,
        .output_high_bytes = LINK_OUTPUT_HIGH_BYTES,
        .output_max_bytes = LINK_OUTPUT_MAX_BYTES,
        .frames_per_turn = FRAMES_PER_TURN,
    };

    return channel_new(&options, &child->channel);
}

void link_set_ready(struct child *child)
{
    channel_set_phase(child->channel, PHASE_READY);
}

/* ---- out */

static int send_frame(struct child *child, Skep__Worker__ToWorker__MessageCase which, void *message)
{
    Skep__Worker__ToWorker envelope = SKEP__WORKER__TO_WORKER__INIT;

    if (!child->channel)
        return -EPIPE;
    envelope.message_case = which;
    envelope.ping = message; /* any member: all are pointers */
    int r = channel_send(child->channel, &envelope.base);
    if (r == -ENOBUFS && child->state != CHILD_KILLED) {
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_CHILD(child),
                  "worker %u (pid %d) does not read: %u MiB wait for it", child->number,
                  (int) child->pid, LINK_OUTPUT_MAX_BYTES >> 20);
        child->server->record.counters.unread++;
        child_kill(child, KILL_SILENT, 0);
    }
    return r;
}

/* Timers that are due within 5 s keep a request that is over, within half of what it may take, so that none
 * is over its time because of them; and it leaves others their places. */
static void set_lingering(const struct limits *limits, Skep__Worker__Limits *told)
{
    uint32_t half = limits->concurrency / 2;

    told->linger_ms = limits->wall_ms / 2 < LINGER_MS ? limits->wall_ms / 2 : LINGER_MS;
    told->lingering = half > LINGERING_MAX ? LINGERING_MAX : half > 0 ? half : 1;
}

static int send_begin(const struct placement *placement)
{
    struct child *child = placement->child;
    const struct version *version = placement->version;
    const struct manifest *manifest = version->manifest;
    Skep__Worker__EnvVar env[TENANT_ENV_MAX];
    Skep__Worker__EnvVar *pointers[TENANT_ENV_MAX];
    Skep__Worker__Binding bindings[TENANT_BINDINGS_MAX];
    Skep__Worker__Binding *to_bindings[TENANT_BINDINGS_MAX];
    Skep__Worker__Limits limits = SKEP__WORKER__LIMITS__INIT;
    Skep__Worker__LoadBegin begin = SKEP__WORKER__LOAD_BEGIN__INIT;

    limits.cpu_ms = version->limits.cpu_ms;
    limits.cpu_startup_ms = version->limits.cpu_startup_ms;
    limits.heap_mib = version->limits.heap_mib;
    limits.external_mib = version->limits.external_mib;
    limits.timers = version->limits.timers;
    limits.log_kib = version->limits.log_kib;
    limits.hung_ms = version->limits.hung_ms;
    set_lingering(&version->limits, &limits);
    for (unsigned i = 0; i < ARRAY_LEN(exceeded_limits); i++)
        limits.observed |= (version->observed >> exceeded_limits[i].index & 1U) << i;
    for (unsigned i = 0; i < manifest->n_env; i++) {
        skep__worker__env_var__init(&env[i]);
        env[i].name = text(manifest->env[i].name);
        env[i].value = text(manifest->env[i].value);
        pointers[i] = &env[i];
    }
    for (unsigned i = 0; i < manifest->n_bindings; i++) {
        skep__worker__binding__init(&bindings[i]);
        bindings[i].name = text(manifest->bindings[i].name);
        bindings[i].kind = (Skep__Worker__BindingKind) manifest->bindings[i].kind;
        to_bindings[i] = &bindings[i];
    }
    begin.bindings = to_bindings;
    begin.n_bindings = manifest->n_bindings;
    begin.tenant = placement->id;
    begin.name = text(manifest->name);
    begin.main = text(manifest->main);
    begin.limits = &limits;
    begin.env = pointers;
    begin.n_env = manifest->n_env;
    begin.place = placement->place;
    begin.reuse_after_stop = manifest->reuse_after_stop;
    return send_frame(child, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_BEGIN, &begin);
}

static int send_end(const struct placement *placement)
{
    Skep__Worker__LoadEnd end = SKEP__WORKER__LOAD_END__INIT;

    end.tenant = placement->id;
    return send_frame(placement->child, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_END, &end);
}

/* Sends the next part of the file at which the load stands. Returns its bytes or -errno. */
static int send_file_part(struct placement *placement)
{
    struct load_progress *load = &placement->load;
    const struct tenant_file *file = &placement->version->manifest->files[load->file];
    Skep__Worker__LoadFile part = SKEP__WORKER__LOAD_FILE__INIT;
    size_t size = file->size - load->at < LOAD_PART_BYTES ? file->size - load->at : LOAD_PART_BYTES;

    part.tenant = placement->id;
    part.path = text(file->path);
    part.data = bytes(file->data + load->at, size);
    int r = send_frame(placement->child, SKEP__WORKER__TO_WORKER__MESSAGE_LOAD_FILE, &part);
    if (r < 0)
        return r;
    load->at += size;
    if (load->at == file->size) {
        load->file++;
        load->at = 0;
    }
    return (int) size + FRAME_COST_BYTES;
}

/* Sends the next frame of the load. Returns what it has cost in bytes, 0 if it was the last one, or -errno. */
static int send_next(struct placement *placement)
{
    struct load_progress *load = &placement->load;

    if (!load->has_begun) {
        int r = send_begin(placement);
        load->has_begun = r == 0;
        return r < 0 ? r : FRAME_COST_BYTES;
    }
    if (load->file < placement->version->manifest->n_files)
        return send_file_part(placement);
    return send_end(placement);
}

static void plan_loads(const struct child *child, unsigned wait_ms)
{
    const struct timeval wait = { .tv_usec = (suseconds_t) wait_ms * 1000 };

    (void) event_add(child->load_turn, &wait);
}

/* Sends about LOAD_PART_BYTES of what is to be loaded; the next part follows in another turn of the loop, once the worker
 * has taken this one, so that neither the loop nor the memory for what is queued depends on how large a version is.
 * One load follows the other. Returns 0, or -errno of a frame that was not sent. */
static int send_loads(struct child *child)
{
    struct placement *placement;
    size_t sent = 0;

    while ((placement = TAILQ_FIRST(&child->to_load)) && sent < LOAD_PART_BYTES) {
        int r = send_next(placement);
        if (r == -ENOMEM)
            plan_loads(child, LOAD_AGAIN_MS);
        if (r < 0)
            return r;
        sent += (size_t) r;
        if (r == 0)
            link_drop_load(placement);
    }
    if (placement)
        channel_await_written(child->channel);
    return 0;
}

static void on_written(void *owner)
{
    plan_loads(owner, 0);
}

void link_on_load_turn(struct child *child)
{
    if (child->channel)
        (void) send_loads(child);
}

int link_send_load(struct placement *placement)
{
    struct child *child = placement->child;
    bool is_first = TAILQ_EMPTY(&child->to_load);

    if (!child->channel)
        return -EPIPE;
    TAILQ_INSERT_TAIL(&child->to_load, placement, in_to_load);
    placement->load.is_listed = true;
    if (!is_first)
        return 0;
    int r = send_loads(child);
    return placement->load.has_begun || r == -ENOMEM ? 0 : r;
}

void link_drop_load(struct placement *placement)
{
    if (placement->load.is_listed)
        TAILQ_REMOVE(&placement->child->to_load, placement, in_to_load);
    placement->load.is_listed = false;
}

int link_send_message(struct child *child, unsigned which, void *message)
{
    return send_frame(child, (Skep__Worker__ToWorker__MessageCase) which, message);
}

int link_send_unload(struct child *child, uint32_t placement)
{
    Skep__Worker__Unload unload = SKEP__WORKER__UNLOAD__INIT;

    unload.tenant = placement;
    return send_frame(child, SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD, &unload);
}

int link_send_retire(struct child *child, uint32_t placement)
{
    Skep__Worker__Retire retire = SKEP__WORKER__RETIRE__INIT;

    retire.tenant = placement;
    return send_frame(child, SKEP__WORKER__TO_WORKER__MESSAGE_RETIRE, &retire);
}

int link_send_request(struct child *child, struct request *request)
{
    Skep__Worker__Request frame = SKEP__WORKER__REQUEST__INIT;
    _cleanup_free_ Skep__Worker__Header *headers =
        malloc((request->n_fields + 1) * (sizeof *headers + sizeof(Skep__Worker__Header *)));
    if (!headers)
        return -ENOMEM;
    Skep__Worker__Header **pointers = (void *) (headers + request->n_fields + 1);

    for (size_t i = 0; i < request->n_fields; i++) {
        skep__worker__header__init(&headers[i]);
        headers[i].name = bytes(request->fields[i].name.data, request->fields[i].name.size);
        headers[i].value = bytes(request->fields[i].value.data, request->fields[i].value.size);
        pointers[i] = &headers[i];
    }
    frame.id = request->id;
    frame.tenant = request->placement->id;
    frame.slot = (uint32_t) (request->id % SCOREBOARD_SLOTS);
    frame.method = bytes(request->method.data, request->method.size);
    frame.url = bytes(request->url.data, request->url.size);
    frame.headers = pointers;
    frame.n_headers = request->n_fields;
    frame.end = !request->body;
    frame.caller = bytes(request->caller.data, request->caller.size);
    return send_frame(child, SKEP__WORKER__TO_WORKER__MESSAGE_REQUEST, &frame);
}

int link_send_body(struct child *child, uint64_t id, const uint8_t *data, size_t size, bool end)
{
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;

    body.id = id;
    body.data = bytes(data, size);
    body.end = end;
    return send_frame(child, SKEP__WORKER__TO_WORKER__MESSAGE_BODY, &body);
}

int link_send_credit(struct child *child, uint64_t id, uint32_t size)
{
    Skep__Worker__Credit credit = SKEP__WORKER__CREDIT__INIT;

    credit.id = id;
    credit.bytes = size;
    return send_frame(child, SKEP__WORKER__TO_WORKER__MESSAGE_CREDIT, &credit);
}

int link_send_cancel(struct child *child, uint64_t id, enum link_cancel reason)
{
    Skep__Worker__Cancel cancel = SKEP__WORKER__CANCEL__INIT;

    cancel.id = id;
    cancel.reason = (Skep__Worker__CancelReason) reason;
    return send_frame(child, SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL, &cancel);
}

int link_send_ping(struct child *child)
{
    Skep__Worker__Ping ping = SKEP__WORKER__PING__INIT;

    ping.token = child->signs_seen;
    int r = send_frame(child, SKEP__WORKER__TO_WORKER__MESSAGE_PING, &ping);
    if (r == 0)
        child->pings_open++;
    return r;
}
