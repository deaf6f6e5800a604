/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that set, remove and list secrets. No answer has a value, and the one that a client sends is wiped as soon as it is
 * sealed. Supervisor, loop thread.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/names.h"
#include "supervisor/admin/internal.h"
#include "supervisor/admin/report.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/record/failure.h"
#include "supervisor/secrets/secrets.h"
#include "supervisor/tenants/unserved.h"

#define ARENA_BYTES (4U << 20)
#define NOTE_BYTES 1024
#define NOTE_NAMES 8U /* secrets that a note names */

static void arena_cleanup(struct arena *arena)
{
    arena_done(arena);
}

static ProtobufCBinaryData text_of(const char *text)
{
    return admin_bytes(text, strlen(text));
}

/* Returns what the serving version does with a secret: "env", a host, or "". */
static const char *find_use(const struct admin_options *with, const char *name, const char *secret)
{
    const struct tenant *tenant = tenant_find(with->tenants, name, strlen(name));
    const struct secret_use *use =
        tenant ? manifest_find_secret(tenant->version->manifest, secret) : NULL;

    return !use ? "" : use->is_injected ? use->where.host : "env";
}

/* Writes which secrets a manifest has in place of the one that was set. */
static void write_others(const struct manifest *manifest, char *text, size_t size)
{
    size_t length = 0;
    int n;

    if (manifest->n_secrets == 0) {
        (void) snprintf(text, size, "skep.yaml of %s names no secret", manifest->name);
        return;
    }
    n = snprintf(text, size, "skep.yaml of %s names ", manifest->name);
    for (unsigned i = 0; i < manifest->n_secrets && i < NOTE_NAMES; i++) {
        length += n > 0 ? (size_t) n : 0;
        n = snprintf(text + length, size - length, "%s%s", i > 0 ? ", " : "",
                     manifest->secrets[i].name);
    }
    length += n > 0 ? (size_t) n : 0;
    if (manifest->n_secrets > NOTE_NAMES)
        (void) snprintf(text + length, size - length, " and %u more",
                        manifest->n_secrets - NOTE_NAMES);
}

/* Writes what an unserved tenant needs to be served. */
static void write_unserved(const struct admin_options *with, const struct unserved *unserved,
                           char *text, size_t size)
{
    _cleanup_(failure_done) struct failure failure = { 0 };
    const struct manifest *manifest = unserved->manifest;
    const char *next =
        unserved_is_of_folder(unserved) ? "`skep reload`" : "`skep upgrade`, or deploy it";

    if (manifest && secrets_check(with->tenants->secrets, manifest, NULL, NULL, &failure) < 0 &&
        failure.text)
        next = failure.text;
    (void) snprintf(text, size, "%s is not served: %s", unserved->target->name, next);
}

/* Writes why a secret that was set is not used yet, and what to do; "" if it is used. */
static void write_note(const struct admin_options *with, const char *name, const char *secret,
                       char *text, size_t size)
{
    const struct tenant *tenant = tenant_find(with->tenants, name, strlen(name));
    const struct unserved *unserved = unserved_find(with->tenants, name);
    const struct manifest *manifest = tenant     ? tenant->version->manifest
                                      : unserved ? unserved->manifest
                                                 : NULL;

    text[0] = '\0';
    if (!secrets_has_kept(with->tenants->secrets, name, secret)) /* the change was a removal */
        return;
    if (manifest && !manifest_find_secret(manifest, secret))
        write_others(manifest, text, size);
    else if (unserved)
        write_unserved(with, unserved, text, size);
    else if (!tenant)
        (void) snprintf(text, size, "there is no tenant %s yet", name);
}

/* ---- changes */

static void on_failed(void *owner, const struct failure *failure)
{
    struct admin_client *client = owner;

    client->deploy = NULL;
    (void) admin_send_refusal(client, failure);
}

static void on_secret(void *owner, const char *tenant, const char *name, bool had_it)
{
    Skep__Admin__SecretDone done = SKEP__ADMIN__SECRET_DONE__INIT;
    struct admin_client *client = owner;
    char note[NOTE_BYTES];

    client->deploy = NULL;
    done.tenant = text_of(tenant);
    done.name = text_of(name);
    done.replaced = had_it;
    done.used = text_of(find_use(admin_client_options(client), tenant, name));
    write_note(admin_client_options(client), tenant, name, note, sizeof note);
    done.note = text_of(note);
    (void) admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_SECRET_DONE, &done);
}

