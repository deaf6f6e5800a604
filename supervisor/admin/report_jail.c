/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail of workers: its layers, the results of the throw-away worker at the start, from inside,
 * and the kernel's facts of the live workers. Supervisor, loop thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "sandbox-policy/policy.h"
#include "supervisor/admin/report.h"
#include "supervisor/jail/attest.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

#define RULE_BYTES 160
#define RULES_MAX 8 /* most rules of one call */

/* Makes a text that lives as long as the arena; empty if there is no room. */
static ProtobufCBinaryData __attribute__((format(printf, 2, 3)))
text_of(struct arena *arena, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t size = n < 0 ? 0 : (size_t) n < sizeof text ? (size_t) n : sizeof text - 1;
    void *copy = size > 0 ? report_take(arena, size) : NULL;
    if (!copy)
        return (ProtobufCBinaryData){ 0 };
    memcpy(copy, text, size);
    return admin_bytes(copy, size);
}

/* ---- lists of named texts */

struct named_list {
    Skep__Admin__NamedText **items;
    size_t n, max;
};

static int named_init(struct named_list *list, struct arena *arena, size_t max)
{
    list->items = report_list(arena, max, &skep__admin__named_text__descriptor);
    list->max = max;
    return list->items ? 0 : -ENOMEM;
}

static void named_add(struct named_list *list, const char *name, ProtobufCBinaryData value)
{
    if (list->n == list->max)
        return;
    list->items[list->n]->name = report_text(name);
    list->items[list->n]->value = value;
    list->n++;
}

/* ---- layers */

static ProtobufCBinaryData layer_state(bool is_active, int error, struct arena *arena)
{
    if (is_active)
        return report_text("active");
    return error < 0 ? text_of(arena, "missing: %s", strerrordesc_np(-error))
                     : report_text("missing");
}

int report_layers(layer_set which, layer_set active, const int errors[static LAYERS],
                  struct arena *arena, Skep__Admin__NamedText ***ret_items, size_t *ret_n)
{
    struct named_list list = { 0 };

    int r = named_init(&list, arena, LAYERS);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < LAYERS; i++)
        if (which & LAYER_BIT(i))
            named_add(&list, layer_table[i].name,
                      layer_state((active & LAYER_BIT(i)) != 0, errors[i], arena));
    *ret_items = list.items;
    *ret_n = list.n;
    return 0;
}

/* ---- calls, from inside */

static const char *const verdict_names[VERDICTS] = {
    [VERDICT_REFUSED] = "refused",           [VERDICT_FAILS] = "fails",
    [VERDICT_CONDITIONAL] = "conditional",   [VERDICT_ALLOWED] = "allowed",
    [VERDICT_PAST_FILTERS] = "past_filters", [VERDICT_PASSED] = "passed",
};

static int add_rules(const struct jail_probe *probe, bool jit, struct arena *arena,
                     Skep__Admin__SystemCall *call)
{
    const struct policy_context context = { .jit = jit,
                                            .channel_fd = POLICY_CHANNEL_FD,
                                            .self = probe->layers & LAYER_BIT(LAYER_PID) ? 1 : 0 };
    const struct policy_table *table = &policy_worker_running;
    char rule[RULE_BYTES];

    call->rules = report_take(arena, RULES_MAX * sizeof *call->rules);
    if (!call->rules)
        return -ENOMEM;
    for (size_t i = 0; i < table->n_rows && call->n_rules < RULES_MAX; i++) {
        const struct policy_syscall *row = &table->rows[i];
        if (!policy_row_applies(row, &context) ||
            seccomp_syscall_resolve_name(row->name) != (int) call->number)
            continue;
        (void) policy_row_describe(row, &context, rule, sizeof rule);
        call->rules[call->n_rules++] =
            row->action == POLICY_ALLOW
                ? text_of(arena, "%s", rule)
                : text_of(arena, "%s: %s", rule, strerrorname_np(row->error));
    }
    return 0;
}

