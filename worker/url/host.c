/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts of the URL standard: domains, IPv4 and IPv6 addresses, opaque hosts. See url.h. */
#include <stdio.h>

#include "worker/url/internal.h"

enum {
    PIECES = 8, /* pieces of an IPv6 address */
    NUMBERS = 4,
};

/* ---- IPv6 */

struct address {
    uint16_t pieces[PIECES];
};

/* Parses the IPv4 address at the end of an IPv6 one into two pieces. */
static int parse_tail(struct url_span text, uint16_t *pieces)
{
    size_t at = 0;

    for (int n = 0; n < NUMBERS; n++) {
        int value = -1;
        if (n > 0 && (at == text.size || text.data[at++] != '.'))
            return -EINVAL;
        for (; at < text.size && is_digit(text.data[at]); at++) {
            if (value == 0)
                return -EINVAL;
            value = (value < 0 ? 0 : value) * 10 + (text.data[at] - '0');
            if (value > 255)
                return -EINVAL;
        }
        if (value < 0)
            return -EINVAL;
        pieces[n / 2] = (uint16_t) (pieces[n / 2] << 8 | value);
    }
    return at == text.size ? 0 : -EINVAL;
}

/* Parses up to four hexadecimal digits. Returns their number. */
static size_t parse_piece(struct url_span text, uint16_t *ret_value)
{
    size_t n = 0;

    *ret_value = 0;
    for (; n < 4 && n < text.size && url_hex_digit(text.data[n]) >= 0; n++)
        *ret_value = (uint16_t) (*ret_value << 4 | url_hex_digit(text.data[n]));
    return n;
}

/* Moves the pieces behind "::" to the end. */
static int expand(struct address *address, int n, int gap)
{
    if (gap < 0)
        return n == PIECES ? 0 : -EINVAL;
    for (int i = 0; i < n - gap; i++) {
        address->pieces[PIECES - 1 - i] = address->pieces[n - 1 - i];
        if (n - 1 - i < PIECES - (n - gap))
            address->pieces[n - 1 - i] = 0;
    }
    return 0;
}

static int parse_ipv6(struct url_span text, struct address *address)
{
    int n = 0;
    int gap = -1;
    size_t at = 0;

    *address = (struct address){ 0 };
    if (text.size > 0 && text.data[0] == ':') {
        if (text.size < 2 || text.data[1] != ':')
            return -EINVAL;
        at = 2;
        gap = ++n;
    }
    while (at < text.size) {
        if (n == PIECES)
            return -EINVAL;
        if (text.data[at] == ':') {
            if (gap >= 0)
                return -EINVAL;
            at++;
            gap = ++n;
            continue;
        }
        uint16_t value = 0;
        const size_t digits = parse_piece(span_from(text, at), &value);
        if (at + digits < text.size && text.data[at + digits] == '.') {
            if (digits == 0 || n > PIECES - 2 ||
                parse_tail(span_from(text, at), address->pieces + n) < 0)
                return -EINVAL;
            n += 2;
            break;
        }
        at += digits;
        if (at < text.size && (text.data[at] != ':' || ++at == text.size))
            return -EINVAL;
        address->pieces[n++] = value;
    }
    return expand(address, n, gap);
}

/* Finds the longest run of more than one zero piece: the first of that length. Returns its length. */
static int find_zeros(const struct address *address, int *ret_start)
{
    int longest = 1;

    for (int i = 0, run = 0; i < PIECES; i++) {
        run = address->pieces[i] == 0 ? run + 1 : 0;
        if (run > longest) {
            longest = run;
            *ret_start = i - run + 1;
        }
    }
    return longest > 1 ? longest : 0;
}

static void append_ipv6(struct url_text *text, const struct address *address)
{
    char out[PIECES * 5 + 3];
    int n = 0;
    int start = -1;
    const int zeros = find_zeros(address, &start);

    out[n++] = '[';
    for (int i = 0; i < PIECES; i++) {
        if (i == start) {
            n += snprintf(out + n, sizeof(out) - (size_t) n, i == 0 ? "::" : ":");
            i += zeros - 1;
            continue;
        }
        n += snprintf(out + n, sizeof(out) - (size_t) n, i < PIECES - 1 ? "%x:" : "%x",
                      address->pieces[i]);
    }
    out[n++] = ']';
    url_text_append(text, (struct url_span){ out, (size_t) n });
}

/* ---- IPv4 */

/* Parses a number of an IPv4 address. Returns it, at most 2^40, or -EINVAL. */
static int64_t parse_number(struct url_span text)
{
    int base = 10;
    int64_t value = 0;

    if (text.size == 0)
        return -EINVAL;
    if (text.size > 1 && text.data[0] == '0') {
        base = to_lower(text.data[1]) == 'x' ? 16 : 8;
        text = span_from(text, base == 16 ? 2 : 1);
    }
    for (size_t i = 0; i < text.size; i++) {
        const int digit = url_hex_digit(text.data[i]);
        if (digit < 0 || digit >= base)
            return -EINVAL;
        value = value * base + digit;
        if (value > INT64_C(1) << 40)
            value = INT64_C(1) << 40;
    }
    return value;
}

static struct url_span last_label(struct url_span domain)
{
    size_t start = domain.size;

    while (start > 0 && domain.data[start - 1] != '.')
        start--;
    return span_from(domain, start);
}

static struct url_span without_last_dot(struct url_span domain)
{
    const bool has_one = domain.size > 0 && domain.data[domain.size - 1] == '.';
    return span_head(domain, domain.size - has_one);
}

