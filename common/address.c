/* SPDX-License-Identifier: Apache-2.0 */
#include "common/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/cleanup.h"

#define TEXT_MAX_BYTES 64

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool has_bit(const uint8_t *bytes, unsigned bit)
{
    return (bytes[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

static int parse_bits(const char *text, unsigned most, unsigned *ret_bits)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long bits = strtoul(text, NULL, 10);

    if (digits == 0 || digits > 3 || text[digits] != '\0' || bits > most)
        return -EINVAL;
    *ret_bits = (unsigned) bits;
    return 0;
}

/* Parses the text, whatever the bits behind the prefix are. 0 or -EINVAL. */
static int parse_prefix(const char *text, struct address_prefix *ret_prefix)
{
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t) (slash - text) : strlen(text);
    struct address_prefix prefix = { .bits = 128 };
    char address[TEXT_MAX_BYTES];
    unsigned before = 0, bits = 0;

    if (size >= sizeof address)
        return -EINVAL;
    memcpy(address, text, size);
    address[size] = '\0';
    if (inet_pton(AF_INET, address, prefix.bytes + sizeof mapped) == 1) {
        memcpy(prefix.bytes, mapped, sizeof mapped);
        before = 96;
    } else if (inet_pton(AF_INET6, address, prefix.bytes) != 1) {
        return -EINVAL;
    }
    if (slash) {
        int r = parse_bits(slash + 1, 128 - before, &bits);
        if (r < 0)
            return r;
        prefix.bits = before + bits;
    }
    *ret_prefix = prefix;
    return 0;
}

int address_prefix_parse(const char *text, struct address_prefix *ret_prefix)
{
    struct address_prefix prefix;

    int r = parse_prefix(text, &prefix);
    if (r < 0)
        return r;
    for (unsigned bit = prefix.bits; bit < 128; bit++)
        if (has_bit(prefix.bytes, bit))
            return -EINVAL;
    *ret_prefix = prefix;
    return 0;
}

bool address_prefix_suggest(const char *text, char ret_text[static ADDRESS_PREFIX_TEXT])
{
    bool is_ipv4 = !strchr(text, ':');
    unsigned before = is_ipv4 ? 96 : 0;
    char address[INET6_ADDRSTRLEN];
    struct address_prefix prefix, parsed;

    if (parse_prefix(text, &prefix) < 0 || address_prefix_parse(text, &parsed) == 0)
        return false;
    for (unsigned bit = prefix.bits; bit < 128; bit++)
        prefix.bytes[bit / 8] &= (uint8_t) ~(1U << (7 - bit % 8));
    if (!inet_ntop(is_ipv4 ? AF_INET : AF_INET6, prefix.bytes + (is_ipv4 ? sizeof mapped : 0),
                   address, sizeof address))
        return false;
    (void) snprintf(ret_text, ADDRESS_PREFIX_TEXT, "%s/%u", address, prefix.bits - before);
    return true;
}

bool address_of(const struct sockaddr *address, struct address_prefix *ret_prefix)
{
    struct address_prefix prefix = { .bits = 128 };
    struct sockaddr_in6 in6;
    struct sockaddr_in in;

    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof in);
        memcpy(prefix.bytes, mapped, sizeof mapped);
        memcpy(prefix.bytes + sizeof mapped, &in.sin_addr, sizeof in.sin_addr);
    } else if (address->sa_family == AF_INET6) {
        memcpy(&in6, address, sizeof in6);
        memcpy(prefix.bytes, &in6.sin6_addr, sizeof prefix.bytes);
    } else {
        return false;
    }
    *ret_prefix = prefix;
    return true;
}

bool address_prefix_has(const struct address_prefix *prefix, const struct address_prefix *other)
{
    unsigned whole = prefix->bits / 8;

    if (other->bits < prefix->bits || memcmp(prefix->bytes, other->bytes, whole) != 0)
        return false;
    for (unsigned bit = whole * 8; bit < prefix->bits; bit++)
        if (has_bit(prefix->bytes, bit) != has_bit(other->bytes, bit))
            return false;
    return true;
}

/* ---- addresses of `listen` */

static int parse_unix(const char *path, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (*path == '\0' || strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    memcpy(ret_address, &address, sizeof(address));
    *ret_size = sizeof(address);
    return 0;
}

int address_parse_listen(const char *address, struct sockaddr_storage *ret_address,
                         socklen_t *ret_size)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
    };
    _cleanup_free_ char *copy = NULL;
    struct addrinfo *info = NULL;
    char *host;
    char *port;

    if (strncmp(address, "unix:", 5) == 0)
        return parse_unix(address + 5, ret_address, ret_size);
    copy = strdup(address);
    if (!copy)
        return -ENOMEM;
    host = copy;
    port = strrchr(copy, ':');
    if (!port || port == copy || port[1] == '\0')
        return -EINVAL;
    *port++ = '\0';
    if (host[0] == '[' && port[-2] == ']') {
        host++;
        port[-2] = '\0';
    } else if (strchr(host, ':')) {
        return -EINVAL; /* an IPv6 address without brackets */
    }
    /* glibc accepts larger ports and cuts them off. */
    if (strspn(port, "0123456789") != strlen(port) || strtoul(port, NULL, 10) > UINT16_MAX)
        return -EINVAL;
    if (getaddrinfo(host, port, &hints, &info) != 0)
        return -EINVAL;
    memcpy(ret_address, info->ai_addr, info->ai_addrlen);
    *ret_size = info->ai_addrlen;
    freeaddrinfo(info);
    return 0;
}
