/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of tenants that come over the admin socket: each goes to the store, loads in a worker, is made
 * durable, and only then serves; for a while after it, too many errors bring the one before back.
 * Supervisor, loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.pb-c.h"
#include "supervisor/tenants/tenant.h"

struct deploy;
struct deploys;
struct event_base;
struct failure;
struct health;
struct life;
struct reader;
struct store;
struct total;
struct versions;

/* Most bytes of a file or of a value in one part. */
#define DEPLOY_PART_MAX_BYTES (UINT32_C(256) << 10)

/* The result for the client that asked. Borrowed for the call. */
struct deploy_result {
    const char *tenant;
    const char *version;  /* "" for a removal */
    const char *previous; /* "": none */
    /* Manifest of the version that serves now; NULL for a removal. */
    const struct manifest *manifest;
    bool is_unchanged; /* the version served already: nothing was done */
    uint32_t files;
    uint64_t bytes, boot_us;
    /* Migrations that were applied for it: "DATABASE/FILE". */
    char *const *migrations;
    unsigned n_migrations;
    uint32_t versions;  /* for a removal: number of versions that are gone */
    uint32_t in_flight; /* likewise: requests that had not ended by then */
};

/* Functions of the client that asked. failed, done and versions each end the deploy, which must not
 * be used after that. */
struct deploy_listener {
    void (*accepted)(void *owner); /* the next part may come */
    void (*failed)(void *owner, const struct failure *failure);
    void (*done)(void *owner, const struct deploy_result *result);
    void (*versions)(void *owner, const char *tenant, const Skep__Store__Versions *versions);
    /* A secret was set or removed. */
    void (*secret)(void *owner, const char *tenant, const char *name, bool had_it);
};

/* The progress of a deploy. */
enum deploy_state {
    DEPLOY_SENDING,    /* the store takes the beginning of an upload, or a part */
    DEPLOY_UPLOADING,  /* the next part may come */
    DEPLOY_SEALING,    /* the store looks at the whole upload */
    DEPLOY_CHOOSING,   /* rollback: the store lists the versions */
    DEPLOY_CHECKING,   /* rollback: the store looks whether the version is whole */
    DEPLOY_READING,    /* the reader reads the version */
    DEPLOY_BOOTING,    /* the version loads */
    DEPLOY_MIGRATING,  /* the version has loaded; its migrations are applied */
    DEPLOY_COMMITTING, /* the version is ready to serve; the store makes it durable */
    DEPLOY_LEAVING,    /* the removed tenant ends the requests that it has accepted */
    DEPLOY_CLEARING,   /* data removes what it has stored */
    DEPLOY_REMOVING,   /* the store removes it */
    DEPLOY_LISTING,    /* the store lists the versions, for the client */
    DEPLOY_KEEPING,    /* the store writes or removes a secret */
    DEPLOY_RETURNING,  /* the version before serves again; the store makes that durable */
    DEPLOY_POSTPONED,  /* the same, but the store is asked when it is there again */
    DEPLOY_ABANDONED,  /* over; the store has still to answer */
    DEPLOY_STATES,
};

enum deploy_event {
    DEPLOY_ON_ACCEPTED, /* answers of the store */
    DEPLOY_ON_SEALED,
    DEPLOY_ON_COMMITTED,
    DEPLOY_ON_VERSIONS,
    DEPLOY_ON_REMOVED,
    DEPLOY_ON_DENIED,     /* a refusal */
    DEPLOY_ON_UNANSWERED, /* the store has ended instead */
    DEPLOY_ON_STORE_LOST, /* the store has ended, with all uploads; after DEPLOY_ON_UNANSWERED */
    DEPLOY_ON_STORE_READY,
    DEPLOY_ON_PART, /* the client sends a part */
    DEPLOY_ON_LEFT, /* the client has gone */
    DEPLOY_ON_READ, /* by the reader */
    DEPLOY_ON_UNREADABLE,
    DEPLOY_ON_LOADED, /* the staged version */
    DEPLOY_ON_REFUSED,
    DEPLOY_ON_DROPPED,
    DEPLOY_ON_TICK,
    DEPLOY_ON_DRAIN,   /* skepd is about to end */
    DEPLOY_ON_CLEARED, /* answers of data */
    DEPLOY_ON_UNCLEARED,
    DEPLOY_ON_MIGRATED,
    DEPLOY_ON_UNMIGRATED,
    DEPLOY_EVENTS,
};

