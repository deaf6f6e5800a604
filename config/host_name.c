/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names: which are accepted, and how each is written. The rule must never be laxer than that
 * of https://url.spec.whatwg.org/#host-parsing: a host that the URL standard refuses, or rewrites
 * to another one, would reach a tenant as a request.url that cannot be parsed, or that names
 * another host than the route did. Pure; any process.
 */
#include "config/host_name.h"

#include <arpa/inet.h>
#include <errno.h>
#include <idn2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define LABEL_MAX_BYTES 63
#define IPV6_PIECES 8

struct label {
    const char *data; /* lower case */
    size_t size;
};

/* --- bytes --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* Cuts the next label off; false: there is none. */
static bool next_label(const char **at, const char *end, struct label *ret_label)
{
    const char *dot;

    if (*at > end)
        return false;
    dot = memchr(*at, '.', (size_t) (end - *at));
    *ret_label = (struct label){ *at, (size_t) ((dot ? dot : end) - *at) };
    *at = dot ? dot + 1 : end + 1;
    return true;
}

/* --- names --- */

static const char *check_label(struct label label)
{
    if (label.size == 0)
        return "expected no empty part between dots";
    if (label.size > LABEL_MAX_BYTES)
        return "expected at most 63 characters between dots";
    for (size_t i = 0; i < label.size; i++) {
        char c = label.data[i];

        if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_')
            return "expected letters, digits, \"-\", \"_\" and \".\" in the host";
    }
    if (label.data[0] == '-' || label.data[label.size - 1] == '-')
        return "expected no \"-\" at the start or end of a part";
    return NULL;
}

static bool is_punycode(struct label label)
{
    return label.size >= 4 && memcmp(label.data, "xn--", 4) == 0;
}

/* Returns whether the character is in a block of a script that is written from right to left, or of
 * its digits. */
static bool is_right_to_left(uint32_t c)
{
    return (c >= 0x590 && c <= 0x8ff) || (c >= 0xfb1d && c <= 0xfdff) ||
           (c >= 0xfe70 && c <= 0xfeff) || (c >= 0x10800 && c <= 0x10fff) ||
           (c >= 0x1e800 && c <= 0x1efff);
}

/* Checks one label of the form xn--…. name: the label, NUL-ended. 0, -EINVAL, -ENOMEM. */
static int check_punycode(const char *name, bool *ret_is_right_to_left)
{
    uint8_t *again = NULL;
    uint32_t *decoded = NULL;
    int r = idn2_lookup_u8((const uint8_t *) name, &again, IDN2_NO_TR46 | IDN2_ALABEL_ROUNDTRIP);
    bool is_same = r == IDN2_OK && strcmp((const char *) again, name) == 0;

    idn2_free(again);
    if (r == IDN2_MALLOC)
        return -ENOMEM;
    if (!is_same)
        return -EINVAL;
    r = idn2_to_unicode_8z4z(name, &decoded, 0);
    if (r != IDN2_OK)
        return r == IDN2_MALLOC ? -ENOMEM : -EINVAL;
    *ret_is_right_to_left = false;
    for (const uint32_t *c = decoded; *c; c++)
        *ret_is_right_to_left |= is_right_to_left(*c);
    idn2_free(decoded);
    return 0;
}

/* Applies the rule of RFC 5893 for labels beside one that is written from right to left, for ASCII;
 * others are not worth a table of directions. */
static bool may_stand_beside(struct label label)
{
    char last = label.data[label.size - 1];

    return !is_punycode(label) && is_letter(label.data[0]) && (is_letter(last) || is_digit(last));
}

/* Checks labels of the form xn--…: libidn2 checks each by itself, the rule for directions concerns
 * all together. */
static int check_international(const char *name, size_t size)
{
    const char *at = name;
    bool has_right_to_left = false, has_other = false;
    struct label label;

    while (next_label(&at, name + size, &label)) {
        char text[LABEL_MAX_BYTES + 1];
        bool is_rtl = false;

        if (is_punycode(label)) {
            memcpy(text, label.data, label.size);
            text[label.size] = '\0';
            int r = check_punycode(text, &is_rtl);
            if (r < 0)
                return r;
        }
        has_right_to_left |= is_rtl;
        has_other |= !is_rtl && !may_stand_beside(label);
    }
    return has_right_to_left && has_other ? -EINVAL : 0;
}

