/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of `skep top`: counters of tenants or workers with their histograms. The client
 * takes the differences. Supervisor, loop thread.
 */
#include <errno.h>
#include <string.h>

#include "common/io.h"
#include "common/rss.h"
#include "supervisor/admin/report.h"
#include "supervisor/placement/seclude.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

#define BYTES_PER_KIB UINT64_C(1024)

static int fill_histogram(const struct histogram *histogram, struct arena *arena,
                          ProtobufCBinaryData *ret)
{
    uint8_t data[HISTOGRAM_EXPORT_MAX_BYTES];
    size_t size = histogram_export(histogram, data);
    uint8_t *copy = size > 0 ? report_take(arena, size) : data;

    if (!copy)
        return -ENOMEM;
    if (size > 0)
        memcpy(copy, data, size);
    *ret = admin_bytes(size > 0 ? copy : NULL, size);
    return 0;
}

static void fill_memory(const struct memory_use *memory, Skep__Admin__TopRow *row)
{
    row->heap_kib = memory->heap_kib;
    row->external_kib = memory->external_kib;
    row->memory_kib = memory_sum_kib(memory);
}

static int fill_tenant(const struct tenant *tenant, struct arena *arena, Skep__Admin__TopRow *row)
{
    struct memory_use memory = { 0 };

    row->name = report_text(tenant->name);
    if (tenant->version)
        row->cordon = report_text(tenant->version->manifest->cordon);
    row->state = report_text(report_tenant_state(tenant));
    row->requests = tenant->counted.counters.requests;
    row->failed = tenant->counted.counters.failed;
    row->in_flight = tenant->n_in_flight;
    row->queued = tenant->n_queued;
    row->cpu_us = tenant->cpu_us;
    memory_add_tenant(tenant, &memory);
    fill_memory(&memory, row);
    int r =
        report_kills(tenant->counted.incidents.by[STAGE_KILLED], arena, &row->kills, &row->n_kills);
    if (r == 0)
        r = fill_histogram(&tenant->counted.traffic.latency_us, arena, &row->latency);
    return r < 0 ? r : fill_histogram(&tenant->counted.traffic.queue_us, arena, &row->queue);
}

static int fill_slot(const struct slot *slot, struct arena *arena, Skep__Admin__TopRow *row)
{
    const struct tenant *owner = seclude_owner(slot);

    row->number = slot->number;
    row->name = report_text(owner ? owner->name : NULL);
    row->cordon = report_text(slot->cordon->name);
    row->slot = slot->position;
    row->requests = slot->requests;
    int r = report_kills(slot->kills, arena, &row->kills, &row->n_kills);
    return r < 0 ? r : fill_histogram(&slot->latency_us, arena, &row->latency);
}

static void fill_process(const struct worker *worker, Skep__Admin__TopRow *row)
{
    struct memory_use memory = { 0 };

    row->pid = worker->pid > 0 ? (uint32_t) worker->pid : 0;
    row->in_flight = worker->in_flight;
    row->queued = worker->books.n_unstarted;
    row->cpu_us = worker_cpu_ns(worker) / NSEC_PER_USEC;
    row->tenants = worker->n_placements;
    row->rss_kib = worker->statm_fd >= 0 ? rss_read_bytes(worker->statm_fd) / BYTES_PER_KIB : 0;
    report_add_worker(worker, &memory);
    fill_memory(&memory, row);
}

static int fill_worker(const struct listed *listed, struct arena *arena, Skep__Admin__TopRow *row)
{
    const struct worker *worker = listed->worker;

    row->kind = report_text(report_worker_kind(listed));
    row->state = report_text(report_worker_state(listed));
    if (worker)
        fill_process(worker, row);
    if (listed->slot)
        return fill_slot(listed->slot, arena, row);
    row->number = worker->number;
    row->cordon = report_text(worker->cordon->name);
    row->slot = worker->list_position;
    row->requests = worker->served;
    return 0;
}

static int begin_page(unsigned items_max, struct arena *arena, Skep__Admin__Top *ret)
{
    ret->rows = report_take(arena, items_max * sizeof(Skep__Admin__TopRow *));
    ret->n_rows = 0;
    ret->time_us = io_now_ns() / NSEC_PER_USEC;
    return ret->rows ? 0 : -ENOMEM;
}

/* Adds a row. NULL: no room. */
static Skep__Admin__TopRow *new_row(struct arena *arena)
{
    Skep__Admin__TopRow *row = report_take(arena, sizeof *row);

    if (row)
        skep__admin__top_row__init(row);
    return row;
}

int admin_report_top_tenants(struct tenant_cursor *cursor, struct arena *arena,
                             Skep__Admin__Top *ret)
{
    size_t size = 0;
    int r = begin_page(TENANTS_PAGE_ITEMS_MAX, arena, ret);

    if (r < 0)
        return r;
    while (cursor->next && ret->n_rows < TENANTS_PAGE_ITEMS_MAX && size < PAGE_MAX_BYTES) {
        Skep__Admin__TopRow *row = new_row(arena);
        if (!row || fill_tenant(cursor->next, arena, row) < 0)
            break;
        size += skep__admin__top_row__get_packed_size(row);
        ret->rows[ret->n_rows++] = row;
        (void) tenant_cursor_take(cursor);
    }
    ret->total = tenant_cursor_total(cursor);
    return ret->n_rows == 0 && cursor->next ? -ENOMEM : 0;
}

int admin_report_top_workers(const struct admin_options *with, uint32_t skip, struct arena *arena,
                             Skep__Admin__Top *ret)
{
    struct listed listed = { 0 };
    size_t size = 0;
    bool is_full = false;
    int r = begin_page(PAGE_ITEMS_MAX, arena, ret);

    if (r < 0)
        return r;
    while (slots_next_listed(with->slots, &listed)) {
        if (ret->total++ < skip || is_full)
            continue;
        Skep__Admin__TopRow *row = new_row(arena);
        if (!row || fill_worker(&listed, arena, row) < 0) {
            is_full = true;
            continue;
        }
        size += skep__admin__top_row__get_packed_size(row);
        ret->rows[ret->n_rows++] = row;
        is_full = ret->n_rows == PAGE_ITEMS_MAX || size >= PAGE_MAX_BYTES;
    }
    return ret->n_rows == 0 && skip < ret->total ? -ENOMEM : 0;
}