static int add_call(const struct jail_probe *probe, bool jit, unsigned number, struct arena *arena,
                    Skep__Admin__SystemCall *call)
{
    const struct jail_verdict *verdict = &probe->calls[number];
    char *name = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), (int) number);

    call->number = number;
    call->name = name ? text_of(arena, "%s", name) : (ProtobufCBinaryData){ 0 };
    free(name);
    call->verdict =
        report_text(verdict_names[verdict->kind < VERDICTS ? verdict->kind : VERDICT_PASSED]);
    if (verdict->error != 0)
        call->error = report_text(strerrorname_np(verdict->error));
    return verdict->kind == VERDICT_CONDITIONAL ? add_rules(probe, jit, arena, call) : 0;
}

static int add_calls(const struct jail_probe *probe, bool jit, struct arena *arena,
                     Skep__Admin__JailReport *report)
{
    int r = 0;

    report->calls = report_list(arena, VERDICT_NUMBERS, &skep__admin__system_call__descriptor);
    if (!report->calls)
        return -ENOMEM;
    for (unsigned i = 0; i < VERDICT_NUMBERS && r == 0; i++)
        r = add_call(probe, jit, i, arena, report->calls[report->n_calls++]);
    return r;
}

/* ---- live workers, from outside */

static int add_capabilities(const struct jail_facts *facts, struct arena *arena,
                            Skep__Admin__JailedWorker *jailed)
{
    const struct {
        const char *name;
        uint64_t mask;
    } sets[] = {
        { "inheritable", facts->cap_inheritable }, { "permitted", facts->cap_permitted },
        { "effective", facts->cap_effective },     { "bounding", facts->cap_bounding },
        { "ambient", facts->cap_ambient },
    };
    struct named_list list = { 0 };

    int r = named_init(&list, arena, ARRAY_LEN(sets));
    for (size_t i = 0; i < ARRAY_LEN(sets) && r == 0; i++)
        named_add(&list, sets[i].name, text_of(arena, "%016" PRIx64, sets[i].mask));
    jailed->capabilities = list.items;
    jailed->n_capabilities = list.n;
    return r;
}

static int add_namespaces(const struct jail_facts *facts, struct arena *arena,
                          Skep__Admin__JailedWorker *jailed)
{
    struct named_list list = { 0 };
    int r = named_init(&list, arena, LAYER_NAMESPACES);

    for (unsigned i = 0; i < LAYER_NAMESPACES && r == 0; i++)
        named_add(&list, facts_namespace_names[i],
                  report_text(facts->namespaces[i] == 0                          ? "hidden"
                              : facts->namespaces[i] == facts->our_namespaces[i] ? "shared"
                                                                                 : "own"));
    jailed->namespaces = list.items;
    jailed->n_namespaces = list.n;
    return r;
}

static ProtobufCBinaryData limit_text(struct arena *arena, const struct fact_limit *limit)
{
    char soft[24] = "unlimited", hard[24] = "unlimited";

    if (limit->soft != UINT64_MAX)
        (void) snprintf(soft, sizeof soft, "%" PRIu64, limit->soft);
    if (limit->hard != UINT64_MAX)
        (void) snprintf(hard, sizeof hard, "%" PRIu64, limit->hard);
    return limit->soft == limit->hard ? text_of(arena, "%s", soft)
                                      : text_of(arena, "%s/%s", soft, hard);
}

/* Adds the limits that the policy sets. */
static int add_limits(const struct jail_facts *facts, struct arena *arena,
                      Skep__Admin__JailedWorker *jailed)
{
    struct named_list list = { 0 };
    int r = named_init(&list, arena, policy_worker_n_limits);

    for (size_t i = 0; i < policy_worker_n_limits && r == 0; i++)
        named_add(&list, policy_worker_limits[i].name,
                  limit_text(arena, &facts->limits[policy_worker_limits[i].resource]));
    jailed->limits = list.items;
    jailed->n_limits = list.n;
    return r;
}

