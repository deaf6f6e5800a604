/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that the files of deploys share: life.c (states and events), deploy.c (all of them), ask.c (commands, and
 * requests to the store), boot.c (from the store to a worker), answers.c (the store's answers), watch.c (after the switch),
 * stored.c (at the start), secrets.c (secrets that skep keeps). No other file includes this.
 */
#pragma once

#include <event2/event.h>
#include <sys/queue.h>

#include "config/names.h"
#include "proto/channel.h"
#include "store/history.h"
#include "supervisor/deploy/deploy.h"
#include "supervisor/helpers/store.h"
#include "supervisor/secrets/secrets.h"
#include "supervisor/versions/migrate.h"

#define DEPLOY_TICK_US 20000
#define DEPLOY_REASON_MAX 160
#define DEPLOY_STORE_GONE "the store has ended, and is started again: try again"

enum deploy_kind {
    DEPLOY_UPLOAD,
    DEPLOY_ROLLBACK,
    DEPLOY_REMOVAL,
    DEPLOY_LIST,
    DEPLOY_SECRET, /* a secret is set or removed */
    DEPLOY_WATCH,  /* the watch went back to the version before: the store follows */
};

struct deploy {
    TAILQ_ENTRY(deploy) entry;
    struct deploys *deploys; /* borrowed */
    uint64_t id;             /* id for the store */
    enum deploy_kind kind;
    enum deploy_state state;
    struct deploy_asker asker; /* listener NULL: the client has gone */
    char tenant[NAME_MAX_BYTES + 1];
    char version[VERSION_BYTES + 1]; /* for a rollback, first the name that was asked for */
    struct version *staged;          /* borrowed; while it loads and until it serves */
    uint32_t files;
    uint64_t bytes;
    /* Time at which it fails; for a removal: at which it does not wait any longer. */
    uint64_t until_ns;
    uint64_t boot_from_ns, boot_us;
    uint64_t leaving_number;     /* number of the tenant that leaves */
    unsigned n_clearing;         /* cordons whose data have not answered yet */
    int clear_error;             /* -errno of one of them; 0: none has failed */
    struct migration *migration; /* owned; NULL: none is under way */
    struct migrated migrated;    /* names of those that were applied */
    char reason[DEPLOY_REASON_MAX];
    char secret[SECRET_NAME_MAX_BYTES + 1]; /* name of a secret */
    struct sealed_secret sealed;            /* sealed value; { 0 }: the secret is removed */
};
TAILQ_HEAD(deploy_list, deploy);

/* Data of an event; NULL if the event has no such data. Borrowed for the call. */
struct deploy_news {
    const ProtobufCMessage *answer; /* answer of the store */
    const struct deploy_part *part;
    const struct failure *failure;
    struct manifest **manifest; /* manifest of the version that was read: to be taken */
    const char *dir;            /* likewise, of its files */
};

/* The rights to call on their way to the disk. */
struct callers_keeping {
    struct event *event; /* looks whether they have changed; NULL: nothing is kept */
    bool
        is_held; /* no right is written: the state folder is another skepd's, or the file is damaged */
    bool is_damaged; /* the file cannot be read, and stays as it is */
    char *stored;    /* owned; the text that is on the disk */
    size_t stored_size;
    char *sent; /* owned; the text that the store is writing; NULL: none */
    size_t sent_size;
    uint64_t id;           /* id of its parts */
    unsigned n_unanswered; /* parts */
    bool has_failed;       /* one of them */
};

struct deploys {
    struct deploys_options with;
    struct deploy_list list;
    struct callers_keeping callers;
    uint64_t last_id;
    struct event *tick;
    struct event *check; /* event: a watched version has failed too often */
    uint64_t refused;    /* changes that were refused as too many at a time */
};

/* ---- life.c */

/* Does what the table has for the event in the deploy's state; the deploy may be gone afterwards. Returns 0; or -EPROTO if
 * there is no action for it, or its data cannot be: then the peer is at fault, and all is as before. */
int deploy_on_event(struct deploy *deploy, enum deploy_event event, const struct deploy_news *news);
/* Returns whether the event has an action in the deploy's state. */
bool deploy_expects(const struct deploy *deploy, enum deploy_event event);
/* Passes the event to each deploy. */
void deploys_on_event(struct deploys *deploys, enum deploy_event event);
/* Tells the client, gives up the change, and frees the deploy; an upload stays in the list
 * until the store has given it up, too. code: -errno, of struct failure. */
void deploy_fail(struct deploy *deploy, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void deploy_fail_with(struct deploy *deploy, const struct failure *failure);

/* ---- deploy.c */

struct deploy *deploy_new(struct deploys *deploys, enum deploy_kind kind,
                          const struct deploy_asker *asker, const char *tenant);
struct deploy *deploy_find(const struct deploys *deploys, uint64_t id); /* may be NULL */
/* Returns the deploy that changes the tenant; may be NULL. */
struct deploy *deploy_find_change(const struct deploys *deploys, const char *tenant);
/* Returns whether the deploy changes its tenant, and is not over. */
bool deploy_is_change(const struct deploy *deploy);
/* Tells the client, and frees the deploy. */
void deploy_succeed(struct deploy *deploy, const struct deploy_result *result);
void deploy_free(struct deploy *deploy);
/* Returns the tenant that it removes, while anything of it is left; may be NULL. */
const struct tenant *deploy_find_leaving(const struct deploy *deploy);
/* Starts the tick, if it does not run. */
void deploy_want_tick(struct deploys *deploys);

/* Listener of the version that a deploy has staged; owner: struct deploy. */
extern const struct version_listener deploy_of_version;

/* ---- ask.c: requests to the store. Each has the deploy wait for the answer; 0 or -errno. */

int deploy_send_seal(struct deploy *deploy);
int deploy_send_commit(struct deploy *deploy, enum store_action action);
int deploy_send_remove(struct deploy *deploy);
/* Begins a removal, whose requests are over: what the tenant has stored goes first, so that no other tenant of that name gets it. 0 or
 * -errno; the deploy is still there. */
int deploy_clear(struct deploy *deploy);
int deploy_send_check(struct deploy *deploy);
/* Begins to apply the migrations of the staged version. If that fails, the deploy is gone. */
void deploy_migrate(struct deploy *deploy);
int deploy_send_abort(struct deploy *deploy);

/* Sends a request. message: one of the kind, whose first field after the base is the id. */
int deploy_send(struct deploy *deploy, Skep__Store__Request__MessageCase kind, void *message);
/* Check the conditions of all commands, and of those that change a tenant; the name is taken out of text. */
int deploy_check(struct deploys *deploys, ProtobufCBinaryData text,
                 char name[static NAME_MAX_BYTES + 1], struct failure *failure);
/* Returns the number of deploys of a kind that are not abandoned. */
unsigned deploys_count(const struct deploys *deploys, enum deploy_kind kind);
/* Hands the deploy to the command, or frees it. r: the result of its first request to the store. */
int deploy_begun(struct deploy *deploy, int r, struct deploy **ret_deploy, struct failure *failure);

/* Sends a part of an upload. */
int deploy_send_part(struct deploy *deploy, const struct deploy_part *from);

/* ---- boot.c */

/* Has the reader read the version from its folder below versions/. If it fails, the deploy is gone. */
void deploy_boot(struct deploy *deploy, const char *folder);
/* Checks the manifest that was read, and loads the version. */
void deploy_stage(struct deploy *deploy, struct manifest *read, const char *dir);
/* Switches to the version after its commit. previous: the one that served before, or "". */
void deploy_switch(struct deploy *deploy, const char *previous);
/* Reads a stored version with its env. max_bytes: as manifest_read. Returns 0 or -errno with errors filled, which have the paths that the
 * tenant knows. */
int deploy_read(const char *state, const char *tenant, const char *folder, uint32_t max_bytes,
                struct manifest **ret_manifest, char **ret_dir, struct config_errors *errors);

/* ---- answers.c */

extern const struct channel_table deploy_answers; /* owner: struct deploys */

/* Actions of the table that read an answer; each returns 0 or -EPROTO. */
int deploy_take_seal(struct deploy *deploy, const struct deploy_news *news);
int deploy_take_commit(struct deploy *deploy, const struct deploy_news *news);
int deploy_choose(struct deploy *deploy, const struct deploy_news *news);
int deploy_show(struct deploy *deploy, const struct deploy_news *news);
int deploy_take_removal(struct deploy *deploy, const struct deploy_news *news);

/* ---- secrets.c */

/* Actions of the table: the store has done it; the store was lost before it said so. */
int deploy_take_secret(struct deploy *deploy, const struct deploy_news *news);
int deploy_lose_secret(struct deploy *deploy, const struct deploy_news *news);

/* ---- callers.c */

int deploy_callers_new(struct deploys *deploys);
/* Sends what has changed and is not sent yet. */
void deploy_callers_done(struct deploys *deploys);
/* Returns whether the store's answer, or the loss of the store, is about the rights to call, and takes it then. error:
 * NULL: the part was accepted. */
bool deploy_callers_take_answer(struct deploys *deploys, uint64_t id, const char *error,
                                size_t size);
void deploy_callers_on_ready(struct deploys *deploys);
/* Returns whether the store is writing them. */
bool deploy_callers_are_pending(const struct deploys *deploys);

/* ---- watch.c */

void deploy_begin_watch(struct deploys *deploys, struct tenant *tenant);
/* Has the store, now or when it is there again, make it durable that the version of a DEPLOY_WATCH serves, or none
 * if that is "". May free the deploy. */
void deploy_send_back(struct deploy *deploy);
/* Brings versions back whose successors failed too often, and ends watches that are over. Returns whether
 * any is left. */
bool deploy_check_watches(struct deploys *deploys);

/* ---- ask.c */

/* Reads the row of uploads and rollbacks under way. owner: struct deploys. */
void deploys_read_total(void *owner, struct total *total);
