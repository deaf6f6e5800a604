/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules about the places that a tenant's fetch may ask, each one line of text:
 *
 *     [METHOD[,METHOD…] ][SCHEME://]HOST[:PORT][/PATH]
 *
 *     api.example.com                      https, port 443, all methods and paths
 *     http://api.example.com:8080          another scheme and port; port * is any
 *     *.example.com                        each name that ends in .example.com, and not example.com itself
 *     *                                    each host
 *     GET,HEAD https://example.com/v1      these methods, and /v1, /v1/… and /v1?… alone
 *     GET,HEAD https://example.com/v1/     the same without /v1 itself
 *
 * A rule is about names. The address behind a name is another matter, see common/address_kind.h. Pure functions;
 * any process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/host_name.h"

#define HOST_RULE_TEXT_MAX 1024
#define HOST_RULE_METHODS_MAX 16
#define HOST_RULE_PORT_ANY UINT32_C(65536)

struct host_rule {
    char host[HOST_NAME_MAX_BYTES +
              1]; /* "example.com", "[::1]"; of a wildcard the part behind "*.", "" for "*" */
    bool is_wildcard;
    bool is_https;
    uint32_t port; /* 1 to 65535, or HOST_RULE_PORT_ANY */
    /* Methods, each followed by ",", as "GET,HEAD,"; "": all of them. Owned, as path. */
    char *methods;
    char *path;    /* "": each path */
    unsigned line; /* in its file, for messages; set by the reader of the file */
};

/* One question, in parts that were taken out of a URL by one parser: text is not NUL-ended. */
struct host_text {
    const char *data;
    size_t size;
};

struct host_question {
    bool is_https;
    uint32_t port;
    struct host_text method;
    struct host_text host; /* as host_name_parse writes it */
    struct host_text path; /* with the query, from "/" on */
};

/* The answers, in the order in which the parts of a rule are compared: the part that did not fit in the rule that
 * fitted longest. */
enum host_verdict {
    HOST_NOT_ALLOWED,
    HOST_SCHEME_NOT_ALLOWED,
    HOST_PORT_NOT_ALLOWED,
    HOST_METHOD_NOT_ALLOWED,
    HOST_PATH_NOT_ALLOWED,
    HOST_ALLOWED,
};

/* Parses one rule, NUL-ended. 0; or -EINVAL with *ret_reason, "expected …" (static); or -ENOMEM. *ret_rule is
 * undefined then, else host_rule_done frees what it holds. */
int host_rule_parse(const char *text, struct host_rule *ret_rule, const char **ret_reason);
void host_rule_done(struct host_rule *rule);
/* Writes the rule as short as it may be written: without https:// and without the port of its scheme. Returns text. */
const char *host_rule_text(const struct host_rule *rule, char text[static HOST_RULE_TEXT_MAX + 1]);
/* Returns whether both allow the same by the same words. Lines do not count. */
bool host_rule_is_same(const struct host_rule *a, const struct host_rule *b);
/* Returns whether the rule's host is the host, or a wildcard that has it. */
bool host_rule_has_host(const struct host_rule *rule, struct host_text host);

/* Returns whether one of the rules allows it. *ret_rule: the rule that the verdict is about, or NULL for
 * HOST_NOT_ALLOWED. */
enum host_verdict host_rules_ask(const struct host_rule *rules, size_t n_rules,
                                 const struct host_question *question,
                                 const struct host_rule **ret_rule);

/* Returns whether there is a question that both rules allow: HOST_ALLOWED; else the first part that has nothing in common. */
enum host_verdict host_rule_meets(const struct host_rule *rule, const struct host_rule *other);
/* Returns whether each host of the rule is one of the other's. */
bool host_rule_covers_host(const struct host_rule *other, const struct host_rule *rule);

/* Returns whether the port is none, or one of those that https://fetch.spec.whatwg.org/#bad-port blocks. */
bool host_port_is_bad(uint32_t port);

/* Returns whether a path may be compared with the path of a rule, because every server reads it as it is written:
 * it has no "." or ".." between slashes, however they are written, no backslash, and no encoded "/" or "\". A query
 * does not count. */
bool host_path_is_plain(struct host_text path);
