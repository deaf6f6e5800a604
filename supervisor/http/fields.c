/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field names and values: which characters they may contain, and which fields the front itself must
 * understand; status phrases; the Date. Pure functions over const tables. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/cleanup.h"
#include "supervisor/http/internal.h"

/* tchar of RFC 9110 section 5.6.2, mapped to lower case; 0: not allowed in a token. */
static const char token_lower[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`',   ['|'] = '|',
    ['~'] = '~', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',   ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b',   ['C'] = 'c',
    ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i',   ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',   ['Q'] = 'q',
    ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w',   ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',   ['e'] = 'e',
    ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k',   ['l'] = 'l',
    ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r',   ['s'] = 's',
    ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y',   ['z'] = 'z',
};

static const struct {
    const char *name;
    size_t size;
    enum http_field_kind kind;
} known_fields[] = {
#define FIELD(name, kind)            \
    {                                \
        name, sizeof(name) - 1, kind \
    }
    FIELD("connection", HTTP_FIELD_CONNECTION),
    FIELD("content-length", HTTP_FIELD_CONTENT_LENGTH),
    FIELD("date", HTTP_FIELD_DATE),
    FIELD("expect", HTTP_FIELD_EXPECT),
    FIELD("host", HTTP_FIELD_HOST),
    FIELD("keep-alive", HTTP_FIELD_HOP),
    FIELD("proxy-connection", HTTP_FIELD_HOP),
    FIELD("skep-error", HTTP_FIELD_SKEP),
    FIELD("skep-request-id", HTTP_FIELD_SKEP),
    FIELD("te", HTTP_FIELD_HOP),
    FIELD("trailer", HTTP_FIELD_HOP),
    FIELD("transfer-encoding", HTTP_FIELD_TRANSFER_ENCODING),
    FIELD("upgrade", HTTP_FIELD_UPGRADE),
#undef FIELD
};

/* Fields that are for the tenant whatever Connection says of them: the client's address as a proxy
 * in front of skepd writes it, which a client could have removed otherwise, and fields that RFC
 * 9110 and its relatives define as end-to-end. A "*" at the end stands for any rest. docs/http.md
 * has the list. */
static const char *const end_to_end_fields[] = {
    "accept*",         "authorization", "cache-control",  "cf-*",        "client-*",
    "content-*",       "cookie",        "date",           "dnt",         "early-data",
    "expect",          "fastly-*",      "fly-*",          "forwarded",   "from",
    "front-end-https", "host",          "if-*",           "link",        "max-forwards",
    "origin",          "pragma",        "prefer",         "priority",    "proxy-authorization",
    "range",           "referer",       "remote-*",       "sec-*",       "ssl-*",
    "traceparent",     "tracestate",    "true-client-ip", "user-agent",  "via",
    "x-amzn-*",        "x-auth*",       "x-azure-*",      "x-client-*",  "x-cluster-client-ip",
    "x-envoy-*",       "x-forwarded*",  "x-host",         "x-http-*",    "x-original-*",
    "x-proto*",        "x-real-*",      "x-remote-*",     "x-request-*", "x-rewrite-*",
    "x-scheme",        "x-ssl-*",       "x-url-scheme",   "x-user*",
};

static const char *const status_texts[] = {
    [200] = "OK",
    [201] = "Created",
    [202] = "Accepted",
    [203] = "Non-Authoritative Information",
    [204] = "No Content",
    [205] = "Reset Content",
    [206] = "Partial Content",
    [207] = "Multi-Status",
    [300] = "Multiple Choices",
    [301] = "Moved Permanently",
    [302] = "Found",
    [303] = "See Other",
    [304] = "Not Modified",
    [307] = "Temporary Redirect",
    [308] = "Permanent Redirect",
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [402] = "Payment Required",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [406] = "Not Acceptable",
    [408] = "Request Timeout",
    [409] = "Conflict",
    [410] = "Gone",
    [411] = "Length Required",
    [412] = "Precondition Failed",
    [413] = "Content Too Large",
    [414] = "URI Too Long",
    [415] = "Unsupported Media Type",
    [416] = "Range Not Satisfiable",
    [417] = "Expectation Failed",
    [418] = "I'm a teapot",
    [421] = "Misdirected Request",
    [422] = "Unprocessable Content",
    [425] = "Too Early",
    [426] = "Upgrade Required",
    [428] = "Precondition Required",
    [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large",
    [451] = "Unavailable For Legal Reasons",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
    [505] = "HTTP Version Not Supported",
};

enum http_field_kind http_field_kind(struct http_text name)
{
    for (size_t i = 0; i < ARRAY_LEN(known_fields); i++) {
        if (known_fields[i].size == name.size &&
            strncasecmp(known_fields[i].name, name.data, name.size) == 0)
            return known_fields[i].kind;
    }
    return HTTP_FIELD_PLAIN;
}

bool http_is_end_to_end(struct http_text name)
{
    for (size_t i = 0; i < ARRAY_LEN(end_to_end_fields); i++) {
        const char *pattern = end_to_end_fields[i];
        size_t size = strcspn(pattern, "*");
        bool is_prefix = pattern[size] == '*';

        if ((is_prefix ? name.size >= size : name.size == size) &&
            strncasecmp(pattern, name.data, size) == 0)
            return true;
    }
    return false;
}

bool http_token_to_lower(char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char lower = token_lower[(uint8_t) data[i]];

        if (!lower)
            return false;
        data[i] = lower;
    }
    return size > 0;
}

bool http_is_token(struct http_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!token_lower[(uint8_t) text.data[i]])
            return false;
    }
    return text.size > 0;
}

static bool is_of_skepd(struct http_text name)
{
    return name.size > 5 && strncasecmp(name.data, "skep-", 5) == 0;
}

enum http_passage http_field_passage(const struct http_field *field)
{
    if (!http_is_token(field->name) || !http_is_field_value(field->value))
        return HTTP_PASSAGE_REFUSED;
    enum http_field_kind kind = http_field_kind(field->name);
    bool is_free = kind == HTTP_FIELD_PLAIN || kind == HTTP_FIELD_DATE;
    return is_free && !is_of_skepd(field->name) ? HTTP_PASSAGE_FREE : HTTP_PASSAGE_DROPPED;
}

int http_take_length(const struct http_field *field, int64_t *length)
{
    uint64_t value;

    if (http_field_kind(field->name) != HTTP_FIELD_CONTENT_LENGTH)
        return 0;
    if (*length >= 0 || http_parse_length(http_text_trim(field->value), &value) < 0)
        return -EBADMSG;
    *length = (int64_t) value; /* at most 18 digits */
    return 0;
}

bool http_is_field_value(struct http_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = (uint8_t) text.data[i];

        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

bool http_text_is(struct http_text text, const char *lower_case)
{
    return strlen(lower_case) == text.size && strncasecmp(text.data, lower_case, text.size) == 0;
}

struct http_text http_text_trim(struct http_text text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

int http_parse_length(struct http_text text, uint64_t *ret_length)
{
    uint64_t length = 0;

    if (text.size == 0 || text.size > 18)
        return -EBADMSG;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -EBADMSG;
        length = length * 10 + (uint64_t) (text.data[i] - '0');
    }
    *ret_length = length;
    return 0;
}

const char *http_status_text(unsigned status)
{
    const char *text = status < ARRAY_LEN(status_texts) ? status_texts[status] : NULL;

    return text ? text : "";
}

const char *http_date(struct http_front *front)
{
    /* strftime would follow the locale. */
    static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    struct timespec now = { 0 };
    struct tm tm = { 0 };

    (void) clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == front->date_second)
        return front->date;
    if (!gmtime_r(&now.tv_sec, &tm) || tm.tm_year > 8099)
        return front->date;
    (void) snprintf(front->date, sizeof(front->date), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
                    tm.tm_min, tm.tm_sec);
    front->date_second = now.tv_sec;
    return front->date;
}
