/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one rule for host names: in requests (Host, absolute targets), in routes and in skepd.yaml. Stricter
 * than RFC 3986 and than the URL standard's host parser: each accepted host is one that `new URL()` accepts,
 * and its one spelling is the one that a URL shows. Pure functions; any process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A name of RFC 1035 without the root's dot, or a shorter IP address. */
#define HOST_NAME_MAX_BYTES 253

/*
 * Parses a host without port: a name of letters, digits, "-" and "_" in labels of 1 to 63 bytes that neither
 * begin nor end with "-"; one dot at its end is dropped. A label of the form xn--… must be a valid one of IDNA
 * 2008. A name whose last label is a number must be an IPv4 address of four decimal numbers. "[…]" is an
 * IPv6 address. text: any bytes, not NUL-ended. Writes the host, NUL-ended, lower case and as short as the URL
 * standard writes it, to name, and its size. 0, or -EINVAL with *ret_reason ("expected …") and name undefined; -ENOMEM.
 */
int host_name_parse(const char *text, size_t size, char name[HOST_NAME_MAX_BYTES + 1],
                    size_t *ret_size, const char **ret_reason);

/* Returns whether the name, as host_name_parse writes it, is localhost or below it: RFC 6761, 6.3, has it stand for the
 * loopback addresses, whatever DNS says. */
bool host_name_is_localhost(const char *name);
