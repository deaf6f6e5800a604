/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that look at all tenants: the counts of StatsRequest and StatusRequest, and the pages of
 * TenantsRequest and TopRequest. With any number of tenants, a turn of the loop looks at
 * TENANT_LOOKS_MAX of them or fills one page; a longer walk continues in the next turn. Supervisor,
 * loop thread.
 */
#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/admin/report.h"
#include "supervisor/tenants/tenant.h"

#define WALK_ARENA_BYTES (4U << 20)

#define _cleanup_arena_ _cleanup_(arena_done)

/* ---- answers, at the end of a walk */

static int send_stats(struct admin_client *client, struct arena *arena)
{
    Skep__Admin__Stats stats = SKEP__ADMIN__STATS__INIT;

    int r = admin_report_stats(admin_client_options(client), &client->walk.count, arena, &stats);
    return admin_send_report(client, r, SKEP__ADMIN__ANSWER__MESSAGE_STATS, &stats);
}

static int send_status(struct admin_client *client, struct arena *arena)
{
    Skep__Admin__Status status = SKEP__ADMIN__STATUS__INIT;

    int r = admin_report_status(admin_client_options(client), &client->walk.count, arena, &status);
    return admin_send_report(client, r, SKEP__ADMIN__ANSWER__MESSAGE_STATUS, &status);
}

static int send_tenants(struct admin_client *client, struct arena *arena)
{
    Skep__Admin__Tenants tenants = SKEP__ADMIN__TENANTS__INIT;

    int r = admin_report_tenants(&client->walk.cursor, client->walk.skip, arena, &tenants);
    return admin_send_report(client, r, SKEP__ADMIN__ANSWER__MESSAGE_TENANTS, &tenants);
}

static int send_top(struct admin_client *client, struct arena *arena)
{
    Skep__Admin__Top top = SKEP__ADMIN__TOP__INIT;

    int r = admin_report_top_tenants(&client->walk.cursor, arena, &top);
    return admin_send_report(client, r, SKEP__ADMIN__ANSWER__MESSAGE_TOP, &top);
}

/* ---- the walk */

static const struct {
    int (*send)(struct admin_client *client, struct arena *arena);
    bool is_page; /* the walk ends where the page begins */
} goals[] = {
    [ADMIN_WALK_STATS] = { send_stats, false },
    [ADMIN_WALK_STATUS] = { send_status, false },
    [ADMIN_WALK_TENANTS] = { send_tenants, true },
    [ADMIN_WALK_TOP] = { send_top, true },
};

static void count_tenant(struct admin_count *count, const struct tenant *tenant)
{
    struct memory_use memory = { 0 };

    memory_add_tenant(tenant, &memory);
    count->tenants++;
    count->quarantined += conduct_retry_after_s(&tenant->conduct, io_now_ns()) > 0;
    count->heap_kib += memory.heap_kib;
    count->external_kib += memory.external_kib;
    count->bodies_kib += memory.bodies_kib;
}

/* Looks at some tenants. Returns whether there are more. */
static bool look_at_some(struct admin_walk *walk)
{
    bool is_page = goals[walk->goal].is_page;

    for (unsigned i = 0; i < TENANT_LOOKS_MAX; i++) {
        if (is_page && walk->cursor.n_taken >= walk->skip)
            return false;
        const struct tenant *tenant = tenant_cursor_take(&walk->cursor);
        if (!tenant)
            return false;
        if (!is_page)
            count_tenant(&walk->count, tenant);
    }
    return true;
}

static int finish(struct admin_client *client)
{
    enum admin_walk_goal goal = client->walk.goal;
    _cleanup_arena_ struct arena arena = { 0 };

    client->walk.goal = ADMIN_WALK_NONE;
    int r = arena_init(&arena, WALK_ARENA_BYTES);
    r = r < 0 ? admin_send_failure(client, ADMIN_NO_MEMORY) : goals[goal].send(client, &arena);
    if (!goals[goal].is_page)
        tenant_cursor_close(&client->walk.cursor);
    return r;
}

int admin_walk_on(struct admin_client *client)
{
    if (look_at_some(&client->walk)) {
        admin_client_next_turn(client);
        return 0;
    }
    admin_client_resume(client);
    return finish(client);
}

/* Begins a walk. For a client that has had `skip` rows and asks for the next ones, the cursor stands there, if its last
 * command was for the page before. */
static int begin(struct admin_client *client, enum admin_walk_goal goal, uint32_t skip)
{
    struct admin_walk *walk = &client->walk;

    walk->goal = goal;
    walk->skip = skip;
    walk->count = (struct admin_count){ 0 };
    bool is_there = walk->cursor.tenants && (walk->cursor.next ? walk->cursor.n_taken == skip
                                                               : walk->cursor.n_taken <= skip);
    if (!goals[goal].is_page || !is_there)
        tenant_cursor_open(&walk->cursor, admin_client_options(client)->tenants);
    if (!look_at_some(walk))
        return finish(client);
    admin_client_await(client);
    admin_client_next_turn(client);
    return 0;
}

void admin_walk_done(struct admin_walk *walk)
{
    tenant_cursor_close(&walk->cursor);
}

/* ---- commands */

int admin_on_stats(void *owner, const ProtobufCMessage *message)
{
    (void) message;
    return begin(owner, ADMIN_WALK_STATS, 0);
}

int admin_on_status(void *owner, const ProtobufCMessage *message)
{
    (void) message;
    return begin(owner, ADMIN_WALK_STATUS, 0);
}

int admin_on_tenants(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__TenantsRequest *request = (const Skep__Admin__TenantsRequest *) message;

    return begin(owner, ADMIN_WALK_TENANTS, request->skip);
}

int admin_on_top(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__TopRequest *request = (const Skep__Admin__TopRequest *) message;
    Skep__Admin__Top top = SKEP__ADMIN__TOP__INIT;
    _cleanup_arena_ struct arena arena = { 0 };

    if (!request->workers)
        return begin(owner, ADMIN_WALK_TOP, request->skip);
    int r = arena_init(&arena, WALK_ARENA_BYTES);
    if (r == 0)
        r = admin_report_top_workers(admin_client_options(owner), request->skip, &arena, &top);
    return admin_send_report(owner, r, SKEP__ADMIN__ANSWER__MESSAGE_TOP, &top);
}
