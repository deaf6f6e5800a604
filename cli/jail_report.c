/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep jail-report [CORDON]`: the jail of a cordon's workers. Fields of --json: those of JailReport in
 * admin.proto.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/client.h"
#include "cli/output.h"

static bool is_all;

static const struct cli_option jail_report_options[] = {
    { .name = "all", .help = "a line for each system call, refused ones too", .given = &is_all },
    { .name = NULL },
};

static void print_bytes(ProtobufCBinaryData text)
{
    output_text(stdout, text.data, text.len);
}

static bool is_same(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void print_named(const char *heading, Skep__Admin__NamedText *const *items, size_t n)
{
    (void) printf("  %-13s", heading);
    for (size_t i = 0; i < n; i++) {
        (void) printf("%s", i > 0 ? ", " : "");
        print_bytes(items[i]->name);
        (void) printf(" ");
        print_bytes(items[i]->value);
    }
    (void) printf("\n");
}

static void print_call(const Skep__Admin__SystemCall *call)
{
    _cleanup_free_ char *name = output_line(call->name.data, call->name.len);

    (void) printf("  %4" PRIu32 " %-24s ", call->number, name ? name : "");
    print_bytes(call->verdict);
    if (call->error.len > 0) {
        (void) printf(" ");
        print_bytes(call->error);
    }
    (void) printf("\n");
    for (size_t i = 0; i < call->n_rules; i++) {
        (void) printf("%34s", "if ");
        print_bytes(call->rules[i]);
        (void) printf("\n");
    }
}

/* True if the next numbers, which have the same result, take one line together. */
static bool is_plain(const Skep__Admin__SystemCall *call)
{
    static const char refused[] = "refused";

    return call->verdict.len == strlen(refused) &&
           memcmp(call->verdict.data, refused, call->verdict.len) == 0;
}

static size_t print_refused(const Skep__Admin__JailReport *report, size_t first)
{
    size_t last = first;

    while (last + 1 < report->n_calls && is_plain(report->calls[last + 1]) &&
           is_same(report->calls[last + 1]->error, report->calls[first]->error))
        last++;
    if (last == first)
        print_call(report->calls[first]);
    else
        (void) printf("  %4" PRIu32 " to %-21" PRIu32 " refused\n", report->calls[first]->number,
                      report->calls[last]->number);
    return last + 1;
}

static void print_calls(const Skep__Admin__JailReport *report)
{
    (void) printf("\nSystem calls (");
    print_bytes(report->architecture);
    (void) printf("), tried from inside by a sealed worker, %.1f ms from its clone to its report; "
                  "refused: ends the worker\n",
                  (double) report->start_us / 1e3);
    for (size_t i = 0; i < report->n_calls;) {
        if (!is_all && is_plain(report->calls[i]))
            i = print_refused(report, i);
        else
            print_call(report->calls[i++]);
    }
}

static void print_worker(const Skep__Admin__JailedWorker *w)
{
    char age[OUTPUT_NUMBER_BYTES];

    (void) printf("\nWorker %" PRIu32 ", pid %" PRIu32 ", seen from outside %s ago%s", w->number,
                  w->pid, output_duration(w->attested_ms, age), w->finding.len > 0 ? ": " : "\n");
    if (w->finding.len > 0) {
        print_bytes(w->finding);
        (void) printf("\n");
    }
    (void) printf("  %-13s%" PRIu32 " threads, seccomp mode %" PRIu32 ", %" PRIu32
                  " filters, no_new_privs %" PRIu32 "\n",
                  "process", w->threads, w->seccomp, w->filters, w->no_new_privs);
    (void) printf("  %-13suid %" PRIu32 ", gid %" PRIu32 ", %" PRIu32 " groups\n", "ids", w->uid,
                  w->gid, w->groups);
    print_named("capabilities", w->capabilities, w->n_capabilities);
    print_named("namespaces", w->namespaces, w->n_namespaces);
    (void) printf("  %-13s%" PRIu32 "%s\n", "mounts", w->mounts,
                  w->empty_root ? ", an empty read-only root" : "");
    print_named("limits", w->limits, w->n_limits);
    if (!w->may_look) {
        (void) printf("  the rest is hidden from skepd's spawner\n");
        return;
    }
    (void) printf("  %-13s", "descriptors");
    for (size_t i = 0; i < w->n_descriptors; i++) {
        (void) printf("%s%" PRIu32 " ", i > 0 ? ", " : "", w->descriptors[i]->number);
        print_bytes(w->descriptors[i]->kind);
    }
    (void) printf("\n");
}

static void print_text(const void *message)
{
    const Skep__Admin__JailReport *report = message;

    (void) printf("Jail of cordon ");
    print_bytes(report->cordon);
    (void) printf(" (jit: ");
    print_bytes(report->jit);
    (void) printf("): ");
    print_bytes(report->jail);
    (void) printf("\n");
    for (size_t i = 0; i < report->n_layers; i++) {
        (void) printf("  %-13.*s", (int) report->layers[i]->name.len,
                      (const char *) report->layers[i]->name.data);
        print_bytes(report->layers[i]->value);
        (void) printf("\n");
    }
    if (report->n_calls > 0)
        print_calls(report);
    for (size_t i = 0; i < report->n_workers; i++)
        print_worker(report->workers[i]);
}

static const struct client_question question = {
    .command = SKEP__ADMIN__COMMAND__MESSAGE_JAIL_REPORT,
    .answer = SKEP__ADMIN__ANSWER__MESSAGE_JAIL_REPORT,
    .print = print_text,
};

static int run(struct cli *cli, int argc, char **argv)
{
    Skep__Admin__JailReportRequest request = SKEP__ADMIN__JAIL_REPORT_REQUEST__INIT;
    enum cli_exit status = CLI_DONE;

    int first = cli_options(cli, jail_report_options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (first < argc) {
        request.cordon = client_text(argv[first]);
    }
    return client_show(cli, &question, &request);
}

const struct verb verb_jail_report = {
    .name = "jail-report",
    .arguments = "[CORDON]",
    .summary = "show the jail of a cordon's workers, from inside and from outside",
    .help = "From inside: at its start skepd has a worker without tenants locked in as all others\n"
            "are, which then tries every system call number. From outside: the facts that the\n"
            "kernel told of each live worker when skepd last looked, every few seconds.\n"
            "Without CORDON the first one.\n\n"
            "Fields of --json: cordon, jit, jail, architecture, layers (object, see skep status),\n"
            "start_us (from the clone of that worker to its report), calls (list: number,\n"
            "name, verdict: refused, fails, allowed, conditional, past_filters, passed; error:\n"
            "with which it fails, or null; rules: of a conditional one), workers (list: number,\n"
            "pid, attested_ms ago, finding: what it could not show, threads, seccomp, filters,\n"
            "no_new_privs, uid, gid, groups, capabilities, namespaces, mounts, empty_root,\n"
            "limits, may_look, descriptors, exec_anonymous and exec_writable: mappings, of\n"
            "workers without JIT).\n",
    .options = jail_report_options,
    .run = run,
};