/* Returns whether the label is a number: "ends in a number checker" of the URL standard. */
static bool is_number(struct label label)
{
    bool is_hexadecimal = label.size >= 2 && memcmp(label.data, "0x", 2) == 0;

    for (size_t i = is_hexadecimal ? 2 : 0; i < label.size; i++)
        if (is_hexadecimal ? !is_hex(label.data[i]) : !is_digit(label.data[i]))
            return false;
    return true;
}

static const char *check_name(const char *name, size_t size, bool *ret_has_punycode)
{
    const char *at = name;
    struct label label = { 0 };

    *ret_has_punycode = false;
    while (next_label(&at, name + size, &label)) {
        const char *reason = check_label(label);

        if (reason)
            return reason;
        *ret_has_punycode |= is_punycode(label);
    }
    struct in_addr address;
    if (is_number(label) && inet_pton(AF_INET, name, &address) != 1)
        return "expected an IPv4 address of four decimal numbers, as the host ends in a number";
    return NULL;
}

static int parse_name(const char *text, size_t size, char *name, size_t *ret_size,
                      const char **ret_reason)
{
    bool has_punycode;

    if (size > 1 && text[size - 1] == '.')
        size--; /* the root's dot: example.com. is example.com */
    if (size > HOST_NAME_MAX_BYTES) {
        *ret_reason = "expected a host of at most 253 characters";
        return -EINVAL;
    }
    for (size_t i = 0; i < size; i++)
        name[i] = to_lower(text[i]);
    name[size] = '\0';
    *ret_reason = check_name(name, size, &has_punycode);
    if (*ret_reason)
        return -EINVAL;
    int r = has_punycode ? check_international(name, size) : 0;
    if (r == -EINVAL)
        *ret_reason = "expected each part that begins with xn-- to be a valid international name";
    if (r == 0)
        *ret_size = size;
    return r;
}

/* --- IPv6 --- */

/* Finds the longest run of at least two pieces that are zero; of several, the first. Returns its
 * length; 0: there is none. */
static unsigned find_zeros(const uint16_t pieces[IPV6_PIECES], unsigned *ret_start)
{
    unsigned best = 1, run = 0;

    *ret_start = IPV6_PIECES;
    for (unsigned i = 0; i < IPV6_PIECES; i++) {
        run = pieces[i] == 0 ? run + 1 : 0;
        if (run > best) {
            best = run;
            *ret_start = i + 1 - run;
        }
    }
    return best > 1 ? best : 0;
}

/* Writes an IPv6 address as URLs do; inet_ntop writes some with an IPv4 address at the end. */
static size_t write_ipv6(const uint8_t bytes[16], char *name)
{
    uint16_t pieces[IPV6_PIECES];
    char *at = name;
    unsigned start, count;

    for (unsigned i = 0; i < IPV6_PIECES; i++)
        pieces[i] = (uint16_t) (bytes[2 * i] << 8 | bytes[2 * i + 1]);
    count = find_zeros(pieces, &start);
    *at++ = '[';
    for (unsigned i = 0; i < IPV6_PIECES; i++) {
        if (count > 0 && i == start) {
            at = stpcpy(at, i == 0 ? "::" : ":");
            i += count - 1;
        } else {
            at += snprintf(at, sizeof "ffff:", i + 1 < IPV6_PIECES ? "%x:" : "%x", pieces[i]);
        }
    }
    *at++ = ']';
    *at = '\0';
    return (size_t) (at - name);
}

static int parse_ipv6(const char *text, size_t size, char *name, size_t *ret_size,
                      const char **ret_reason)
{
    char inner[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    *ret_reason = "expected an IPv6 address between \"[\" and \"]\"";
    if (size < 2 || text[size - 1] != ']' || size - 2 >= sizeof inner || memchr(text, '\0', size))
        return -EINVAL;
    memcpy(inner, text + 1, size - 2);
    inner[size - 2] = '\0';
    if (inet_pton(AF_INET6, inner, bytes) != 1)
        return -EINVAL;
    *ret_size = write_ipv6(bytes, name);
    return 0;
}

int host_name_parse(const char *text, size_t size, char name[HOST_NAME_MAX_BYTES + 1],
                    size_t *ret_size, const char **ret_reason)
{
    if (size > 0 && text[0] == '[')
        return parse_ipv6(text, size, name, ret_size, ret_reason);
    return parse_name(text, size, name, ret_size, ret_reason);
}

bool host_name_is_localhost(const char *name)
{
    static const char localhost[] = "localhost";
    size_t size = strlen(name), least = strlen(localhost);

    return size >= least && strcmp(name + size - least, localhost) == 0 &&
           (size == least || name[size - least - 1] == '.');
}
