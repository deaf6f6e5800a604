/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/incident.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/record/record.h"

/* Lines for which one tenant, and all together, have room in a second; other incidents are only
 * counted. */
#define LINES_PER_SECOND 20
#define LINES_OF_ALL_PER_SECOND 200
#define LITTLE_LINES 2 /* see log_budget_has_share */

static const char *const stage_names[INCIDENT_STAGES] = {
    [STAGE_OBSERVED] = "observed",
    [STAGE_REFUSED] = "refused",
    [STAGE_STOPPED] = "stopped",
    [STAGE_KILLED] = "killed",
};

static const struct {
    const char *name, *unit;
} others[CAUSES - LIMITS_COUNT] = {
    [CAUSE_RSS - LIMITS_COUNT] = { "rss_mib", "MiB" },
    [CAUSE_CRASH - LIMITS_COUNT] = { "crash", "" },
    [CAUSE_JAIL - LIMITS_COUNT] = { "jail", "" },
    [CAUSE_PROTOCOL - LIMITS_COUNT] = { "protocol", "" },
    [CAUSE_SILENT - LIMITS_COUNT] = { "silent", "" },
    [CAUSE_OUTSIDE - LIMITS_COUNT] = { "outside", "" },
};

const char *incident_cause_name(unsigned cause)
{
    return cause < LIMITS_COUNT ? limit_table[cause].name : others[cause - LIMITS_COUNT].name;
}

const char *incident_cause_unit(unsigned cause)
{
    return cause < LIMITS_COUNT ? limit_table[cause].unit : others[cause - LIMITS_COUNT].unit;
}

const char *incident_stage_name(enum incident_stage stage)
{
    return stage_names[stage];
}

/* Returns the code that the client gets where a limit was met in that way; ERROR_NONE: it depends
 * on the tenant. */
static enum error_code code_of(enum incident_stage stage, unsigned cause)
{
    static const enum error_code stopped[CAUSES] = {
        [LIMIT_INDEX(cpu_ms)] = ERROR_CPU_REQUEST,
        [LIMIT_INDEX(cpu_startup_ms)] = ERROR_CPU_STARTUP,
        [LIMIT_INDEX(wall_ms)] = ERROR_WALL_REQUEST,
        [LIMIT_INDEX(idle_ms)] = ERROR_WALL_REQUEST,
        [LIMIT_INDEX(heap_mib)] = ERROR_MEM_ISOLATE,
        [LIMIT_INDEX(response_mib)] = ERROR_BAD_RESPONSE,
    };
    static const enum error_code refused[CAUSES] = {
        [LIMIT_INDEX(queue)] = ERROR_TENANT_BUSY,
        [LIMIT_INDEX(request_mib)] = ERROR_BODY_TOO_LARGE,
    };

    return stage == STAGE_STOPPED   ? stopped[cause]
           : stage == STAGE_REFUSED ? refused[cause]
                                    : ERROR_NONE;
}

static const char *evidence_text(enum evidence evidence)
{
    switch (evidence) {
    case EVIDENCE_PROOF:
        return ", and nobody else can have been it";
    case EVIDENCE_CLAIM:
        return ", by the worker's account";
    case EVIDENCE_NONE:
        break;
    }
    return "";
}

/* Writes "50.4 ms", from thousandths. */
static const char *amount(uint64_t milli, const char *unit, char *buffer, size_t size)
{
    (void) snprintf(buffer, size, "%" PRIu64 ".%" PRIu64 "%s%s", milli / 1000, milli % 1000 / 100,
                    unit[0] ? " " : "", unit);
    return buffer;
}

