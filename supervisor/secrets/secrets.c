/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/secrets/secrets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/character.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/secrets/internal.h"

#define MISSING_NAMED 6U /* secrets that one refusal names */

void secret_value_done(struct secret_value *value)
{
    secret_wipe(value->data, value->size);
    *value = (struct secret_value){ 0 };
}

void sealed_secret_done(struct sealed_secret *sealed)
{
    free(sealed->data);
    *sealed = (struct sealed_secret){ 0 };
}

/* ---- tenants */

/* FNV-1a, as for tenants. */
static unsigned bucket_of(const char *name)
{
    uint32_t hash = UINT32_C(2166136261);

    for (; *name; name++)
        hash = (hash ^ (unsigned char) *name) * UINT32_C(16777619);
    return hash % SECRETS_BUCKETS;
}

struct secret_owner *secrets_find(const struct secrets *secrets, const char *tenant)
{
    struct secret_owner *owner;

    LIST_FOREACH (owner, &secrets->buckets[bucket_of(tenant)], entry)
        if (strcmp(owner->tenant, tenant) == 0)
            return owner;
    return NULL;
}

struct secret_owner *secrets_get(struct secrets *secrets, const char *tenant)
{
    struct secret_owner *owner = secrets_find(secrets, tenant);

    if (owner)
        return owner;
    owner = calloc(1, sizeof *owner);
    if (!owner)
        return NULL;
    (void) snprintf(owner->tenant, sizeof owner->tenant, "%s", tenant);
    LIST_INSERT_HEAD(&secrets->buckets[bucket_of(tenant)], owner, entry);
    return owner;
}

static void owner_free(struct secret_owner *owner)
{
    for (unsigned i = 0; i < owner->n; i++)
        free(owner->list[i].sealed);
    free(owner->list);
    LIST_REMOVE(owner, entry);
    free(owner);
}

static int compare(const void *a, const void *b)
{
    const struct secret *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order != 0 ? order : right->is_given - left->is_given;
}

/* Finds the secret; of two with one name, the given one. */
static struct secret *find(const struct secret_owner *owner, const char *name)
{
    for (unsigned i = 0; owner && i < owner->n; i++)
        if (strcmp(owner->list[i].name, name) == 0)
            return &owner->list[i];
    return NULL;
}

static struct secret *find_of(const struct secret_owner *owner, const char *name, bool is_given)
{
    for (unsigned i = 0; owner && i < owner->n; i++)
        if (owner->list[i].is_given == is_given && strcmp(owner->list[i].name, name) == 0)
            return &owner->list[i];
    return NULL;
}

int secrets_put(struct secrets *secrets, struct secret_owner *owner, const char *name,
                bool is_given, uint8_t *sealed, size_t size)
{
    struct secret *secret = find_of(owner, name, is_given);

    if (secret) {
        free(secret->sealed);
        secret->sealed = sealed;
        secret->size = size;
    } else {
        struct secret *list = reallocarray(owner->list, owner->n + 1, sizeof *list);
        if (!list)
            return -ENOMEM;
        owner->list = list;
        list[owner->n] = (struct secret){ .is_given = is_given, .sealed = sealed, .size = size };
        (void) snprintf(list[owner->n].name, sizeof list[owner->n].name, "%s", name);
        owner->n++;
        qsort(list, owner->n, sizeof *list, compare);
    }
    find_of(owner, name, is_given)->stamp = ++secrets->last_stamp;
    return 0;
}

uint64_t secrets_stamp(const struct secrets *secrets, const struct manifest *manifest)
{
    const struct secret_owner *owner = secrets ? secrets_find(secrets, manifest->name) : NULL;
    uint64_t last = 0;

    for (unsigned i = 0; owner && i < manifest->n_secrets; i++) {
        const struct secret_use *use = &manifest->secrets[i];
        const struct secret *secret = use->is_injected ? NULL : find(owner, use->name);
        if (secret && secret->stamp > last)
            last = secret->stamp;
    }
    return last;
}

/* ---- start and end */

static int make_own_key(struct secrets *secrets)
{
    uint8_t bytes[SECRET_KEY_BYTES];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t) sizeof bytes)
        return log_error_errno(-EIO, "secrets: the kernel has no random bytes");
    return secret_key_new(bytes, &secrets->own);
}