static bool ends_in_number(struct url_span domain)
{
    const struct url_span last = last_label(without_last_dot(domain));
    size_t digits = 0;

    if (last.size == 0 || !is_digit(last.data[0]))
        return false;
    while (digits < last.size && is_digit(last.data[digits]))
        digits++;
    return digits == last.size || parse_number(last) >= 0;
}

static int parse_ipv4(struct url_span domain, uint32_t *ret_address)
{
    struct url_span rest = without_last_dot(domain);
    int64_t numbers[NUMBERS];
    int n = 0;
    int64_t address = 0;

    for (bool is_last = false; !is_last; n++) {
        const size_t size = span_find(rest, '.');
        is_last = size == rest.size;
        if (n == NUMBERS)
            return -EINVAL;
        numbers[n] = parse_number(span_head(rest, size));
        if (numbers[n] < 0 || (!is_last && numbers[n] > 255))
            return -EINVAL;
        rest = span_from(rest, is_last ? size : size + 1);
    }
    if (numbers[n - 1] >= INT64_C(1) << 8 * (NUMBERS + 1 - n))
        return -EINVAL;
    for (int i = 0; i < n - 1; i++)
        address |= numbers[i] << 8 * (NUMBERS - 1 - i);
    *ret_address = (uint32_t) (address | numbers[n - 1]);
    return 0;
}

static void append_ipv4(struct url_text *text, uint32_t address)
{
    char out[sizeof("255.255.255.255")];
    const int n = snprintf(out, sizeof(out), "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                           address >> 8 & 255, address & 255);

    url_text_append(text, (struct url_span){ out, (size_t) n });
}

/* ---- domains */

/* Controls, DEL, "%" and all bytes beyond ASCII besides those that are forbidden in any host. */
static bool is_forbidden_in_domain(char c)
{
    return is_in_set(c, SET_FORBIDDEN | SET_C0) || c == '%';
}

/* True if a label is Punycode, whose validity needs tables. */
static bool has_punycode(struct url_span domain)
{
    for (size_t i = 0; i + 4 <= domain.size; i++)
        if (to_lower(domain.data[i]) == 'x' && to_lower(domain.data[i + 1]) == 'n' &&
            domain.data[i + 2] == '-' && domain.data[i + 3] == '-' &&
            (i == 0 || domain.data[i - 1] == '.'))
            return true;
    return false;
}

static bool is_ascii(struct url_span span)
{
    for (size_t i = 0; i < span.size; i++)
        if ((uint8_t) span.data[i] >= 0x80)
            return false;
    return true;
}

/* Appends a domain without percent-encoded bytes. */
static int append_ascii_domain(struct url_text *text, struct url_span domain)
{
    const struct url_caller *caller = text->caller;

    if (is_ascii(domain) && !has_punycode(domain)) {
        const size_t start = text->size;
        url_text_append(text, domain);
        for (size_t i = start; i < text->size; i++)
            text->data[i] = to_lower(text->data[i]);
        return text->error;
    }
    return caller && caller->to_ascii ? caller->to_ascii(caller->owner, domain, text) : -EINVAL;
}

/* Checks the domain that ends the text, and replaces it by an IPv4 address if it is one. */
static int end_domain(struct url_text *text, size_t start)
{
    const struct url_span domain = { text->data + start, text->size - start };
    uint32_t address = 0;

    if (domain.size == 0)
        return -EINVAL;
    for (size_t i = 0; i < domain.size; i++)
        if (is_forbidden_in_domain(domain.data[i]))
            return -EINVAL;
    if (!ends_in_number(domain))
        return 0;
    const int r = parse_ipv4(domain, &address);
    if (r < 0)
        return r;
    text->size = start;
    append_ipv4(text, address);
    return text->error;
}

static int append_domain(struct url_text *text, struct url_span host)
{
    const size_t start = text->size;
    char room[256];
    struct url_text decoded;
    int r = 0;

    if (span_find(host, '%') == host.size) {
        r = append_ascii_domain(text, host);
    } else {
        url_text_init(&decoded, room, sizeof(room), text->caller);
        url_text_decode(&decoded, host, false);
        r = decoded.error != 0
                ? decoded.error
                : append_ascii_domain(text, (struct url_span){ decoded.data, decoded.size });
        url_text_done(&decoded);
    }
    return r < 0 ? r : end_domain(text, start);
}

int url_append_host(struct url_text *text, struct url_span host, enum scheme scheme)
{
    struct address address;

    if (host.size > 0 && host.data[0] == '[') {
        if (host.data[host.size - 1] != ']' ||
            parse_ipv6((struct url_span){ host.data + 1, host.size - 2 }, &address) < 0)
            return -EINVAL;
        append_ipv6(text, &address);
        return text->error;
    }
    if (scheme != SCHEME_OTHER)
        return append_domain(text, host);
    for (size_t i = 0; i < host.size; i++)
        if (is_in_set(host.data[i], SET_FORBIDDEN))
            return -EINVAL;
    url_text_encode(text, host, SET_C0);
    return text->error;
}

size_t url_host_size(struct url_span authority)
{
    bool is_inside = false;
    size_t at = 0;

    for (; at < authority.size; at++) {
        const char c = authority.data[at];
        if (c == ':' && !is_inside)
            break;
        is_inside = c == '[' || (is_inside && c != ']');
    }
    return at;
}
