/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates by which servers are checked, read once: a confined process has no files, and libcurl would read
 * and parse all of them for each connection. Egress process, before confinement.
 */
#pragma once

#include <openssl/x509.h>

#define TRUST_SYSTEM_FILE "/etc/ssl/certs/ca-certificates.crt"

/* Reads the certificates of the system, and those of ca_file, if it is not NULL. *ret_failed: the file that could not
 * be read, if one could not. 0; -ENOENT if the system has none and ca_file is NULL: then every https fetch will fail;
 * -EINVAL for ca_file; -ENOMEM. *ret_trust is there unless it is -EINVAL or -ENOMEM; X509_STORE_free frees it. */
int trust_read(const char *ca_file, X509_STORE **ret_trust, const char **ret_failed);