int secrets_new(const struct secrets_options *options, struct secrets **ret_secrets)
{
    struct secrets *secrets = calloc(1, sizeof *secrets);

    if (!secrets)
        return log_error_errno(-ENOMEM, "secrets: cannot be read");
    secrets->is_dev = options->is_dev;
    secrets->state = options->has_state ? options->config->state : NULL;
    int r = make_own_key(secrets);
    if (r == 0)
        r = secrets_read_key(secrets, options->config);
    if (r == 0)
        r = secrets_read_given(secrets, options->config);
    if (r == 0)
        r = secrets_read_kept(secrets);
    if (r < 0) {
        (void) secrets_free(secrets);
        return r == -ENOMEM ? log_error_errno(r, "secrets: cannot be read") : r;
    }
    *ret_secrets = secrets;
    return 0;
}

struct secrets *secrets_free(struct secrets *secrets)
{
    struct secret_owner *owner;

    if (!secrets)
        return NULL;
    for (size_t i = 0; i < SECRETS_BUCKETS; i++)
        while ((owner = LIST_FIRST(&secrets->buckets[i])))
            owner_free(owner);
    secrets->key = secret_key_free(secrets->key);
    secrets->own = secret_key_free(secrets->own);
    free(secrets);
    return NULL;
}

/* ---- reading */

static int open_sealed(const struct secrets *secrets, const struct secret_owner *owner,
                       const struct secret *secret, struct secret_value *ret)
{
    static const uint8_t no_owner[SECRET_OWNER_BYTES];
    const struct secret_key *key = secret->is_given ? secrets->own : secrets->key;
    const struct secret_place place = {
        .owner = secret->is_given ? no_owner : owner->id,
        .tenant = owner->tenant,
        .name = secret->name,
    };

    return key ? secret_open(key, &place, secret->sealed, secret->size, &ret->data, &ret->size)
               : -ENOKEY;
}

/* Takes a variable of the terminal in which `skep dev` runs. Their prefix keeps a stranger's skep.yaml from naming any
 * other one. */
static int open_variable(const char *name, struct secret_value *ret)
{
    char prefixed[sizeof SECRETS_DEV_PREFIX + SECRET_NAME_MAX_BYTES];

    (void) snprintf(prefixed, sizeof prefixed, SECRETS_DEV_PREFIX "%s", name);
    const char *variable = getenv(prefixed);

    if (!variable || secrets_check_value(variable, strlen(variable)))
        return -ENOENT;
    ret->data = strdup(variable);
    ret->size = strlen(variable);
    return ret->data ? 0 : -ENOMEM;
}

int secrets_open(const struct secrets *secrets, const char *tenant, const char *name,
                 struct secret_value *ret_value)
{
    const struct secret_owner *owner = secrets ? secrets_find(secrets, tenant) : NULL;
    const struct secret *secret = find(owner, name);
    struct secret_value value = { 0 };

    int r = secret                       ? open_sealed(secrets, owner, secret, &value)
            : secrets && secrets->is_dev ? open_variable(name, &value)
                                         : -ENOENT;
    if (r == 0)
        *ret_value = value;
    return r;
}

const char *secrets_check_value(const char *data, size_t size)
{
    uint32_t code;

    if (size == 0)
        return "it is empty";
    if (size > SECRET_VALUE_MAX_BYTES)
        return "it has more than 32 KiB";
    for (size_t at = 0; at < size;) {
        size_t n = character_decode(data + at, size - at, &code);
        if (n == 0 || data[at] == '\0')
            return "it is not UTF-8 text: encode bytes as base64, say";
        at += n;
    }
    return NULL;
}

/* ---- whether a version can have them */

/* The secrets of one version that cannot be opened. */
struct missing {
    unsigned n;
    const struct secret_use *first;
    int error; /* error of the first one */
    char text[800];
    size_t size; /* bytes of text */
};

static const char *describe(int error)
{
    switch (error) {
    case -ENOKEY:
        return "was sealed with another key than skepd has";
    case -EBADMSG:
        return "cannot be opened: its file was changed, or is another secret's";
    case -EOWNERDEAD:
        return "is of a tenant of this name that was removed";
    default:
        return "is not set";
    }
}

static void add_missing(struct missing *missing, const struct secret_use *use, int error)
{
    if (missing->n++ == 0) {
        missing->first = use;
        missing->error = error;
    }
    if (missing->n > MISSING_NAMED)
        return;
    int n = snprintf(missing->text + missing->size, sizeof missing->text - missing->size, "%s%s %s",
                     missing->n > 1 ? ", " : "", use->name, describe(error));
    if (n > 0 && (size_t) n < sizeof missing->text - missing->size)
        missing->size += (size_t) n;
}

/* Returns whether `skep secrets set` can keep a value. */
static bool can_keep(const struct secrets *secrets)
{
    return secrets && secrets->key && secrets->state;
}

