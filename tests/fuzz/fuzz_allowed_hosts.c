/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds rules of allowed_hosts and questions to them. The input is lines: a rule, method, scheme, port, host, path.
 * The verdict must fit what the parts say by themselves.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/allowed_hosts.h"

#define INPUT_MAX_BYTES 4096
#define LINES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct host_rule *rule, const struct host_question *question)
{
    const struct host_rule *found;
    const enum host_verdict verdict = host_rules_ask(rule, 1, question, &found);

    require((found == NULL) == (verdict == HOST_NOT_ALLOWED));
    require(rule->port >= 1 && rule->port <= HOST_RULE_PORT_ANY);
    if (verdict != HOST_ALLOWED)
        return;
    require(rule->is_https == question->is_https && question->host.size > 0);
    require(rule->port == HOST_RULE_PORT_ANY || rule->port == question->port);
    require(question->host.size >= strlen(rule->host) && question->path.size >= strlen(rule->path));
    require(rule->path[0] == '\0' || host_path_is_plain(question->path));
}

/* The text of a rule is that rule. */
static void check_text(const struct host_rule *rule)
{
    char text[HOST_RULE_TEXT_MAX + 1];
    const char *reason;
    struct host_rule again;

    require(host_rule_parse(host_rule_text(rule, text), &again, &reason) == 0);
    require(host_rule_is_same(rule, &again));
    host_rule_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct host_text lines[LINES] = { { "", 0 } };
    struct host_rule rule;
    const char *reason = NULL;

    if (size > INPUT_MAX_BYTES)
        return 0;
    _cleanup_free_ char *text = malloc(size + 1);
    require(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    char *at = text, *end = text + size;
    for (size_t i = 0; i < LINES && at <= end; i++) {
        char *newline = i + 1 < LINES ? memchr(at, '\n', (size_t) (end - at)) : NULL;
        char *line_end = newline ? newline : end;
        lines[i] = (struct host_text){ at, (size_t) (line_end - at) };
        *line_end = '\0';
        at = line_end + 1;
    }
    const struct host_question question = {
        .method = lines[1],
        .is_https = lines[2].size % 2 == 1,
        .port = lines[3].size > 0 ? (uint8_t) lines[3].data[0] : 443,
        .host = lines[4].size > 0 ? lines[4] : (struct host_text){ "", 0 },
        .path = lines[5].size > 0 ? lines[5] : (struct host_text){ "", 0 },
    };
    (void) host_path_is_plain(question.path);
    (void) host_port_is_bad(question.port);
    if (!lines[0].data || host_rule_parse(lines[0].data, &rule, &reason) < 0)
        return 0;
    check(&rule, &question);
    check_text(&rule);
    host_rule_done(&rule);
    return 0;
}
