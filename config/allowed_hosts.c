/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses and applies the rules of allowed_hosts. The texts of a question come from a tenant. Pure; any process.
 */
#include "config/allowed_hosts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

#define PORT_MAX 65535

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int refuse(const char *reason, const char **ret_reason)
{
    *ret_reason = reason;
    return -EINVAL;
}

/* ---- methods */

/* Checks "GET,HEAD". Methods of RFC 9110 that a fetch can have are upper case; others are compared as they are. */
static const char *check_methods(const char *text, size_t size)
{
    unsigned n = 1;
    size_t length = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] == ',') {
            if (length == 0)
                return "expected methods with one comma between them";
            n++;
            length = 0;
        } else if (is_letter_or_digit(text[i]) || text[i] == '-' || text[i] == '_') {
            length++;
        } else {
            return "expected methods as in \"GET,HEAD https://example.com\"";
        }
    }
    if (length == 0)
        return "expected methods with one comma between them";
    return n > HOST_RULE_METHODS_MAX ? "expected at most 16 methods" : NULL;
}

/* Takes the methods at the head of the text, if there are any. */
static int take_methods(const char **text, struct host_rule *rule, const char **ret_reason)
{
    const char *space = strchr(*text, ' ');
    size_t size = space ? (size_t) (space - *text) : 0;

    rule->methods = calloc(1, size + 2);
    if (!rule->methods)
        return -ENOMEM;
    if (!space)
        return 0;
    const char *reason = check_methods(*text, size);
    if (reason)
        return refuse(reason, ret_reason);
    memcpy(rule->methods, *text, size);
    rule->methods[size] = ',';
    *text = space + 1;
    return 0;
}

/* Returns whether the list has the method, which has no comma in it. */
static bool methods_have(const char *methods, struct host_text method)
{
    if (methods[0] == '\0')
        return true;
    for (const char *comma; (comma = strchr(methods, ',')); methods = comma + 1)
        if ((size_t) (comma - methods) == method.size &&
            memcmp(methods, method.data, method.size) == 0)
            return true;
    return false;
}

/* ---- paths */

/* Cuts the query off. */
static size_t path_size(struct host_text path)
{
    const char *query = path.size > 0 ? memchr(path.data, '?', path.size) : NULL;

    return query ? (size_t) (query - path.data) : path.size;
}

/* Takes one character that a server may take for a dot: "." or "%2e". */
static size_t dot_size(const char *at, const char *end)
{
    if (at < end && *at == '.')
        return 1;
    return end - at >= 3 && strncasecmp(at, "%2e", 3) == 0 ? 3 : 0;
}

/* Returns whether a piece between slashes is "." or "..". A ";" may begin parameters, which some servers cut off. */
static bool is_dots(const char *at, const char *end)
{
    for (unsigned i = 0; i < 2; i++) {
        size_t size = dot_size(at, end);
        if (size == 0)
            return false;
        at += size;
        if (at == end || *at == ';')
            return true;
    }
    return false;
}

bool host_path_is_plain(struct host_text path)
{
    const char *at = path.data, *end = at + path_size(path);

    for (const char *p = at; p < end; p++)
        if (*p == '\\' ||
            (end - p >= 3 && (strncasecmp(p, "%2f", 3) == 0 || strncasecmp(p, "%5c", 3) == 0)))
            return false;
    while (at < end) {
        const char *slash = memchr(at, '/', (size_t) (end - at));
        const char *piece_end = slash ? slash : end;
        if (is_dots(at, piece_end))
            return false;
        at = piece_end + 1;
    }
    return true;
}

static int take_path(const char *text, struct host_rule *rule, const char **ret_reason)
{
    size_t size = strlen(text);

    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '?' || text[i] == '#' || text[i] == '*')
            return refuse("expected a path without spaces, \"*\", \"?\" and \"#\"; other "
                          "characters than ASCII's "
                          "as %XX",
                          ret_reason);
    if (!host_path_is_plain((struct host_text){ text, size }))
        return refuse(
            "expected a path without \"\\\", \".\" and \"..\", and without these and \"/\" as %XX",
            ret_reason);
    /* A lone slash is no part of a path. */
    rule->path = strdup(size == 1 ? "" : text);
    return rule->path ? 0 : -ENOMEM;
}

/* Returns whether the rule's path is the path, or begins it where a piece of it ends. */
static bool path_fits(const char *rule, struct host_text path)
{
    size_t size = strlen(rule), whole = path_size(path);

    if (size == 0)
        return true;
    return whole >= size && memcmp(path.data, rule, size) == 0 &&
           (whole == size || rule[size - 1] == '/' || path.data[size] == '/') &&
           host_path_is_plain(path);
}

/* ---- hosts and ports */

static int take_port(const char *text, size_t size, struct host_rule *rule, const char **ret_reason)
{
    uint32_t port = 0;

    if (size == 1 && text[0] == '*') {
        rule->port = HOST_RULE_PORT_ANY;
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || port > PORT_MAX)
            return refuse("expected a port from 1 to 65535, or \"*\"", ret_reason);
        port = port * 10 + (uint32_t) (text[i] - '0');
    }
    if (port == 0 || port > PORT_MAX)
        return refuse("expected a port from 1 to 65535, or \"*\"", ret_reason);
    rule->port = port;
    return 0;
}

