/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/jail/attest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "sandbox-policy/policy.h"

#define WORKER_THREADS 2U /* main and sentry */
#define WORKER_FILTERS 2U /* start-up and running */
#define SECCOMP_FILTERED 2U

/* The facts to judge, and the text for the reason of a failure. */
struct attest {
    const struct jail_facts *facts;
    layer_set layers;
    bool jit;
    char *text;
    size_t size;
};

#define DIFFERS(attest, ...) ((void) snprintf((attest)->text, (attest)->size, __VA_ARGS__), -EPERM)

static bool has(const struct attest *attest, enum jail_layer layer)
{
    return (attest->layers & LAYER_BIT(layer)) != 0;
}

static int check_threads(const struct attest *attest)
{
    const struct jail_facts *facts = attest->facts;

    if (facts->n_threads != WORKER_THREADS)
        return DIFFERS(attest, "it has %u threads, expected %u", facts->n_threads, WORKER_THREADS);
    if (facts->seccomp_mode != SECCOMP_FILTERED)
        return DIFFERS(attest, "Seccomp: %u, expected %u", facts->seccomp_mode, SECCOMP_FILTERED);
    /* The spawner's own filters, of systemd for one, count too. 0: Linux before 5.9. */
    if (facts->n_filters != 0 && facts->n_filters < WORKER_FILTERS)
        return DIFFERS(attest, "Seccomp_filters: %u, expected at least %u", facts->n_filters,
                       WORKER_FILTERS);
    if (facts->no_new_privs != 1)
        return DIFFERS(attest, "NoNewPrivs: %u, expected 1", facts->no_new_privs);
    if (facts->tracer != 0)
        return DIFFERS(attest, "TracerPid: %u, expected 0", facts->tracer);
    if (has(attest, LAYER_SPECULATION) && !facts->is_speculation_off)
        return DIFFERS(attest, "speculation is not off");
    return 0;
}

static int check_capabilities(const struct attest *attest)
{
    const struct {
        const char *name;
        uint64_t value;
    } sets[] = {
        { "CapInh", attest->facts->cap_inheritable }, { "CapPrm", attest->facts->cap_permitted },
        { "CapEff", attest->facts->cap_effective },   { "CapAmb", attest->facts->cap_ambient },
        { "CapBnd", attest->facts->cap_bounding },
    };

    for (size_t i = 0; i < ARRAY_LEN(sets) - !has(attest, LAYER_BOUNDING); i++)
        if (sets[i].value != 0)
            return DIFFERS(attest, "%s: %016" PRIx64 ", expected none", sets[i].name,
                           sets[i].value);
    return 0;
}

static int check_namespaces(const struct attest *attest)
{
    const struct jail_facts *facts = attest->facts;

    for (unsigned i = 0; i < LAYER_NAMESPACES; i++)
        if (has(attest, (enum jail_layer) i) &&
            (facts->namespaces[i] == 0 || facts->namespaces[i] == facts->our_namespaces[i]))
            return DIFFERS(attest, "it shares our %s namespace", facts_namespace_names[i]);
    if (has(attest, LAYER_MOUNT) && facts->n_mounts != 1)
        return DIFFERS(attest, "it has %u mounts, expected 1", facts->n_mounts);
    if (has(attest, LAYER_MOUNT) && !facts->is_root_empty)
        return DIFFERS(attest, "its root is not an empty read-only tmpfs");
    return 0;
}

static int check_limits(const struct attest *attest)
{
    for (size_t i = 0; i < policy_worker_n_limits; i++) {
        const struct policy_limit *row = &policy_worker_limits[i];
        const struct fact_limit *limit = &attest->facts->limits[row->resource];
        if (limit->soft > row->value || limit->hard > row->value)
            return DIFFERS(attest, "%s: %" PRIu64 ", expected %" PRIu64, row->name, limit->hard,
                           (uint64_t) row->value);
    }
    return 0;
}

/* ---- descriptors */

struct tally {
    unsigned channels, event_polls, event_fds, pipe_ends;
    /* Inode of the first end; both ends must be those of one pipe, the worker's own. */
    uint64_t pipe;
};

static bool may_hold(const struct fact_fd *fd, struct tally *tally)
{
    if (fd->number <= STDERR_FILENO)
        return fd->kind == FACT_FD_NULL;
    if (fd->number == POLICY_CHANNEL_FD)
        return ++tally->channels == 1 && fd->kind == FACT_FD_SOCKET;
    /* Descriptors of libevent's loop: an epoll set, and a pipe to itself for signals. */
    if (fd->kind == FACT_FD_EPOLL)
        return ++tally->event_polls <= 1;
    if (fd->kind == FACT_FD_EVENTFD)
        return ++tally->event_fds <= 1;
    if (fd->kind == FACT_FD_PIPE && (tally->pipe_ends == 0 || tally->pipe == fd->inode)) {
        tally->pipe = fd->inode;
        return ++tally->pipe_ends <= 2;
    }
    return false;
}

static int check_descriptors(const struct attest *attest)
{
    const struct jail_facts *facts = attest->facts;
    struct tally tally = { 0 };

    for (unsigned i = 0; i < facts->n_fds && i < FACTS_FDS; i++)
        if (!may_hold(&facts->fds[i], &tally))
            return DIFFERS(attest, "it holds file descriptor %d, which it should not",
                           facts->fds[i].number);
    if (facts->n_fds > FACTS_FDS)
        return DIFFERS(attest, "it holds %u file descriptors", facts->n_fds);
    if (tally.channels != 1)
        return DIFFERS(attest, "it has no channel");
    if (tally.pipe_ends == 1)
        return DIFFERS(attest, "it holds one end of a pipe whose other end is elsewhere");
    return 0;
}

static int check_mappings(const struct attest *attest)
{
    if (attest->jit)
        return 0;
    if (attest->facts->n_exec_writable != 0)
        return DIFFERS(attest, "it has pages that are writable and executable");
    if (attest->facts->n_exec_anonymous != 0)
        return DIFFERS(attest, "it has executable pages that are of no file");
    return 0;
}

int attest_judge(const struct jail_facts *facts, layer_set layers, bool jit, char *text,
                 size_t size)
{
    static int (*const checks[])(const struct attest *attest) = {
        check_threads,
        check_capabilities,
        check_limits,
    };
    static int (*const inner_checks[])(const struct attest *attest) = {
        check_namespaces,
        check_descriptors,
        check_mappings,
    };
    const struct attest attest = { facts, layers, jit, text, size };
    int r = 0;

    (void) snprintf(text, size, "%s", "");
    for (size_t i = 0; i < ARRAY_LEN(checks) && r == 0; i++)
        r = checks[i](&attest);
    if (r < 0)
        return r;
    if (!facts->may_look) {
        if (has(&attest, LAYER_USER))
            return DIFFERS(&attest, "it cannot be looked into");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(inner_checks) && r == 0; i++)
        r = inner_checks[i](&attest);
    return r;
}
