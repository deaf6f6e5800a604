/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report `skep status`. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/io.h"
#include "common/v8_release.h"
#include "supervisor/admin/report.h"
#include "supervisor/record/totals.h"
#include "supervisor/tenants/unserved.h"

#define HELPER_TEXT_BYTES 400
#define UNSERVED_NAMED 100

static int list_totals(const struct admin_options *with, struct arena *arena,
                       Skep__Admin__Status *status)
{
    status->totals = report_list(arena, TOTALS, &skep__admin__total__descriptor);
    if (!status->totals)
        return -ENOMEM;
    for (unsigned i = 0; i < TOTALS; i++) {
        struct total total;
        total_read(with->record->totals, (enum total_kind) i, &total);
        Skep__Admin__Total *row = status->totals[i];
        row->used = total.used;
        row->limit = total.limit;
        row->refused = total.refused;
        row->name = report_text(total_table[i].name);
        row->unit = report_text(total_table[i].unit);
    }
    status->n_totals = TOTALS;
    return 0;
}

/* Adds the helpers that there are. */
static int report_helpers(const struct admin_options *with, struct arena *arena,
                          Skep__Admin__Status *ret)
{
    ret->helpers = report_list(arena, HELPERS, &skep__admin__named_text__descriptor);
    if (!ret->helpers)
        return -ENOMEM;
    for (unsigned i = 0; i < HELPERS; i++) {
        const struct helper_health *health = &with->health->of[i];
        const char *state = helper_state_name(health->state);
        if (health->state == HELPER_ABSENT)
            continue;
        Skep__Admin__NamedText *row = ret->helpers[ret->n_helpers++];
        row->name = report_text(helper_name((enum helper_id) i));
        row->value = report_text(state);
        if (health->state > HELPER_OK) {
            char *text = report_take(arena, HELPER_TEXT_BYTES);
            if (!text)
                return -ENOMEM;
            (void) snprintf(text, HELPER_TEXT_BYTES, "%s: %s: %s", state, health->why,
                            helper_advice_now(with->health, (enum helper_id) i));
            row->value = report_text(text);
        }
    }
    return 0;
}

/* Adds the number of tenants that cannot be served, and the texts of the first. */
static int report_unserved(const struct admin_options *with, struct arena *arena,
                           Skep__Admin__Status *ret)
{
    const struct unserved *unserved = NULL;

    ret->unserved = report_list(arena, UNSERVED_NAMED, &skep__admin__named_text__descriptor);
    if (!ret->unserved)
        return -ENOMEM;
    while ((unserved = unserved_next(with->tenants, unserved))) {
        if (ret->tenants_unserved++ >= UNSERVED_NAMED)
            continue;
        Skep__Admin__NamedText *row = ret->unserved[ret->n_unserved++];
        row->name = report_text(unserved->target->name);
        row->value = report_text(unserved->text);
    }
    return 0;
}

int admin_report_status(const struct admin_options *with, const struct admin_count *count,
                        struct arena *arena, Skep__Admin__Status *ret)
{
    Skep__Admin__Stats stats = SKEP__ADMIN__STATS__INIT;
    const struct jail_state *jail = with->jail;

    report_count_workers(with, &stats);
    ret->state = report_text(with->life->is_draining ? "draining" : "serving");
    ret->version = report_text(SKEP_VERSION);
    ret->pid = (uint32_t) getpid();
    ret->uptime_ms = (io_now_ns() - with->record->started_ns) / NSEC_PER_MSEC;
    ret->tenants = count->tenants;
    ret->quarantined = count->quarantined;
    ret->workers = stats.workers;
    ret->workers_ready = stats.workers_ready;
    ret->workers_failed = stats.workers_failed;
    ret->jail = report_text(jail_level_name(jail));
    ret->v8_version = report_text(with->record->v8_version);
    ret->v8_date = report_text(v8_release_date(with->record->v8_version));
    int r =
        report_layers(LAYERS_ALL, jail->layers, jail->errors, arena, &ret->layers, &ret->n_layers);
    if (r == 0)
        r = report_layers(JAIL_OWN_LAYERS, jail->own_layers, jail->errors, arena, &ret->own_layers,
                          &ret->n_own_layers);
    if (r == 0)
        r = report_helpers(with, arena, ret);
    if (r == 0)
        r = report_unserved(with, arena, ret);
    return r < 0 ? r : list_totals(with, arena, ret);
}
