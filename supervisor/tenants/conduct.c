/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenants/conduct.h"

#include <string.h>

#include "common/io.h"

static const char *const names[] = {
    [SECLUSION_NONE] = "",
    [SECLUSION_SUSPECT] = "suspect",
    [SECLUSION_STRIKES] = "strikes",
    [SECLUSION_BUSY] = "busy",
};

/* A busy tenant's part of the time of its worker, and factor over the busiest neighbour. */
#define BUSY_PART 2
#define BUSY_FACTOR 4
#define CALM_PART 10

static bool is_within(uint64_t since_ns, uint64_t seconds, uint64_t now_ns)
{
    return now_ns - since_ns < seconds * NSEC_PER_SEC;
}

unsigned conduct_marks(const struct conduct *conduct, uint64_t now_ns)
{
    unsigned n = 0;

    for (unsigned i = 0; i < conduct->n_marks; i++)
        n += is_within(conduct->marks_ns[i], CONDUCT_WINDOW_S, now_ns);
    return n;
}

static void add_mark(struct conduct *conduct, uint64_t now_ns)
{
    unsigned old = conduct->n_marks - conduct_marks(conduct, now_ns);

    if (old == 0 && conduct->n_marks == CONDUCT_STRIKES_MAX)
        old = 1;
    conduct->n_marks -= old;
    memmove(conduct->marks_ns, conduct->marks_ns + old,
            conduct->n_marks * sizeof *conduct->marks_ns);
    conduct->marks_ns[conduct->n_marks++] = now_ns;
}

static void begin_quarantine(struct conduct *conduct, uint64_t first_s, uint64_t now_ns)
{
    uint64_t seconds = first_s;

    for (unsigned i = 0; i < conduct->quarantines && seconds < CONDUCT_QUARANTINE_MAX_S; i++)
        seconds *= 2;
    if (seconds > CONDUCT_QUARANTINE_MAX_S && first_s < CONDUCT_QUARANTINE_MAX_S)
        seconds = CONDUCT_QUARANTINE_MAX_S;
    conduct->quarantines++;
    uint64_t until_ns = now_ns + seconds * NSEC_PER_SEC;
    if (conduct->is_by_operator && conduct->quarantined_until_ns >= until_ns)
        return; /* requests that were in flight do not shorten it */
    conduct->quarantined_until_ns = until_ns;
    conduct->is_by_operator = false;
}

enum conduct_step conduct_on_death(struct conduct *conduct, const struct conduct_rules *rules,
                                   enum evidence evidence, bool has_own, uint64_t now_ns)
{
    if (evidence == EVIDENCE_NONE)
        return CONDUCT_NO_STEP;
    conduct->last_mark_ns = now_ns;
    if (has_own && evidence != EVIDENCE_PROOF) /* maybe starved of CPU time */
        return CONDUCT_NO_STEP;
    add_mark(conduct, now_ns);
    conduct->strikes += evidence == EVIDENCE_PROOF;
    if (conduct->n_marks < rules->strikes)
        return CONDUCT_NO_STEP;
    conduct->n_marks = 0;
    if (conduct->seclusion == SECLUSION_STRIKES && (has_own || rules->has_no_seclusion)) {
        begin_quarantine(conduct, rules->quarantine_s, now_ns);
        return CONDUCT_QUARANTINE;
    }
    conduct->seclusion = SECLUSION_STRIKES;
    return CONDUCT_SECLUDE;
}

void conduct_suspect(struct conduct *conduct, uint64_t suspicion, uint64_t now_ns)
{
    conduct->last_mark_ns = now_ns;
    conduct->suspicion = conduct->suspected = suspicion;
    if (conduct->seclusion != SECLUSION_STRIKES)
        conduct->seclusion = SECLUSION_SUSPECT;
}

void conduct_clear(struct conduct *conduct)
{
    conduct->suspicion = 0;
    if (conduct->seclusion == SECLUSION_SUSPECT)
        conduct->seclusion = SECLUSION_NONE;
}

bool conduct_expire(struct conduct *conduct, uint64_t now_ns)
{
    uint64_t wait_s =
        conduct->seclusion == SECLUSION_STRIKES ? CONDUCT_PROBATION_S : CONDUCT_SUSPICION_S;

    if (conduct->quarantined_until_ns != 0 && conduct->quarantined_until_ns <= now_ns) {
        conduct->last_mark_ns = conduct->quarantined_until_ns; /* probation begins */
        conduct->quarantined_until_ns = 0;
        conduct->is_by_operator = false;
    }
    if (conduct->seclusion == SECLUSION_NONE || conduct->seclusion == SECLUSION_BUSY ||
        conduct->quarantined_until_ns != 0 || is_within(conduct->last_mark_ns, wait_s, now_ns))
        return false;
    if (conduct->seclusion == SECLUSION_STRIKES)
        conduct->quarantines = 0;
    conduct->seclusion = SECLUSION_NONE;
    conduct->suspicion = 0;
    conduct->n_marks = 0;
    return true;
}

bool conduct_part(struct conduct *conduct, uint64_t now_ns)
{
    if (conduct->seclusion != SECLUSION_NONE)
        return false;
    if (conduct->rejoined_ns != 0 &&
        !is_within(conduct->rejoined_ns, CONDUCT_CALM_FORGET_S, now_ns))
        conduct->parts = 0;
    conduct->seclusion = SECLUSION_BUSY;
    conduct->parts++;
    return true;
}

bool conduct_is_busy(uint64_t spent_us, uint64_t others_us, uint64_t own_us)
{
    return spent_us > own_us / BUSY_PART && others_us > 0 && spent_us > others_us * BUSY_FACTOR;
}

bool conduct_is_calm(uint64_t spent_us, uint64_t own_us)
{
    return spent_us * CALM_PART <= own_us;
}

bool conduct_rejoin(struct conduct *conduct, uint64_t calm_s, uint64_t now_ns)
{
    uint64_t wait_s = CONDUCT_CALM_S;

    for (unsigned i = 1; i < conduct->parts && wait_s < CONDUCT_CALM_MAX_S; i++)
        wait_s *= 2;
    if (conduct->seclusion != SECLUSION_BUSY || calm_s < wait_s)
        return false;
    conduct->seclusion = SECLUSION_NONE;
    conduct->rejoined_ns = now_ns;
    return true;
}

void conduct_quarantine(struct conduct *conduct, uint64_t seconds, uint64_t now_ns)
{
    conduct->quarantined_until_ns = seconds == 0 ? UINT64_MAX : now_ns + seconds * NSEC_PER_SEC;
    conduct->is_by_operator = true;
}

void conduct_release(struct conduct *conduct)
{
    uint64_t strikes = conduct->strikes;

    *conduct = (struct conduct){ .strikes = strikes };
}

uint32_t conduct_retry_after_s(const struct conduct *conduct, uint64_t now_ns)
{
    uint64_t until = conduct->quarantined_until_ns;

    if (until <= now_ns)
        return 0;
    if (until == UINT64_MAX)
        return UINT32_MAX;
    return (uint32_t) ((until - now_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
}

bool conduct_is_marked(const struct conduct *conduct, uint64_t now_ns)
{
    return conduct->last_mark_ns != 0 && is_within(conduct->last_mark_ns, CONDUCT_WINDOW_S, now_ns);
}

const char *conduct_seclusion_name(enum seclusion seclusion)
{
    return names[seclusion];
}
