/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skep-egress, the process that asks servers on behalf of tenants, and the only one of skep's that reaches the network
 * beyond. Nothing of a tenant runs in it. A helper (helper/helper.h), as a program or as a unit:
 *
 *     skep-egress [--dns=ADDRESS[:PORT][,…]] [--ca=FILE]
 *
 *     --dns=…     resolvers in place of those of /etc/resolv.conf
 *     --ca=FILE   certificates, PEM, that count besides those of the system
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "egress/internal.h"
#include "egress/trust.h"
#include "helper/helper.h"
#include "sandbox-policy/policy.h"

/* ---- frames */

static struct egress *egress_of(const struct helper_client *client)
{
    return helper_owner(client);
}

static int on_open(void *client, const ProtobufCMessage *message)
{
    const Skep__Egress__Open *open = (const Skep__Egress__Open *) message;

    return helper_take_id(client, open->id) ? fetch_open(egress_of(client), client, open) : -EPROTO;
}

/* Finds the fetch of a frame. *ret_fetch: NULL if it is over, which skepd need not know yet. 0 or -EPROTO. */
static int find(struct helper_client *client, uint64_t id, struct fetch **ret_fetch)
{
    *ret_fetch = fetch_find(egress_of(client), client, id);
    return *ret_fetch || helper_had_id(client, id) ? 0 : -EPROTO;
}

static int on_body(void *client, const ProtobufCMessage *message)
{
    const Skep__Stream__Body *body = (const Skep__Stream__Body *) message;
    struct fetch *fetch;
    int r = find(client, body->id, &fetch);

    return fetch ? fetch_on_body(fetch, body) : r;
}

static int on_credit(void *client, const ProtobufCMessage *message)
{
    const Skep__Stream__Credit *credit = (const Skep__Stream__Credit *) message;
    struct fetch *fetch;
    int r = find(client, credit->id, &fetch);

    return fetch ? fetch_on_credit(fetch, credit) : r;
}

static int on_cancel(void *client, const ProtobufCMessage *message)
{
    struct fetch *fetch;
    int r = find(client, ((const Skep__Stream__Cancel *) message)->id, &fetch);

    if (fetch)
        fetch_cancel(fetch);
    return r;
}

static int on_forget(void *client, const ProtobufCMessage *message)
{
    pool_retire(egress_of(client), client, ((const Skep__Egress__Forget *) message)->tenant);
    return 0;
}

static int on_ping(void *client, const ProtobufCMessage *message)
{
    Skep__Stream__Pong pong = SKEP__STREAM__PONG__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    (void) message;
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_PONG;
    frame.pong = &pong;
    return helper_send(client, &frame.base);
}

static const struct channel_rule rules[] = {
    [SKEP__EGRESS__TO_EGRESS__MESSAGE_OPEN] = { 1, on_open },
    [SKEP__EGRESS__TO_EGRESS__MESSAGE_BODY] = { 1, on_body },
    [SKEP__EGRESS__TO_EGRESS__MESSAGE_CREDIT] = { 1, on_credit },
    [SKEP__EGRESS__TO_EGRESS__MESSAGE_CANCEL] = { 1, on_cancel },
    [SKEP__EGRESS__TO_EGRESS__MESSAGE_FORGET] = { 1, on_forget },
    [SKEP__EGRESS__TO_EGRESS__MESSAGE_PING] = { 1, on_ping },
};

static const struct channel_table requests = {
    .envelope = &skep__egress__to_egress__descriptor,
    .case_offset = offsetof(Skep__Egress__ToEgress, message_case),
    .value_offset = offsetof(Skep__Egress__ToEgress, open),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};

/* ---- start and end */

