/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_dump [--arch x86_64|aarch64] [--jit on|off] [--format tsv|json]
 * policy_dump --filter startup|running [--arch ...] [--jit ...] [--format pfc|bpf]
 *
 * Prints the rows of the policy that count on that architecture with that JIT, or the filter that
 * libseccomp makes of them. For people and for tests/tools/trace_report.py; not installed.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "sandbox-policy/policy.h"

#define CHECKS_BYTES 256

struct options {
    struct policy_context context;
    const struct policy_table *filter; /* NULL: the rows of all tables */
    const char *format;
};

static const struct {
    const char *option; /* for --filter */
    const struct policy_table *table;
} tables[] = {
    { "startup", &policy_worker_startup },
    { "running", &policy_worker_running },
};

/* A line of the output: a row that counts, or a call that is allowed because the later filter names
 * it. */
struct line {
    const char *table;
    const struct policy_syscall *row;
    const char *reason;
    int number;
};

typedef void (*print_fn)(const struct line *line, const struct policy_context *context,
                         json_t *array);

static const char *action_of(const struct policy_syscall *row)
{
    return row->action == POLICY_ALLOW ? "allow" : "errno";
}

static const char *when_of(const struct policy_syscall *row)
{
    return row->when == POLICY_ALWAYS ? "always" : row->when == POLICY_WITH_JIT ? "jit" : "no jit";
}

static const char *error_of(const struct policy_syscall *row)
{
    const char *name = row->error ? strerrorname_np(row->error) : "";

    return name ? name : "?";
}

static void print_tsv(const struct line *line, const struct policy_context *context, json_t *array)
{
    char checks[CHECKS_BYTES];

    (void) array;
    (void) printf("%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", line->table, line->row->name, line->number,
                  action_of(line->row), error_of(line->row), when_of(line->row),
                  policy_row_describe(line->row, context, checks, sizeof checks), line->reason);
}

/* Returns "(argument & mask) op value". Numbers are text, because JSON's have no 64 bits without a
 * sign. */
static json_t *check_to_json(const struct policy_arg *arg, const struct policy_context *context)
{
    const struct scmp_arg_cmp compare = policy_arg_compare(arg, context);
    bool is_masked = compare.op == SCMP_CMP_MASKED_EQ;
    char mask[24], value[24];

    (void) snprintf(mask, sizeof mask, "0x%" PRIx64, is_masked ? compare.datum_a : UINT64_MAX);
    (void) snprintf(value, sizeof value, "0x%" PRIx64,
                    is_masked ? compare.datum_b : compare.datum_a);
    return json_pack("{s:i, s:s, s:s, s:s, s:b}", "arg", (int) arg->index, "mask", mask, "op",
                     compare.op == SCMP_CMP_NE ? "!=" : "=", "value", value, "is_self",
                     (int) (arg->check == POLICY_IS_SELF));
}

static void print_json(const struct line *line, const struct policy_context *context, json_t *array)
{
    json_t *checks = json_array();
    char text[CHECKS_BYTES];

    for (size_t i = 0; i < POLICY_MAX_ARGS && line->row->args[i].check != POLICY_NO_CHECK; i++)
        (void) json_array_append_new(checks, check_to_json(&line->row->args[i], context));
    (void) json_array_append_new(
        array,
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:o, s:s, s:s}", "table", line->table, "name",
                  line->row->name, "number", line->number, "action", action_of(line->row), "errno",
                  error_of(line->row), "when", when_of(line->row), "checks", checks, "text",
                  policy_row_describe(line->row, context, text, sizeof text), "reason",
                  line->reason));
}

static bool has_row(const struct policy_syscall *rows, size_t n, const char *name,
                    const struct policy_context *context)
{
    for (size_t i = 0; i < n; i++)
        if (policy_row_applies(&rows[i], context) && strcmp(rows[i].name, name) == 0)
            return true;
    return false;
}

