/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/message.h"
#include "cli/output.h"
#include "common/histogram.h"

/* ---- taking */

static int copy_bytes(ProtobufCBinaryData from, uint8_t **ret_data, size_t *ret_size)
{
    *ret_size = from.len;
    if (from.len == 0)
        return 0;
    *ret_data = malloc(from.len);
    if (!*ret_data)
        return -ENOMEM;
    memcpy(*ret_data, from.data, from.len);
    return 0;
}

static int take_kills(const Skep__Admin__TopRow *row, struct top_raw *raw)
{
    size_t size = 0;
    FILE *file = open_memstream(&raw->kills_text, &size);
    int r = 0;

    raw->kills = json_object();
    if (!file || !raw->kills) {
        if (file)
            (void) fclose(file);
        return -ENOMEM;
    }
    for (size_t i = 0; i < row->n_kills; i++) {
        const Skep__Admin__CodeCount *kill = row->kills[i];
        _cleanup_free_ char *cause = output_line(kill->code.data, kill->code.len);
        if (!cause || json_object_set_new(raw->kills, cause, json_count(kill->count)) < 0) {
            r = -ENOMEM;
            break;
        }
        (void) fprintf(file, "%s%s %llu", i > 0 ? ", " : "", cause,
                       (unsigned long long) kill->count);
        raw->n_kills += kill->count;
    }
    return fclose(file) == 0 ? r : -ENOMEM;
}

static int take_row(const Skep__Admin__TopRow *row, struct top_raw *raw)
{
    *raw = (struct top_raw){
        .name = output_line(row->name.data, row->name.len),
        .cordon = output_line(row->cordon.data, row->cordon.len),
        .kind = output_line(row->kind.data, row->kind.len),
        .state = output_line(row->state.data, row->state.len),
        .number = row->number,
        .slot = row->slot,
        .pid = row->pid,
        .tenants = row->tenants,
        .requests = row->requests,
        .failed = row->failed,
        .in_flight = row->in_flight,
        .queued = row->queued,
        .cpu_us = row->cpu_us,
        .heap_kib = row->heap_kib,
        .external_kib = row->external_kib,
        .memory_kib = row->memory_kib,
        .rss_kib = row->rss_kib,
    };
    if (!raw->name || !raw->cordon || !raw->kind || !raw->state)
        return -ENOMEM;
    int r = copy_bytes(row->latency, &raw->latency, &raw->latency_size);
    if (r == 0)
        r = copy_bytes(row->queue, &raw->queue, &raw->queue_size);
    return r < 0 ? r : take_kills(row, raw);
}

static void raw_done(struct top_raw *raw)
{
    free(raw->name);
    free(raw->cordon);
    free(raw->kind);
    free(raw->state);
    free(raw->kills_text);
    json_decref(raw->kills);
    free(raw->latency);
    free(raw->queue);
}

void top_sample_done(struct top_sample *sample)
{
    for (size_t i = 0; i < sample->n_rows; i++)
        raw_done(&sample->rows[i]);
    free(sample->rows);
    *sample = (struct top_sample){ 0 };
}

static int take_page(const Skep__Admin__Top *top, struct top_sample *sample)
{
    size_t n = sample->n_rows + top->n_rows;
    struct top_raw *rows = reallocarray(sample->rows, n > 0 ? n : 1, sizeof *rows);

    if (!rows)
        return -ENOMEM;
    sample->rows = rows;
    if (sample->n_rows == 0)
        sample->time_us = top->time_us;
    for (size_t i = 0; i < top->n_rows; i++) {
        int r = take_row(top->rows[i], &sample->rows[sample->n_rows++]);
        if (r < 0)
            return r;
    }
    return 0;
}

int top_sample_take(struct client *client, bool of_workers, struct top_sample *ret)
{
    struct top_sample sample = { .of_workers = of_workers };
    const Skep__Admin__Answer *answer = NULL;
    int r;

    do {
        Skep__Admin__TopRequest request = SKEP__ADMIN__TOP_REQUEST__INIT;
        Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;
        request.workers = of_workers;
        request.skip = (uint32_t) sample.n_rows;
        command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_TOP;
        command.top = &request;
        r = client_try(client, &command, SKEP__ADMIN__ANSWER__MESSAGE_TOP, &answer);
        if (r == 0)
            r = take_page(answer->top, &sample);
    } while (r == 0 && answer->top->n_rows > 0 && sample.n_rows < answer->top->total);
    if (r < 0)
        top_sample_done(&sample);
    else
        *ret = sample;
    return r;
}

/* ---- comparing */

/* True if both are the same tenant, or the same process of a worker: the counters of a slot go on,
 * but the CPU clock of its worker does not. */
static bool is_same(const struct top_raw *a, const struct top_raw *b, bool of_workers)
{
    return of_workers ? a->number == b->number && a->pid == b->pid : strcmp(a->name, b->name) == 0;
}

/* Finds the row in a sample. *at: where the last one was found, as the order of both is mostly the
 * same. */