static int add_descriptors(const struct jail_facts *facts, struct arena *arena,
                           Skep__Admin__JailedWorker *jailed)
{
    static const char *const kinds[FACT_FD_KINDS] = {
        [FACT_FD_NULL] = "null",       [FACT_FD_SOCKET] = "socket", [FACT_FD_EPOLL] = "epoll",
        [FACT_FD_EVENTFD] = "eventfd", [FACT_FD_PIPE] = "pipe",     [FACT_FD_OTHER] = "other",
    };
    size_t n = facts->n_fds < FACTS_FDS ? facts->n_fds : FACTS_FDS;

    jailed->descriptors = report_list(arena, n, &skep__admin__open_descriptor__descriptor);
    if (!jailed->descriptors)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct fact_fd *fd = &facts->fds[i];
        jailed->descriptors[i]->number = (uint32_t) fd->number;
        jailed->descriptors[i]->kind =
            report_text(kinds[fd->kind < FACT_FD_KINDS ? fd->kind : FACT_FD_OTHER]);
    }
    jailed->n_descriptors = n;
    return 0;
}

static int fill_worker(const struct worker *worker, struct arena *arena,
                       Skep__Admin__JailedWorker *jailed)
{
    const struct jail_facts *facts = &worker->facts;

    skep__admin__jailed_worker__init(jailed);
    jailed->number = worker->number;
    jailed->pid = (uint32_t) worker->pid;
    jailed->attested_ms = (io_now_ns() - facts->taken_ns) / NSEC_PER_MSEC;
    jailed->finding = report_text(worker->jail_text);
    jailed->threads = facts->n_threads;
    jailed->seccomp = facts->seccomp_mode;
    jailed->filters = facts->n_filters;
    jailed->no_new_privs = facts->no_new_privs;
    jailed->uid = facts->uid;
    jailed->gid = facts->gid;
    jailed->groups = facts->n_groups;
    jailed->mounts = facts->n_mounts;
    jailed->empty_root = facts->is_root_empty != 0;
    jailed->may_look = facts->may_look != 0;
    jailed->exec_anonymous = facts->n_exec_anonymous;
    jailed->exec_writable = facts->n_exec_writable;
    int r = add_capabilities(facts, arena, jailed);
    if (r == 0)
        r = add_namespaces(facts, arena, jailed);
    if (r == 0)
        r = add_limits(facts, arena, jailed);
    return r < 0 ? r : add_descriptors(facts, arena, jailed);
}

static int add_workers(const struct admin_options *with, const struct cordon_config *cordon,
                       struct arena *arena, Skep__Admin__JailReport *report)
{
    const struct worker *worker;
    int r = 0;

    report->workers = report_take(arena, PAGE_ITEMS_MAX * sizeof(Skep__Admin__JailedWorker *));
    if (!report->workers)
        return -ENOMEM;
    TAILQ_FOREACH (worker, &with->slots->workers, entry) {
        if (worker->cordon != cordon || !worker->has_facts || report->n_workers == PAGE_ITEMS_MAX ||
            r < 0)
            continue;
        Skep__Admin__JailedWorker *jailed = report_take(arena, sizeof *jailed);
        r = jailed ? fill_worker(worker, arena, jailed) : -ENOMEM;
        if (r == 0)
            report->workers[report->n_workers++] = jailed;
    }
    return r;
}

int admin_report_jail(const struct admin_options *with, const struct cordon_config *cordon,
                      struct arena *arena, Skep__Admin__JailReport *ret)
{
    const struct jail_state *jail = with->jail;
    const struct jail_probe *probe = &jail->probes[cordon->jit != JIT_OFF];

    ret->cordon = report_text(cordon->name);
    ret->jit = report_text(jit_name(cordon->jit));
    ret->jail = report_text(jail_level_name(jail));
#if defined(__x86_64__)
    ret->architecture = report_text("x86_64");
#elif defined(__aarch64__)
    ret->architecture = report_text("aarch64");
#endif
    int r =
        report_layers(LAYERS_ALL, jail->layers, jail->errors, arena, &ret->layers, &ret->n_layers);
    if (r == 0 && jail->has_probe[cordon->jit != JIT_OFF]) {
        ret->start_us = probe->ready_us;
        r = add_calls(probe, cordon->jit != JIT_OFF, arena, ret);
    }
    return r < 0 ? r : add_workers(with, cordon, arena, ret);
}
