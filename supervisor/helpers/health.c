/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helpers/health.h"

#include <stdio.h>

#include "common/log.h"

static const char *const names[HELPERS] = {
    [HELPER_SPAWNER] = "spawner",
    [HELPER_STORE] = "store",
    [HELPER_EGRESS] = "egress",
    [HELPER_DATA] = "data",
};

static const char *const states[HELPER_STATES] = {
    [HELPER_ABSENT] = "absent",         [HELPER_OK] = "ok",         [HELPER_RESERVE] = "reserve",
    [HELPER_RESTARTING] = "restarting", [HELPER_SILENT] = "silent", [HELPER_GONE] = "gone",
};

static const char *const advice[HELPERS][HELPER_STATES] = {
    [HELPER_SPAWNER] = {
        [HELPER_RESERVE] = "its reserve starts workers, and makes another reserve: if this lasts, the log says "
                           "why it cannot",
        [HELPER_GONE] = "workers that end are not replaced, and no upgrade can be started; skepd serves "
                        "with the workers that it has: restart it (`systemctl restart skepd`)",
    },
    [HELPER_STORE] = {
        [HELPER_RESTARTING] = "deploys, rollbacks and removals fail until it is back: if this lasts, the log "
                              "says why it does not start",
        [HELPER_SILENT] = "deploys, rollbacks and removals wait for it: look at the disk of the state folder",
        [HELPER_GONE] = "nothing can be deployed, rolled back or removed, for no spawner is left to start it: "
                        "restart skepd (`systemctl restart skepd`)",
    },
    [HELPER_EGRESS] = {
        [HELPER_RESTARTING] = "fetches of tenants fail until it is back: if this lasts, the log says why it does "
                              "not start (as a unit: `systemctl status skep-egress`)",
        [HELPER_SILENT] = "fetches of tenants wait for it: it is ended, and another one started, if this lasts",
        [HELPER_GONE] = "fetches of tenants fail, for no spawner is left to start it: restart skepd "
                        "(`systemctl restart skepd`)",
    },
    [HELPER_DATA] = {
        [HELPER_RESTARTING] = "the storage of tenants (kv, sql) fails in its cordon until it is back: if this lasts, "
                              "the log says why it does not start",
        [HELPER_SILENT] = "the storage of tenants (kv, sql) waits for it in its cordon: look at the disk of "
                          "storage.folder; it is ended, and another one started, if this lasts",
        [HELPER_GONE] = "the storage of tenants (kv, sql) fails, for there is no program for it, or no spawner is left to "
                        "start it: restart skepd (`systemctl restart skepd`)",
    },
};

const char *helper_name(enum helper_id helper)
{
    return names[helper];
}

const char *helper_state_name(enum helper_state state)
{
    return states[state];
}

const char *helper_advice(enum helper_id helper, enum helper_state state)
{
    return advice[helper][state] ? advice[helper][state] : "";
}

const char *helper_advice_now(const struct health *health, enum helper_id helper)
{
    const struct helper_health *now = &health->of[helper];

    return now->state > HELPER_OK && now->remedy ? now->remedy : helper_advice(helper, now->state);
}

void helper_set_remedy(struct health *health, enum helper_id helper, const char *remedy)
{
    health->of[helper].remedy = remedy;
}

void helper_note(struct health *health, enum helper_id helper, enum helper_state state,
                 const char *why)
{
    struct helper_health *now = &health->of[helper];
    const char *detail = health->detail ? health->detail : "";
    const char *open = health->detail ? " (" : "", *close = health->detail ? ")" : "";

    if (now->state == state)
        return;
    if (state <= HELPER_OK && now->state > HELPER_OK)
        log_info("helper %s%s%s%s is %s again", names[helper], open, detail, close, states[state]);
    now->state = state;
    now->why = why;
    if (state > HELPER_OK)
        log_error("helper %s%s%s%s is %s: %s: %s", names[helper], open, detail, close,
                  states[state], why, helper_advice_now(health, helper));
    if (health->on_change)
        health->on_change(health->owner);
}

void helper_note_loss(struct health *health, enum helper_id helper, enum helper_state state,
                      const char *why)
{
    health->of[helper].losses++;
    helper_note(health, helper, state, why);
}

void helper_summary(const struct health *health, char *text, size_t size)
{
    text[0] = '\0';
    for (unsigned i = 0; i < HELPERS; i++) {
        enum helper_state state = health->of[i].state;
        if (state <= HELPER_OK)
            continue;
        (void) snprintf(text, size, "helper %s is %s: %s", names[i], states[state],
                        helper_advice_now(health, (enum helper_id) i));
        return;
    }
}