static const struct top_raw *find(const struct top_sample *sample, const struct top_raw *raw,
                                  size_t *at)
{
    for (size_t i = 0; i < sample->n_rows; i++) {
        size_t index = (*at + i) % sample->n_rows;
        if (!is_same(&sample->rows[index], raw, sample->of_workers))
            continue;
        *at = index + 1;
        return &sample->rows[index];
    }
    return NULL;
}

/* Returns the rate. A counter that has shrunk began anew. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
    return (double) (now >= before ? now - before : now) / seconds;
}

static bool find_change(const uint8_t *now, size_t now_size, const uint8_t *before,
                        size_t before_size, struct histogram *ret)
{
    struct histogram a, b;

    if (histogram_import(&a, before, before_size) < 0 || histogram_import(&b, now, now_size) < 0)
        return false;
    histogram_difference(&b, &a, ret);
    return ret->total > 0;
}

static void compare_row(const struct top_raw *before, double seconds, struct top_row *row)
{
    static const struct top_raw nothing;
    const struct top_raw *now = row->raw;
    struct histogram change;

    if (!before)
        before = &nothing;
    row->rps = rate(now->requests, before->requests, seconds);
    row->failed_ps = rate(now->failed, before->failed, seconds);
    row->cpu_ms_ps = rate(now->cpu_us, before->cpu_us, seconds) / 1000;
    row->has_latency = find_change(now->latency, now->latency_size, before->latency,
                                   before->latency_size, &change);
    if (row->has_latency) {
        row->p50_us = histogram_percentile(&change, 500);
        row->p99_us = histogram_percentile(&change, 990);
    }
    row->has_queue =
        find_change(now->queue, now->queue_size, before->queue, before->queue_size, &change);
    if (row->has_queue)
        row->queue_p99_us = histogram_percentile(&change, 990);
}

struct top_row *top_compare(const struct top_sample *before, const struct top_sample *now)
{
    struct top_row *rows = calloc(now->n_rows > 0 ? now->n_rows : 1, sizeof *rows);
    double seconds = (double) (now->time_us - before->time_us) / 1e6;
    size_t at = 0;

    if (!rows)
        return NULL;
    seconds = seconds > 0.001 ? seconds : 0.001;
    for (size_t i = 0; i < now->n_rows; i++) {
        rows[i].raw = &now->rows[i];
        rows[i].of_workers = now->of_workers;
        compare_row(find(before, &now->rows[i], &at), seconds, &rows[i]);
    }
    return rows;
}

/* ---- JSON */

static json_t *text_or_null(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *us_or_null(bool has, uint64_t us)
{
    return has ? json_count(us) : json_null();
}

static int add_identity(const struct top_row *row, json_t *object)
{
    const struct top_raw *raw = row->raw;
    int r;

    if (!row->of_workers) {
        r = json_object_set_new(object, "name", json_string(raw->name));
        r |= json_object_set_new(object, "cordon", text_or_null(raw->cordon));
        r |= json_object_set_new(object, "requests", json_count(raw->requests));
        r |= json_object_set_new(object, "failed", json_count(raw->failed));
        r |= json_object_set_new(object, "errors_per_s", json_real(row->failed_ps));
        return r | json_object_set_new(object, "queue_p99_us",
                                       us_or_null(row->has_queue, row->queue_p99_us));
    }
    r = json_object_set_new(object, "number", json_integer(raw->number));
    r |= json_object_set_new(object, "cordon", text_or_null(raw->cordon));
    r |= json_object_set_new(object, "slot", json_integer(raw->slot));
    r |= json_object_set_new(object, "kind", text_or_null(raw->kind));
    r |= json_object_set_new(object, "owner", text_or_null(raw->name));
    r |= json_object_set_new(object, "pid", raw->pid > 0 ? json_integer(raw->pid) : json_null());
    r |= json_object_set_new(object, "tenants", json_integer(raw->tenants));
    r |= json_object_set_new(object, "requests", json_count(raw->requests));
    return r | json_object_set_new(object, "rss_kib", json_count(raw->rss_kib));
}

json_t *top_row_json(const struct top_row *row)
{
    const struct top_raw *raw = row->raw;
    json_t *object = json_object();

    int r = add_identity(row, object);
    r |= json_object_set_new(object, "state", text_or_null(raw->state));
    r |= json_object_set_new(object, "rps", json_real(row->rps));
    r |= json_object_set_new(object, "p50_us", us_or_null(row->has_latency, row->p50_us));
    r |= json_object_set_new(object, "p99_us", us_or_null(row->has_latency, row->p99_us));
    r |= json_object_set_new(object, "cpu_ms_per_s", json_real(row->cpu_ms_ps));
    r |= json_object_set_new(object, "heap_kib", json_count(raw->heap_kib));
    r |= json_object_set_new(object, "external_kib", json_count(raw->external_kib));
    r |= json_object_set_new(object, "memory_kib", json_count(raw->memory_kib));
    r |= json_object_set_new(object, "queued", json_count(raw->queued));
    r |= json_object_set_new(object, "in_flight", json_count(raw->in_flight));
    r |= json_object_set(object, "kills", raw->kills);
    if (r == 0)
        return object;
    json_decref(object);
    return NULL;
}
