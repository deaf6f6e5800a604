/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/trust.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

int trust_read(const char *ca_file, X509_STORE **ret_trust, const char **ret_failed)
{
    X509_STORE *trust = X509_STORE_new();

    if (!trust)
        return -ENOMEM;
    /* As libcurl does: a certificate of the list ends a chain, though another one has signed it. */
    (void) X509_STORE_set_flags(trust, X509_V_FLAG_PARTIAL_CHAIN);
    if (ca_file && X509_STORE_load_file(trust, ca_file) != 1) {
        X509_STORE_free(trust);
        *ret_failed = ca_file;
        return -EINVAL;
    }
    int r = X509_STORE_load_file(trust, TRUST_SYSTEM_FILE) == 1 || ca_file ? 0 : -ENOENT;
    if (r < 0)
        *ret_failed = TRUST_SYSTEM_FILE;
    ERR_clear_error();
    *ret_trust = trust;
    return r;
}