static int open_files(void *owner, struct helper_words *ret)
{
    struct egress *egress = owner;
    const char *failed = "";

    /* Reads OpenSSL's configuration. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;
    int r = names_new(egress->servers, &egress->names);
    if (r < 0) {
        (void) snprintf(ret->error, sizeof ret->error,
                        "no resolvers: expected addresses, as in --dns=127.0.0.1:53,[::1]:53");
        return r;
    }
    r = trust_read(egress->ca_file, &egress->trust, &failed);
    if (r == -ENOENT) {
        (void) snprintf(ret->warning, sizeof ret->warning,
                        "%s has no certificates, so every https fetch will fail: install "
                        "ca-certificates",
                        failed);
        return 0;
    }
    if (r == -EINVAL)
        (void) snprintf(ret->error, sizeof ret->error, "%s has no certificates in PEM", failed);
    return r;
}

/* Ends the fetches of a skepd that has left. libcurl is never at work here. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct egress *egress = arg;

    (void) fd;
    (void) what;
    for (size_t i = 0; i < FETCH_BUCKETS; i++)
        for (struct fetch *fetch = LIST_FIRST(&egress->fetches[i]), *next; fetch; fetch = next) {
            next = LIST_NEXT(fetch, bucket);
            if (!fetch->client)
                fetch_cancel(fetch);
        }
}

static int attach(void *owner, struct event_base *base, struct helper_words *ret)
{
    struct egress *egress = owner;

    (void) ret;
    egress->base = base;
    egress->sweep = evtimer_new(base, on_sweep, egress);
    return egress->sweep ? names_attach(egress->names, base) : -ENOMEM;
}

/* Leaves the fetches to the next turn of the loop: libcurl may be at work on one of them. */
static void on_left(void *owner, struct helper_client *client)
{
    static const struct timeval at_once = { 0 };
    struct egress *egress = owner;

    for (size_t i = 0; i < FETCH_BUCKETS; i++) {
        struct fetch *fetch;
        LIST_FOREACH (fetch, &egress->fetches[i], bucket)
            if (fetch->client == client)
                fetch->client = NULL;
    }
    pool_retire_client(egress, client);
    if (egress->sweep)
        (void) event_add(egress->sweep, &at_once);
}

static void on_drained(void *owner, struct helper_client *client)
{
    pool_on_drained(owner, client);
}

static void stop(void *owner)
{
    struct egress *egress = owner;

    egress->names = names_free(egress->names);
    pool_free_all(egress);
    if (egress->sweep)
        event_free(egress->sweep);
    X509_STORE_free(egress->trust);
    curl_global_cleanup();
}

/* Returns the rest of the argument behind the option; NULL: the argument is another one. */
static const char *option(const char *argument, const char *name)
{
    size_t size = strlen(name);

    return strncmp(argument, name, size) == 0 ? argument + size : NULL;
}

static const char usage[] =
    "Usage: skep-egress [--dns=ADDRESS[:PORT][,...]] [--ca=FILE]\n"
    "Asks servers on behalf of tenants. It is started by systemd or skepd, and not by hand.\n\n"
    "  --dns=...    resolvers in place of those of /etc/resolv.conf\n"
    "  --ca=FILE    certificates, PEM, that count besides those of the system\n"
    "  --help       print this\n"
    "  --version    print the version\n";

int main(int argc, char **argv)
{
    static const char *const options[] = { "--dns=", "--ca=", NULL };
    static struct egress egress;
    const struct helper_program program = {
        .name = EGRESS_HELPER_NAME,
        .version = EGRESS_VERSION,
        .requests = &requests,
        .tails = &egress_tails,
        .calls = &policy_egress_table,
        .may_connect = true,
        .socket_bytes = EGRESS_SOCKET_BYTES,
        .open = open_files,
        .start = attach,
        .on_left = on_left,
        .on_drained = on_drained,
        .stop = stop,
        .usage = usage,
        .options = options,
        .owner = &egress,
    };

    TAILQ_INIT(&egress.pools);
    TAILQ_INIT(&egress.retired);
    for (int i = 1; i < argc; i++) {
        const char *servers = option(argv[i], "--dns="), *ca_file = option(argv[i], "--ca=");
        egress.servers = servers ? servers : egress.servers;
        egress.ca_file = ca_file ? ca_file : egress.ca_file;
    }
    return helper_main(argc, argv, &program);
}