/* For tests of the table: returns the name of the action for an event in a state; NULL: there is
 * none. */
const char *deploy_action_name(enum deploy_state state, enum deploy_event event);

struct data;

struct deploy_asker {
    const struct deploy_listener *listener; /* borrowed: static */
    void *owner;                            /* borrowed, until the end or deploy_leave */
    uint32_t uid;
};

/* All borrowed. */
struct deploys_options {
    struct event_base *base;
    const struct config *config; /* a reload changes its contents */
    const struct life *life;
    const struct health *health; /* health of the helper processes */
    struct record *record;
    struct tenants *tenants;
    struct versions *versions;
    struct store *store;   /* NULL: nothing can be deployed */
    struct data *data;     /* NULL: no tenant can store anything */
    struct reader *reader; /* NULL in tests: files are read in the loop */
    bool is_dev; /* `skep dev`: one tenant gets every request, and nothing can be deployed */
};

/* Makes the deploys, and listens to the store, if there is one. Returns 0 or -ENOMEM. */
int deploys_new(const struct deploys_options *options, struct deploys **ret_deploys);
/* Detaches the store. No client gets an answer any more; the store still does removals that were begun.
 * NULL is allowed. Returns NULL. */
struct deploys *deploys_free(struct deploys *deploys);
/* Ends deploys because skepd ends: those that are not being made durable yet fail, the others go
 * on. */
void deploys_drain(struct deploys *deploys);
/* Takes the rights to call that were kept, before any tenant is installed; see callers_settle. Rights that cannot be read
 * are an error in the log only. Returns 0 or -errno. */
int deploys_read_callers(struct deploys *deploys);
/* Notes whether the state folder is this skepd's: at a hand-over, it is the old one's or the new one's. */
void deploys_set_owner(struct deploys *deploys, bool is_owner);
/* Installs stored tenants that are not in the folder of tenants. A broken one is named in the log and listed as
 * not served. Returns 0 or -ENOMEM. */
int deploys_install_stored(struct deploys *deploys);
/* For a skepd that is to replace another, after all tenants are installed: returns 0, or -ENOKEY, logged, if tenants are not served
 * because their secrets were sealed with another key than this skepd has, or it has none. */
int deploys_check_key(const struct deploys *deploys);

/* Each begins the command of its name. Return 0; or -errno, which failure has, too. text: the
 * tenant's name, unchecked. */
int deploy_begin(struct deploys *deploys, ProtobufCBinaryData text,
                 const struct deploy_asker *asker, struct deploy **ret_deploy,
                 struct failure *failure);
int deploy_rollback(struct deploys *deploys, ProtobufCBinaryData text, ProtobufCBinaryData version,
                    const struct deploy_asker *asker, struct deploy **ret_deploy,
                    struct failure *failure);
int deploy_remove(struct deploys *deploys, ProtobufCBinaryData text,
                  const struct deploy_asker *asker, struct deploy **ret_deploy,
                  struct failure *failure);
int deploy_list(struct deploys *deploys, ProtobufCBinaryData text, const struct deploy_asker *asker,
                struct deploy **ret_deploy, struct failure *failure);

/* Begin to set and to remove a secret that skep keeps. value: of the client, wiped by the caller. */
int deploy_set_secret(struct deploys *deploys, ProtobufCBinaryData text, ProtobufCBinaryData secret,
                      ProtobufCBinaryData value, const struct deploy_asker *asker,
                      struct deploy **ret_deploy, struct failure *failure);
int deploy_remove_secret(struct deploys *deploys, ProtobufCBinaryData text,
                         ProtobufCBinaryData secret, const struct deploy_asker *asker,
                         struct deploy **ret_deploy, struct failure *failure);

struct deploy_part {
    ProtobufCBinaryData path, env, data; /* path or env is empty */
    bool more, end;
};
/* Takes the next part; after the one with end the upload is sealed and loads. Returns 0, or -EPROTO
 * if none may come now. */
int deploy_take_part(struct deploy *deploy, const struct deploy_part *from);

/* Notes that the client has gone. A change that is not durable yet is given up. */
void deploy_leave(struct deploy *deploy);

/* Returns whether a deploy, rollback or removal is under way, so that skepd cannot hand over to
 * another. */
bool deploys_are_busy(const struct deploys *deploys);
/* Returns the number of these. */
unsigned deploys_count_busy(const struct deploys *deploys);