static const struct deploy_listener listener = { .failed = on_failed, .secret = on_secret };

static struct deploy_asker asker_of(struct admin_client *client)
{
    return (
        struct deploy_asker){ .listener = &listener, .owner = client, .uid = client->peer.who.uid };
}

static int begun(struct admin_client *client, int r, const struct failure *failure)
{
    if (r < 0)
        return admin_send_refusal(client, failure);
    admin_client_wait(client);
    return 0;
}

int admin_on_secret_set(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__SecretSetRequest *request = (const Skep__Admin__SecretSetRequest *) message;
    struct admin_client *client = owner;
    const struct deploy_asker asker = asker_of(client);
    _cleanup_(failure_done) struct failure failure = { 0 };
    int r = client->deploy ? -EPROTO : 0;

    if (r == 0)
        r = deploy_set_secret(admin_client_options(client)->deploys, request->tenant, request->name,
                              request->value, &asker, &client->deploy, &failure);
    /* The message is this handler's, until the channel frees it. */
    if (request->value.len > 0)
        OPENSSL_cleanse(request->value.data, request->value.len);
    return r == -EPROTO ? r : begun(client, r, &failure);
}

int admin_on_secret_remove(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__SecretRemoveRequest *request =
        (const Skep__Admin__SecretRemoveRequest *) message;
    struct admin_client *client = owner;
    const struct deploy_asker asker = asker_of(client);
    _cleanup_(failure_done) struct failure failure = { 0 };

    if (client->deploy)
        return -EPROTO;
    int r = deploy_remove_secret(admin_client_options(client)->deploys, request->tenant,
                                 request->name, &asker, &client->deploy, &failure);
    return begun(client, r, &failure);
}

/* ---- the list */

struct page {
    const struct admin_options *with; /* borrowed, as arena */
    struct arena *arena;
    Skep__Admin__Secret **rows;
    uint32_t skip, total;
    size_t n, size;
};

static const char *name_problem(int error)
{
    switch (error) {
    case 0:
        return "";
    case -ENOKEY:
        return "other_key";
    case -EOWNERDEAD:
        return "other_tenant";
    default:
        return "damaged";
    }
}

static int add_row(void *owner, const struct secret_row *from)
{
    struct page *page = owner;

    page->total++;
    if (page->total <= page->skip || page->n == PAGE_ITEMS_MAX || page->size >= PAGE_MAX_BYTES)
        return 0;
    Skep__Admin__Secret *row = report_take(page->arena, sizeof *row);
    if (!row)
        return -ENOMEM;
    skep__admin__secret__init(row);
    row->tenant = text_of(from->tenant);
    row->name = text_of(from->name);
    row->origin = text_of(from->is_given ? "given" : "kept");
    row->time_ms = from->time_ms;
    row->uid = from->uid;
    row->used = text_of(find_use(page->with, from->tenant, from->name));
    row->problem = text_of(name_problem(from->error));
    page->rows[page->n++] = row;
    page->size += skep__admin__secret__get_packed_size(row);
    return 0;
}

int admin_on_secrets(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__SecretsRequest *request = (const Skep__Admin__SecretsRequest *) message;
    const struct admin_options *with = admin_client_options(owner);
    Skep__Admin__Secrets secrets = SKEP__ADMIN__SECRETS__INIT;
    _cleanup_(arena_cleanup) struct arena arena = { 0 };
    struct page page = { .with = with, .arena = &arena, .skip = request->skip };
    char tenant[NAME_MAX_BYTES + 1] = "";

    if (request->tenant.len > NAME_MAX_BYTES)
        return admin_send_failure(owner, ADMIN_NO_TENANT);
    if (request->tenant.len > 0)
        memcpy(tenant, request->tenant.data, request->tenant.len);
    int r = arena_init(&arena, ARENA_BYTES);
    if (r == 0)
        page.rows = report_take(&arena, PAGE_ITEMS_MAX * sizeof(Skep__Admin__Secret *));
    if (r == 0)
        r = page.rows
                ? secrets_each(with->tenants->secrets, tenant[0] ? tenant : NULL, add_row, &page)
                : -ENOMEM;
    secrets.secrets = page.rows;
    secrets.n_secrets = page.n;
    secrets.total = page.total;
    return admin_send_report(owner, r, SKEP__ADMIN__ANSWER__MESSAGE_SECRETS, &secrets);
}