/* Writes what gives the missing ones a value. */
static void write_remedy(const struct secrets *secrets, const struct manifest *manifest,
                         const struct missing *missing, char *text, size_t size)
{
    const char *name = missing->n == 1 ? missing->first->name : "NAME";

    if (secrets && secrets->is_dev)
        (void) snprintf(text, size,
                        "expected the variable " SECRETS_DEV_PREFIX
                        "%s in the environment of `skep dev`",
                        name);
    else if (can_keep(secrets))
        (void) snprintf(text, size, "`skep secrets set %s %s` sets it", manifest->name, name);
    else
        (void) snprintf(text, size,
                        "expected it in `secrets.given` of skepd.yaml; `skep secrets set` needs "
                        "`state` and `secrets.key` there");
}

static int refuse(const struct secrets *secrets, const struct manifest *manifest,
                  const struct missing *missing, struct failure *failure)
{
    char remedy[256], more[32] = "";

    if (missing->error == -ENOMEM)
        return failure_set(failure, -ENOMEM, "skepd is out of memory");
    if (missing->n > MISSING_NAMED)
        (void) snprintf(more, sizeof more, ", and %u more", missing->n - MISSING_NAMED);
    write_remedy(secrets, manifest, missing, remedy, sizeof remedy);
    return failure_set_at(failure, missing->error, manifest->file, missing->first->line,
                          "secrets: %.*s%s: %s", (int) missing->size, missing->text, more, remedy);
}

static int check_use(const struct manifest *manifest, const struct secret_use *use,
                     const struct secret_value *value, struct failure *failure)
{
    const char *wrong = use->is_injected ? secret_check_header(value) : NULL;

    return wrong ? failure_set_at(failure, -EINVAL, manifest->file, use->line,
                                  "secrets: %s cannot be injected: %s", use->name, wrong)
                 : 0;
}

/* Counts the bytes of env that go to a worker in one frame. */
static size_t env_bytes(const struct manifest *manifest)
{
    size_t size = 0;

    for (unsigned i = 0; i < manifest->n_env; i++)
        size += strlen(manifest->env[i].name) + strlen(manifest->env[i].value);
    return size;
}

int secrets_check(const struct secrets *secrets, const struct manifest *manifest,
                  const char *new_name, const struct secret_value *new_value,
                  struct failure *failure)
{
    size_t size = manifest->n_secrets > 0 ? env_bytes(manifest) : 0;
    struct missing missing = { 0 };
    int r = 0;

    for (unsigned i = 0; i < manifest->n_secrets && r == 0; i++) {
        const struct secret_use *use = &manifest->secrets[i];
        bool is_new = new_name && strcmp(use->name, new_name) == 0;
        struct secret_value value = { 0 };
        int error = is_new ? 0 : secrets_open(secrets, manifest->name, use->name, &value);
        const struct secret_value *checked = is_new ? new_value : &value;
        if (error < 0)
            add_missing(&missing, use, error);
        else
            r = check_use(manifest, use, checked, failure);
        size += use->is_injected ? 0 : strlen(use->name) + checked->size;
        secret_value_done(&value);
    }
    if (r == 0 && missing.n > 0)
        r = refuse(secrets, manifest, &missing, failure);
    if (r == 0 && size > TENANT_ENV_BYTES_MAX)
        r = failure_set_at(failure, -EMSGSIZE, manifest->file, manifest->secrets[0].line,
                           "secrets: %zu KiB of env and secrets together are too many: expected at "
                           "most %u KiB",
                           size >> 10, TENANT_ENV_BYTES_MAX >> 10);
    return r;
}

/* ---- changes */

static int check_change(const struct secrets *secrets, const char *tenant, const char *name,
                        struct failure *failure)
{
    if (!secret_name_is_valid(name))
        return failure_set(failure, -EINVAL, "not the name of a secret: %s", secret_name_expected);
    if (!secrets || !secrets->key)
        return failure_set(failure, -ENOKEY,
                           "skep keeps no secrets without a key: make one with `head -c 32 "
                           "/dev/urandom`, in a file that only skepd's user can read, name it as "
                           "`secrets: { key: FILE }` in skepd.yaml, and run `skep upgrade`");
    const struct secret_owner *owner = secrets_find(secrets, tenant);
    if (find_of(owner, name, true))
        return failure_set(failure, -EEXIST,
                           "%s of %s is given in skepd.yaml: change it there, or remove it there "
                           "first",
                           name, tenant);
    if (owner && owner->n >= SECRETS_OF_TENANT_MAX && !find(owner, name))
        return failure_set(failure, -ENOSPC, "%s has %u secrets: `skep secrets remove` some",
                           tenant, owner->n);
    return 0;
}

int secrets_seal(struct secrets *secrets, const char *tenant, const char *name,
                 const struct secret_value *value, uint32_t uid, struct sealed_secret *ret_sealed,
                 struct failure *failure)
{
    const struct sealed_facts facts = {
        .time_ms = io_clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC,
        .uid = uid,
    };
    struct sealed_secret sealed = { 0 };

