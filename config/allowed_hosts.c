/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses and applies the rules of allowed_hosts. The texts of a question come from a tenant. Pure; any process.
 */
#include "config/allowed_hosts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

#define PORT_MAX 65535
#define HTTP_PORT 80
#define HTTPS_PORT 443

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

/* Methods that every fetch writes in upper case: https://fetch.spec.whatwg.org/#concept-method-normalize. */
static const char *const normal_methods[] = { "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT" };
/* Methods that no fetch has. */
static const char *const forbidden_methods[] = { "CONNECT", "TRACE", "TRACK" };

static bool is_word(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

/* Returns what is wrong with one method, so that no rule has one that no request can have; or NULL. */
static const char *check_method(const char *text, size_t size)
{
    if (size == 0)
        return "expected methods with one comma between them";
    for (size_t i = 0; i < size; i++)
        if (!is_letter_or_digit(text[i]) && text[i] != '-' && text[i] != '_')
            return "expected methods as in \"GET,HEAD https://example.com\"";
    for (size_t i = 0; i < ARRAY_LEN(forbidden_methods); i++)
        if (is_word(text, size, forbidden_methods[i]))
            return "expected none of the methods CONNECT, TRACE and TRACK, which a fetch cannot "
                   "have";
    for (size_t i = 0; i < ARRAY_LEN(normal_methods); i++)
        if (is_word(text, size, normal_methods[i]) && memcmp(text, normal_methods[i], size) != 0)
            return "expected methods in upper case";
    return NULL;
}

/* Checks "GET,HEAD". Other methods than those of RFC 9110 are compared as they are. */
static const char *check_methods(const char *text, size_t size)
{
    const char *end = text + size, *reason = NULL;
    unsigned n = 0;

    for (const char *at = text; at <= end && !reason; n++) {
        const char *comma = memchr(at, ',', (size_t) (end - at));
        const char *method_end = comma ? comma : end;
        reason = check_method(at, (size_t) (method_end - at));
        at = method_end + 1;
    }
    if (reason)
        return reason;
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

    if (strchr(text, '*'))
        return refuse("expected a path without \"*\": all that begins with it is allowed, too",
                      ret_reason);
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '?' || text[i] == '#')
            return refuse("expected a path without spaces, \"?\" and \"#\"; other "
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

/* ---- ports */

/* https://fetch.spec.whatwg.org/#bad-port, in order. */
static const uint16_t bad_ports[] = {
    0,    1,    7,    9,    11,   13,   15,   17,   19,   20,   21,   22,   23,    25,
    37,   42,   43,   53,   69,   77,   79,   87,   95,   101,  102,  103,  104,   109,
    110,  111,  113,  115,  117,  119,  123,  135,  137,  139,  143,  161,  179,   389,
    427,  465,  512,  513,  514,  515,  526,  530,  531,  532,  540,  548,  554,   556,
    563,  587,  601,  636,  989,  990,  993,  995,  1719, 1720, 1723, 2049, 3659,  4045,
    4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
};

bool host_port_is_bad(uint32_t port)
{
    for (size_t i = 0; i < ARRAY_LEN(bad_ports); i++)
        if (bad_ports[i] == port)
            return true;
    return port > PORT_MAX;
}

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
    if (host_port_is_bad(port))
        return refuse("expected a port that browsers do not block, too", ret_reason);
    rule->port = port;
    return 0;
}

/* ---- hosts */

static bool is_address(const char *host)
{
    size_t size = strlen(host);

    /* host_name_parse takes a last label that is a number for an address only. */
    return size > 0 && (host[0] == '[' || (host[size - 1] >= '0' && host[size - 1] <= '9' &&
                                           strspn(host, "0123456789.") == size));
}

static const char wildcard_expected[] = "expected \"*\" alone or as in \"*.example.com\"";

/* Returns whether the host is a method: YAML takes a list's [GET,HEAD https://a] for two entries. */
static bool is_method(const char *text, size_t size)
{
    for (size_t i = 0; i < ARRAY_LEN(normal_methods); i++)
        if (size == strlen(normal_methods[i]) && memcmp(text, normal_methods[i], size) == 0)
            return true;
    return size == strlen("PATCH") && memcmp(text, "PATCH", size) == 0;
}

static int take_host(const char *text, size_t size, struct host_rule *rule, const char **ret_reason)
{
    size_t length = 0;

    if (size > 0 && text[0] == '*') {
        rule->is_wildcard = true;
        if (size == 1)
            return 0;
        if (text[1] != '.')
            return refuse(wildcard_expected, ret_reason);
        text += 2;
        size -= 2;
    }
    if (memchr(text, '*', size))
        return refuse(wildcard_expected, ret_reason);
    for (size_t i = 0; i < size; i++)
        if ((unsigned char) text[i] >= 0x80)
            return refuse("expected an international name as URLs have it, with xn-- as in "
                          "\"xn--bcher-kva.example\"",
                          ret_reason);
    if (is_method(text, size))
        return refuse(
            "expected a host behind the methods, and quotes around a text with a comma, as "
            "in \"GET,HEAD https://example.com\"",
            ret_reason);
    int r = host_name_parse(text, size, rule->host, &length, ret_reason);
    if (r == 0 && rule->is_wildcard && is_address(rule->host))
        return refuse("expected no \"*\" before an address", ret_reason);
    return r;
}

bool host_rule_has_host(const struct host_rule *rule, struct host_text host)
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
        rule->port = rule->is_https ? HTTPS_PORT : HTTP_PORT;
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

const char *host_rule_text(const struct host_rule *rule, char text[static HOST_RULE_TEXT_MAX + 1])
{
    size_t methods_size = strlen(rule->methods);
    char port[8] = "";

    if (rule->port == HOST_RULE_PORT_ANY)
        (void) snprintf(port, sizeof port, ":*");
    else if (rule->port != (rule->is_https ? HTTPS_PORT : HTTP_PORT))
        (void) snprintf(port, sizeof port, ":%u", (unsigned) rule->port);
    (void) snprintf(text, HOST_RULE_TEXT_MAX + 1, "%.*s%s%s%s%s%s%s",
                    methods_size > 0 ? (int) methods_size - 1 : 0, rule->methods,
                    methods_size > 0 ? " " : "", rule->is_https ? "" : "http://",
                    !rule->is_wildcard ? ""
                    : rule->host[0]    ? "*."
                                       : "*",
                    rule->host, port, rule->path);
    return text;
}

bool host_rule_is_same(const struct host_rule *a, const struct host_rule *b)
{
    return a->is_wildcard == b->is_wildcard && a->is_https == b->is_https && a->port == b->port &&
           strcmp(a->host, b->host) == 0 && strcmp(a->methods, b->methods) == 0 &&
           strcmp(a->path, b->path) == 0;
}

static enum host_verdict ask(const struct host_rule *rule, const struct host_question *question)
{
    if (!host_rule_has_host(rule, question->host))
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

/* ---- two rules */

static struct host_text text_of(const char *text)
{
    return (struct host_text){ text, strlen(text) };
}

bool host_rule_covers_host(const struct host_rule *other, const struct host_rule *rule)
{
    if (!rule->is_wildcard)
        return host_rule_has_host(other, text_of(rule->host));
    if (!other->is_wildcard)
        return false;
    /* All names below a name that the other has are the other's, too. */
    return other->host[0] == '\0' || strcmp(other->host, rule->host) == 0 ||
           (rule->host[0] && host_rule_has_host(other, text_of(rule->host)));
}

static bool methods_meet(const char *methods, const char *others)
{
    if (methods[0] == '\0' || others[0] == '\0')
        return true;
    for (const char *comma; (comma = strchr(methods, ',')); methods = comma + 1)
        if (methods_have(others, (struct host_text){ methods, (size_t) (comma - methods) }))
            return true;
    return false;
}

enum host_verdict host_rule_meets(const struct host_rule *rule, const struct host_rule *other)
{
    if (!host_rule_covers_host(other, rule) && !host_rule_covers_host(rule, other))
        return HOST_NOT_ALLOWED;
    if (rule->is_https != other->is_https)
        return HOST_SCHEME_NOT_ALLOWED;
    if (rule->port != other->port && rule->port != HOST_RULE_PORT_ANY &&
        other->port != HOST_RULE_PORT_ANY)
        return HOST_PORT_NOT_ALLOWED;
    if (!methods_meet(rule->methods, other->methods))
        return HOST_METHOD_NOT_ALLOWED;
    return path_fits(rule->path, text_of(other->path)) ||
                   path_fits(other->path, text_of(rule->path))
               ? HOST_ALLOWED
               : HOST_PATH_NOT_ALLOWED;
}
