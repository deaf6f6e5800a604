/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/played/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/channel.h"
#include "supervisor/helpers/store.h"
#include "tests/played/hold.h"

#define WAITING_MAX 64

static struct {
    const struct channel_table *answers;
    const struct helper_ops *ops;
    void *owner;
    bool is_lost;
    struct played_question waiting[WAITING_MAX];
    unsigned n_waiting;
    char current[PLAYED_VERSION_BYTES + 1], previous[PLAYED_VERSION_BYTES + 1];
    char sealed[PLAYED_VERSION_BYTES + 1];
} played;

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static void copy(ProtobufCBinaryData from, char *to, size_t size)
{
    PLAYED_HOLD(from.len < size);
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

/* ---- the client of the store, as the supervisor calls it */

struct helper *__wrap_store_helper(const struct store *store);
void __wrap_helper_listen(struct helper *helper, const struct channel_table *answers,
                          const struct helper_ops *ops, void *owner);
int __wrap_helper_ask(struct helper *helper, uint64_t id, const ProtobufCMessage *message);
bool __wrap_helper_is_ready(const struct helper *helper);
bool __wrap_helper_is_congested(const struct helper *helper);

struct helper *__wrap_store_helper(const struct store *store)
{
    return (struct helper *) (uintptr_t) store; /* only the wrapped functions see it */
}

void __wrap_helper_listen(struct helper *helper, const struct channel_table *answers,
                          const struct helper_ops *ops, void *owner)
{
    (void) helper;
    played.answers = answers;
    played.ops = ops;
    played.owner = owner;
}

bool __wrap_helper_is_ready(const struct helper *helper)
{
    (void) helper;
    return !played.is_lost;
}

bool __wrap_helper_is_congested(const struct helper *helper)
{
    (void) helper;
    return played.n_waiting > WAITING_MAX / 2;
}

static void take_commit(const Skep__Store__Commit *commit, struct played_question *question)
{
    PLAYED_HOLD(commit->version.len == PLAYED_VERSION_BYTES);
    copy(commit->version, question->version, sizeof question->version);
    copy(commit->reason, question->reason, sizeof question->reason);
    question->action = commit->action;
}

int __wrap_helper_ask(struct helper *helper, uint64_t id, const ProtobufCMessage *message)
{
    const Skep__Store__Request *request = (const Skep__Store__Request *) message;
    struct played_question *question = &played.waiting[played.n_waiting];

    (void) helper;
    if (played.n_waiting == WAITING_MAX || played.is_lost)
        return -EPIPE;
    played.n_waiting++;
    *question = (struct played_question){ .which = request->message_case, .id = id };
    PLAYED_HOLD(request->begin->id == id); /* each message has its id first */
    if (request->message_case == SKEP__STORE__REQUEST__MESSAGE_COMMIT)
        take_commit(request->commit, question);
    else if (request->message_case == SKEP__STORE__REQUEST__MESSAGE_CHECK)
        copy(request->check->version, question->version, sizeof question->version);
    return 0;
}

/* ---- its answers */

int played_store_says(Skep__Store__Answer__MessageCase which, const void *message)
{
    const struct channel_table *table = played.answers;

    PLAYED_HOLD((size_t) which < table->n_rules && table->rules[which].handle);
    return table->rules[which].handle(played.owner, message);
}

static void say(Skep__Store__Answer__MessageCase which, const void *message)
{
    if (played_store_says(which, message) < 0)
        played_fail("an honest answer of the store is refused", (int) which);
}

static void say_accepted(const struct played_question *question)
{
    Skep__Store__Accepted accepted = SKEP__STORE__ACCEPTED__INIT;

    accepted.id = question->id;
    say(SKEP__STORE__ANSWER__MESSAGE_ACCEPTED, &accepted);
}

static void say_sealed(const struct played_question *question)
{
    Skep__Store__Sealed sealed = SKEP__STORE__SEALED__INIT;

    sealed.id = question->id;
    sealed.version = sealed.folder = bytes_of(played.sealed);
    sealed.files = 1;
    sealed.bytes = 10;
    sealed.current = strcmp(played.sealed, played.current) == 0;
    say(SKEP__STORE__ANSWER__MESSAGE_SEALED, &sealed);
}

static void say_committed(const struct played_question *question)
{
    Skep__Store__Committed committed = SKEP__STORE__COMMITTED__INIT;

    memcpy(played.previous, played.current, sizeof played.previous);
    memcpy(played.current, question->version, sizeof played.current);
    committed.id = question->id;
    committed.previous = bytes_of(played.previous);
    say(SKEP__STORE__ANSWER__MESSAGE_COMMITTED, &committed);
}

static void say_versions(const struct played_question *question)
{
    Skep__Store__Versions versions = SKEP__STORE__VERSIONS__INIT;
    Skep__Store__Version serving = SKEP__STORE__VERSION__INIT;
    Skep__Store__Version previous = SKEP__STORE__VERSION__INIT;
    Skep__Store__Version *list[] = { &serving, &previous };

    serving.version = bytes_of(played.current);
    serving.state = bytes_of("serving");
    previous.version = bytes_of(played.previous);
    previous.state = bytes_of("previous");
    versions.id = question->id;
    versions.versions = list;
    versions.n_versions = played.previous[0] ? 2 : played.current[0] ? 1 : 0;
    say(SKEP__STORE__ANSWER__MESSAGE_VERSIONS, &versions);
}

static void say_removed(const struct played_question *question)
{
    Skep__Store__Removed removed = SKEP__STORE__REMOVED__INIT;

    removed.versions = played.previous[0] ? 2 : played.current[0] ? 1 : 0;
    played.current[0] = played.previous[0] = '\0';
    removed.id = question->id;
    say(SKEP__STORE__ANSWER__MESSAGE_REMOVED, &removed);
}

static void say_failed(const struct played_question *question, const char *text)
{
    Skep__Store__Failed failed = SKEP__STORE__FAILED__INIT;

    failed.id = question->id;
    failed.text = bytes_of(text);
    say(SKEP__STORE__ANSWER__MESSAGE_FAILED, &failed);
}

static void (*const honest[])(const struct played_question *question) = {
    [SKEP__STORE__REQUEST__MESSAGE_BEGIN] = say_accepted,
    [SKEP__STORE__REQUEST__MESSAGE_PART] = say_accepted,
    [SKEP__STORE__REQUEST__MESSAGE_SEAL] = say_sealed,
    [SKEP__STORE__REQUEST__MESSAGE_COMMIT] = say_committed,
    [SKEP__STORE__REQUEST__MESSAGE_LIST] = say_versions,
    [SKEP__STORE__REQUEST__MESSAGE_REMOVE] = say_removed,
    [SKEP__STORE__REQUEST__MESSAGE_CHECK] = say_accepted,
    [SKEP__STORE__REQUEST__MESSAGE_ABORT] = say_accepted,
    [SKEP__STORE__REQUEST__MESSAGE_CALLERS] = say_accepted,
};

static struct played_question take_question(void)
{
    struct played_question question = played.waiting[0];

    memmove(played.waiting, played.waiting + 1, --played.n_waiting * sizeof question);
    return question;
}

/* ---- what a test has it do */

void played_store_reset(void)
{
    memset(&played, 0, sizeof played);
}

struct store *played_store(void)
{
    return (struct store *) (void *) &played;
}

const char *played_store_current(void)
{
    return played.current;
}

const char *played_store_previous(void)
{
    return played.previous;
}

void played_store_seal_as(const char *version)
{
    PLAYED_HOLD(strlen(version) == PLAYED_VERSION_BYTES);
    memcpy(played.sealed, version, sizeof played.sealed);
}

struct played_question played_store_asked(void)
{
    return played.n_waiting > 0 ? played.waiting[0] : (struct played_question){ 0 };
}

bool played_store_is_lost(void)
{
    return played.is_lost;
}

bool played_store_answers(void)
{
    if (played.n_waiting == 0)
        return false;
    const struct played_question question = take_question();
    honest[question.which](&question);
    return true;
}

bool played_store_says_no(const char *text)
{
    if (played.n_waiting == 0)
        return false;
    const struct played_question question = take_question();
    if (question.which == SKEP__STORE__REQUEST__MESSAGE_ABORT)
        say_accepted(&question);
    else
        say_failed(&question, text);
    return true;
}

void played_store_dies(void)
{
    struct played_question waiting[WAITING_MAX];
    unsigned n = played.n_waiting;

    if (played.is_lost)
        return;
    memcpy(waiting, played.waiting, sizeof waiting);
    played.n_waiting = 0;
    played.is_lost = true;
    for (unsigned i = 0; i < n; i++)
        played.ops->on_failed(played.owner, waiting[i].id);
    played.ops->on_lost(played.owner);
}

void played_store_returns(void)
{
    if (!played.is_lost)
        return;
    played.is_lost = false;
    played.ops->on_ready(played.owner);
}