    int r = check_change(secrets, tenant, name, failure);
    if (r < 0)
        return r;
    const char *wrong = secrets_check_value(value->data, value->size);
    if (wrong)
        return failure_set(failure, -EINVAL, "the value cannot be a secret: %s", wrong);
    const struct secret_owner *owner = secrets_find(secrets, tenant);
    if (owner && owner->has_id)
        memcpy(sealed.owner, owner->id, sizeof sealed.owner);
    else if (getrandom(sealed.owner, sizeof sealed.owner, 0) != (ssize_t) sizeof sealed.owner)
        return failure_set(failure, -EIO, "the kernel has no random bytes");
    const struct secret_place place = { sealed.owner, tenant, name };
    r = secret_seal(secrets->key, &place, &facts, value->data, value->size, &sealed.data,
                    &sealed.size);
    if (r < 0)
        return failure_set(failure, r, "it cannot be sealed: %s", strerrordesc_np(-r));
    *ret_sealed = sealed;
    return 0;
}

int secrets_keep(struct secrets *secrets, const char *tenant, const char *name,
                 struct sealed_secret *sealed)
{
    struct secret_owner *owner = secrets_get(secrets, tenant);
    int r = owner ? secrets_put(secrets, owner, name, false, sealed->data, sealed->size) : -ENOMEM;

    if (r < 0)
        return r;
    sealed->data = NULL;
    memcpy(owner->id, sealed->owner, sizeof owner->id);
    owner->has_id = true;
    return 0;
}

bool secrets_has_kept(const struct secrets *secrets, const char *tenant, const char *name)
{
    return secrets && find_of(secrets_find(secrets, tenant), name, false);
}

static void drop(struct secret_owner *owner, const struct secret *secret)
{
    size_t at = (size_t) (secret - owner->list);

    free(owner->list[at].sealed);
    memmove(&owner->list[at], &owner->list[at + 1], (owner->n - at - 1) * sizeof *owner->list);
    owner->n--;
}

void secrets_forget(struct secrets *secrets, const char *tenant, const char *name)
{
    struct secret_owner *owner = secrets_find(secrets, tenant);
    const struct secret *secret = find_of(owner, name, false);

    if (secret)
        drop(owner, secret);
}

void secrets_forget_tenant(struct secrets *secrets, const char *tenant)
{
    struct secret_owner *owner = secrets ? secrets_find(secrets, tenant) : NULL;

    if (!owner)
        return;
    for (unsigned i = owner->n; i-- > 0;)
        if (!owner->list[i].is_given)
            drop(owner, &owner->list[i]);
    memset(owner->id, 0, sizeof owner->id);
    owner->has_id = false;
}

/* ---- lists */

static int visit_one(const struct secrets *secrets, const struct secret_owner *owner,
                     const struct secret *secret,
                     int (*visit)(void *owner, const struct secret_row *row), void *with)
{
    struct secret_row row = {
        .tenant = owner->tenant,
        .name = secret->name,
        .is_given = secret->is_given,
    };
    struct secret_value value = { 0 };
    struct sealed_facts facts = { 0 };

    row.error = open_sealed(secrets, owner, secret, &value);
    secret_value_done(&value);
    (void) secret_look(secret->sealed, secret->size, &facts);
    row.time_ms = facts.time_ms;
    row.uid = facts.uid;
    return visit(with, &row);
}

static int compare_owners(const void *a, const void *b)
{
    const struct secret_owner *const *left = a, *const *right = b;

    return strcmp((*left)->tenant, (*right)->tenant);
}

int secrets_each(const struct secrets *secrets, const char *tenant,
                 int (*visit)(void *owner, const struct secret_row *row), void *owner)
{
    const struct secret_owner *one;
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; secrets && i < SECRETS_BUCKETS; i++)
        LIST_FOREACH (one, &secrets->buckets[i], entry)
            n++;
    _cleanup_free_ const struct secret_owner **sorted =
        calloc(n + 1, sizeof(struct secret_owner *));
    if (!sorted)
        return -ENOMEM;
    n = 0;
    for (size_t i = 0; secrets && i < SECRETS_BUCKETS; i++)
        LIST_FOREACH (one, &secrets->buckets[i], entry)
            if (!tenant || strcmp(one->tenant, tenant) == 0)
                sorted[n++] = one;
    qsort(sorted, n, sizeof(struct secret_owner *), compare_owners);
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < sorted[i]->n && r == 0; k++)
            r = visit_one(secrets, sorted[i], &sorted[i]->list[k], visit, owner);
    return r;
}