static void describe(const struct incident *incident, char *text, size_t size)
{
    const char *unit = incident_cause_unit(incident->cause);
    const char *name = incident_cause_name(incident->cause);
    uint64_t limit = incident->limit_milli, used = incident->used_milli;
    char most[32], had[32], over[32];

    if (limit == 0)
        (void) snprintf(text, size, "%s", name);
    else if (used == 0)
        (void) snprintf(text, size, "%s is %s", name, amount(limit, unit, most, sizeof most));
    else if (used <= limit) /* the refused size would have been too much */
        (void) snprintf(text, size, "%s is %s, used %s", name,
                        amount(limit, unit, most, sizeof most),
                        amount(used, unit, had, sizeof had));
    else
        (void) snprintf(text, size, "%s is %s, used %s (%s over)", name,
                        amount(limit, unit, most, sizeof most), amount(used, unit, had, sizeof had),
                        amount(used - limit, unit, over, sizeof over));
}

/* Returns whether the tenant may have another line in this second. Incidents without a tenant,
 * which only dying workers make, are always logged: nothing else would report them. */
static bool may_log(struct record *record, struct counted *counted)
{
    uint64_t second = io_now_ns() / NSEC_PER_SEC;
    struct log_window *all = &record->incidents.logged;

    if (!counted)
        return true;
    struct log_window *own = &counted->logs.incidents;
    log_window_roll(all, second);
    log_window_roll(own, second);
    if (own->lines >= LINES_PER_SECOND ||
        log_budget_has_share(own->lines, all->lines, LINES_OF_ALL_PER_SECOND, LITTLE_LINES)) {
        counted_leave_out_incident(counted);
        return false;
    }
    own->lines++;
    all->lines++;
    return true;
}

static void log_one(const struct incident *incident)
{
    enum log_level level = incident->stage == STAGE_KILLED ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
    const char *stage = stage_names[incident->stage], *cause = incident_cause_name(incident->cause);
    char limit[160], where[64] = "", worker[64] = "";

    describe(incident, limit, sizeof limit);
    if (incident->request)
        (void) snprintf(where, sizeof where, "; request %" PRIu64, incident->request);
    if (incident->pid > 0)
        (void) snprintf(worker, sizeof worker, "; worker %u (pid %d)", incident->worker,
                        (int) incident->pid);
    const struct log_field fields[] = {
        { .name = "event", .text = "incident", .size = strlen("incident") },
        { .name = "stage", .text = stage, .size = strlen(stage) },
        { .name = "cause", .text = cause, .size = strlen(cause) },
        { .name = "incident", .kind = LOG_FIELD_NUMBER, .number = incident->number },
    };
    log_event(
        level,
        LOG_ABOUT(.tenant = incident->tenant[0] ? incident->tenant : NULL,
                  .request = incident->request,
                  .code = incident->code == ERROR_NONE ? NULL : error_info(incident->code)->code,
                  .worker = incident->worker, .worker_pid = incident->pid, .fields = fields,
                  .n_fields = ARRAY_LEN(fields)),
        "%s: %s%s%s%s%s%s", stage, limit, incident->text[0] ? "; " : "", incident->text,
        evidence_text(incident->evidence), where, worker);
}

void incident_note(struct record *record, struct counted *counted, const struct incident *incident)
{
    struct incidents *all = &record->incidents;
    struct incident *kept = &all->kept[++all->last % INCIDENTS_KEPT];
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    *kept = *incident;
    kept->request = public_id(&record->ids, incident->request);
    if (kept->code == ERROR_NONE)
        kept->code = code_of(kept->stage, kept->cause);
    kept->number = all->last;
    kept->time_ms = (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / NSEC_PER_MSEC;
    kept->tenant[0] = '\0';
    if (counted)
        (void) snprintf(kept->tenant, sizeof kept->tenant, "%s", counted->name);
    stats_count_incident(record, counted, kept);
    /* A kill from outside is in the line about the death. */
    if (kept->cause != CAUSE_OUTSIDE && may_log(record, counted))
        log_one(kept);
}

const struct incident *incident_get(const struct incidents *incidents, uint64_t number)
{
    const struct incident *incident = &incidents->kept[number % INCIDENTS_KEPT];

    return number > 0 && incident->number == number ? incident : NULL;
}
