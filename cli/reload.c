/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep reload`: has skepd read its config again, and says what changed. Fields of --json: those of
 * ConfigReloaded in admin.proto.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/client.h"
#include "cli/output.h"

#define RESTART_HINT "needs a restart; `skep upgrade` does it without losing a request"

static void print_change(const Skep__Admin__ConfigChange *change)
{
    output_text(stdout, change->key.data, change->key.len);
    (void) printf(": ");
    output_text(stdout, change->before.data, change->before.len);
    (void) printf(" → ");
    output_text(stdout, change->after.data, change->after.len);
    (void) printf("%s\n", change->needs_restart ? ": " RESTART_HINT : "");
}

static void print_applied(const Skep__Admin__ConfigReloaded *reloaded)
{
    for (size_t i = 0; i < reloaded->n_changes; i++)
        print_change(reloaded->changes[i]);
    for (size_t i = 0; i < reloaded->n_tenants; i++) {
        const Skep__Admin__TenantChange *tenant = reloaded->tenants[i];
        (void) printf("tenant ");
        output_text(stdout, tenant->name.data, tenant->name.len);
        (void) printf(": ");
        output_text(stdout, tenant->change.data, tenant->change.len);
        (void) printf("\n");
    }
    if (reloaded->not_listed > 0)
        (void) printf("and %" PRIu32 " more changes: see skepd's log\n", reloaded->not_listed);
    if (reloaded->n_changes + reloaded->n_tenants == 0)
        (void) printf("nothing has changed\n");
}

static void print_errors(const Skep__Admin__ConfigReloaded *reloaded)
{
    output_text(stderr, reloaded->errors.data, reloaded->errors.len);
    output_text(stderr, reloaded->tenant_errors.data, reloaded->tenant_errors.len);
    if (!reloaded->applied)
        (void) fputs("skep reload: the new config is refused; nothing has changed\n", stderr);
    else if (reloaded->tenant_errors.len > 0)
        (void) fputs("skep reload: these tenants stay as they were; all else is applied\n", stderr);
}

static void print_text(const void *message)
{
    const Skep__Admin__ConfigReloaded *reloaded = message;

    if (reloaded->applied)
        print_applied(reloaded);
    print_errors(reloaded);
}

static bool has_succeeded(const void *message)
{
    const Skep__Admin__ConfigReloaded *reloaded = message;

    return reloaded->applied && reloaded->tenant_errors.len == 0;
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_CONFIG_RELOAD,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_CONFIG_RELOADED,
    .print = print_text,
    .has_succeeded = has_succeeded,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__ConfigReloadRequest request = SKEP__ADMIN__CONFIG_RELOAD_REQUEST__INIT;

    return client_run(cli, argc, argv, &question, &request, NULL);
}

const struct verb verb_reload = {
    .name = "reload",
    .arguments = "",
    .summary = "read skepd.yaml and the tenants' folder again, without losing a request",
    .help = "All of it is checked first: with an error in skepd.yaml, or where a tenant that\n"
            "serves could not serve on, nothing changes. Otherwise the keys that may change while\n"
            "skepd runs are applied; the output has the old and the new value of each, and which\n"
            "need a restart. Tenants that are broken are named and stay as they were; then, too,\n"
            "the exit status is 1. SIGHUP does the same.\n\n"
            "Fields of --json: applied, changes (needs_restart, key, before, after), tenants\n"
            "(name to added, changed, other limits, removed or waits for a route), unchanged "
            "(tenants), not_listed\n"
            "(changes beyond what an answer holds), errors, tenant_errors (FILE:LINE: text, or\n"
            "null).\n",
    .run = run,
};