static void print_table(const struct policy_table *table, const struct policy_context *context,
                        print_fn print, json_t *array)
{
    const struct policy_table *later = table->later;
    uint32_t token = policy_arch_token(context->arch);

    for (size_t i = 0; i < table->n_rows; i++) {
        const struct policy_syscall *row = &table->rows[i];
        const struct line line = { table->name, row, row->reason,
                                   seccomp_syscall_resolve_name_arch(token, row->name) };
        if (policy_row_applies(row, context))
            print(&line, context, array);
    }
    for (size_t i = 0; later && i < later->n_rows; i++) {
        const struct policy_syscall name = { .name = later->rows[i].name };
        const struct line line = { table->name, &name, "the later filter decides",
                                   seccomp_syscall_resolve_name_arch(token, name.name) };
        if (policy_row_applies(&later->rows[i], context) &&
            !has_row(table->rows, table->n_rows, name.name, context) &&
            !has_row(later->rows, i, name.name, context))
            print(&line, context, array);
    }
}

static void print_rows(const struct options *options)
{
    bool is_json = strcmp(options->format, "json") == 0;
    json_t *array = json_array();

    if (!is_json)
        (void) puts("table\tname\tnumber\taction\terrno\twhen\tchecks\treason");
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        print_table(tables[i].table, &options->context, is_json ? print_json : print_tsv, array);
    if (is_json)
        (void) json_dumpf(array, stdout, JSON_INDENT(1));
    json_decref(array);
}

static int export_filter(const struct options *options)
{
    scmp_filter_ctx filter = NULL;
    const char *failed = NULL;
    int r = policy_build_filter(options->filter, &options->context, &filter, &failed);

    if (r == 0) {
        failed = "export";
        r = strcmp(options->format, "bpf") == 0 ? seccomp_export_bpf(filter, STDOUT_FILENO)
                                                : seccomp_export_pfc(filter, STDOUT_FILENO);
        seccomp_release(filter);
    }
    if (r < 0)
        (void) fprintf(stderr, "policy_dump: %s: %s\n", failed, strerror(-r));
    return r;
}

static bool parse_option(int option, const char *value, struct options *options)
{
    switch (option) {
    case 'a':
        options->context.arch = strcmp(value, "aarch64") == 0 ? POLICY_AARCH64 : POLICY_X86_64;
        return strcmp(value, "aarch64") == 0 || strcmp(value, "x86_64") == 0;
    case 'j':
        options->context.jit = strcmp(value, "on") == 0;
        return options->context.jit || strcmp(value, "off") == 0;
    case 'o':
        options->format = value;
        return true;
    case 'f':
        for (size_t i = 0; i < ARRAY_LEN(tables); i++)
            if (strcmp(value, tables[i].option) == 0)
                options->filter = tables[i].table;
        return options->filter != NULL;
    default:
        return false;
    }
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        { "arch", required_argument, NULL, 'a' },
        { "jit", required_argument, NULL, 'j' },
        { "filter", required_argument, NULL, 'f' },
        { "format", required_argument, NULL, 'o' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) >= 0)
        if (!parse_option(option, optarg, options))
            return false;
    if (!options->format)
        options->format = options->filter ? "pfc" : "tsv";
    const char *const *formats = options->filter ? (const char *const[]){ "pfc", "bpf" }
                                                 : (const char *const[]){ "tsv", "json" };
    return optind == argc &&
           (strcmp(options->format, formats[0]) == 0 || strcmp(options->format, formats[1]) == 0);
}

int main(int argc, char **argv)
{
    struct options options = {
        .context = { .jit = true, .channel_fd = POLICY_CHANNEL_FD, .self = 1 },
    };

    if (!parse_options(argc, argv, &options)) {
        (void) fputs(
            "usage: policy_dump [--arch x86_64|aarch64] [--jit on|off] [--format tsv|json]\n"
            "       policy_dump --filter startup|running [--arch ...] [--jit ...] "
            "[--format pfc|bpf]\n",
            stderr);
        return 2;
    }
    if (options.filter)
        return export_filter(&options) < 0;
    print_rows(&options);
    return 0;
}
