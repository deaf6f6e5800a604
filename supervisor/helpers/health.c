/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helpers/health.h"

#include <stdio.h>

#include "common/log.h"
#include "supervisor/server.h"
#include "supervisor/service/service.h"

static const char *const names[HELPERS] = {
    [HELPER_SPAWNER] = "spawner",
    [HELPER_STORE] = "store",
};

static const char *const states[HELPER_STATES] = {
    [HELPER_ABSENT] = "absent", [HELPER_OK] = "ok",     [HELPER_RESERVE] = "reserve",
    [HELPER_SILENT] = "silent", [HELPER_GONE] = "gone",
};

static const char *const advice[HELPERS][HELPER_STATES] = {
    [HELPER_SPAWNER] = {
        [HELPER_RESERVE] = "workers are started by its reserve, after which there is none; `skep upgrade` "
                           "makes both anew, and loses no request",
        [HELPER_GONE] = "no worker that ends is replaced, and no upgrade can be started; skepd serves with "
                        "the workers that it has: restart it (`systemctl restart skepd`)",
    },
    [HELPER_STORE] = {
        [HELPER_SILENT] = "deploys, rollbacks and removals wait for it: look at the disk of the state folder",
        [HELPER_GONE] = "nothing can be deployed, rolled back or removed; `skep upgrade` starts another, and "
                        "loses no request",
    },
};

const char *helper_name(enum helper helper)
{
    return names[helper];
}

const char *helper_state_name(enum helper_state state)
{
    return states[state];
}

const char *helper_advice(enum helper helper, enum helper_state state)
{
    return advice[helper][state] ? advice[helper][state] : "";
}

void helper_note(struct server *server, enum helper helper, enum helper_state state,
                 const char *why)
{
    struct helper_health *health = &server->helpers[helper];

    if (health->state == state)
        return;
    if (state > HELPER_OK)
        log_error("helper %s is %s: %s: %s", names[helper], states[state], why,
                  helper_advice(helper, state));
    else if (health->state > HELPER_OK)
        log_info("helper %s is %s again", names[helper], states[state]);
    health->state = state;
    health->why = why;
    if (server->service)
        service_tell_status(server);
}

void helper_note_loss(struct server *server, enum helper helper, enum helper_state state,
                      const char *why)
{
    server->helpers[helper].losses++;
    helper_note(server, helper, state, why);
}

void helper_summary(const struct server *server, char *text, size_t size)
{
    text[0] = '\0';
    for (unsigned i = 0; i < HELPERS; i++) {
        const struct helper_health *health = &server->helpers[i];
        if (health->state <= HELPER_OK)
            continue;
        (void) snprintf(text, size, "helper %s is %s: %s", names[i], states[health->state],
                        helper_advice((enum helper) i, health->state));
        return;
    }
}