static bool is_address(const char *host)
{
    size_t size = strlen(host);

    /* host_name_parse takes a last label that is a number for an address only. */
    return size > 0 && (host[0] == '[' || (host[size - 1] >= '0' && host[size - 1] <= '9' &&
                                           strspn(host, "0123456789.") == size));
}

static int take_host(const char *text, size_t size, struct host_rule *rule, const char **ret_reason)
{
    size_t length = 0;

    if (size > 0 && text[0] == '*') {
        rule->is_wildcard = true;
        if (size == 1)
            return 0;
        if (text[1] != '.')
            return refuse("expected \"*\" alone or as in \"*.example.com\"", ret_reason);
        text += 2;
        size -= 2;
    }
    int r = host_name_parse(text, size, rule->host, &length, ret_reason);
    if (r == 0 && rule->is_wildcard && is_address(rule->host))
        return refuse("expected no \"*\" before an address", ret_reason);
    return r;
}

static bool host_fits(const struct host_rule *rule, struct host_text host)
{
    size_t size = strlen(rule->host);

    if (!rule->is_wildcard)
        return host.size == size && memcmp(host.data, rule->host, size) == 0;
    if (size == 0)
        return host.size > 0;
    return host.size > size + 1 && host.data[host.size - size - 1] == '.' &&
           memcmp(host.data + host.size - size, rule->host, size) == 0;
}

/* ---- rules */

static void take_scheme(const char **text, struct host_rule *rule)
{
    static const char https[] = "https://", http[] = "http://";

    rule->is_https = true;
    if (strncmp(*text, https, strlen(https)) == 0) {
        *text += strlen(https);
    } else if (strncmp(*text, http, strlen(http)) == 0) {
        rule->is_https = false;
        *text += strlen(http);
    }
}

/* Splits "host:port" at the colon; within brackets there is none. */
static const char *find_port(const char *text, size_t size)
{
    const char *bracket = size > 0 && text[0] == '[' ? memchr(text, ']', size) : NULL;
    const char *from = bracket ? bracket : text;

    return memchr(from, ':', (size_t) (text + size - from));
}

static int parse(const char *text, struct host_rule *rule, const char **ret_reason)
{
    if (strlen(text) > HOST_RULE_TEXT_MAX)
        return refuse("expected at most 1,024 characters", ret_reason);
    int r = take_methods(&text, rule, ret_reason);
    if (r < 0)
        return r;
    take_scheme(&text, rule);
    if (strstr(text, "://"))
        return refuse("expected http:// or https://", ret_reason);
    size_t size = strcspn(text, "/");
    if (memchr(text, '@', size))
        return refuse("expected no user and password", ret_reason);
    const char *colon = find_port(text, size);
    r = take_host(text, colon ? (size_t) (colon - text) : size, rule, ret_reason);
    if (r == 0 && colon)
        r = take_port(colon + 1, (size_t) (text + size - colon - 1), rule, ret_reason);
    else if (r == 0)
        rule->port = rule->is_https ? 443 : 80;
    return r < 0 ? r : take_path(text + size, rule, ret_reason);
}

int host_rule_parse(const char *text, struct host_rule *ret_rule, const char **ret_reason)
{
    struct host_rule rule = { .port = 0 };

    int r = parse(text, &rule, ret_reason);
    if (r < 0) {
        host_rule_done(&rule);
        return r;
    }
    *ret_rule = rule;
    return 0;
}

void host_rule_done(struct host_rule *rule)
{
    free(rule->methods);
    free(rule->path);
    rule->methods = rule->path = NULL;
}

static enum host_verdict ask(const struct host_rule *rule, const struct host_question *question)
{
    if (!host_fits(rule, question->host))
        return HOST_NOT_ALLOWED;
    if (rule->is_https != question->is_https)
        return HOST_SCHEME_NOT_ALLOWED;
    if (rule->port != HOST_RULE_PORT_ANY && rule->port != question->port)
        return HOST_PORT_NOT_ALLOWED;
    if (!methods_have(rule->methods, question->method))
        return HOST_METHOD_NOT_ALLOWED;
    return path_fits(rule->path, question->path) ? HOST_ALLOWED : HOST_PATH_NOT_ALLOWED;
}

enum host_verdict host_rules_ask(const struct host_rule *rules, size_t n_rules,
                                 const struct host_question *question,
                                 const struct host_rule **ret_rule)
{
    enum host_verdict best = HOST_NOT_ALLOWED;
    const struct host_rule *rule = NULL;

    for (size_t i = 0; i < n_rules && best != HOST_ALLOWED; i++) {
        enum host_verdict verdict = ask(&rules[i], question);
        if (verdict > best) {
            best = verdict;
            rule = &rules[i];
        }
    }
    *ret_rule = rule;
    return best;
}
