/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's handle of a fetch: what it is told of the request, and what its results mean in skep's words. Egress process.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "egress/internal.h"
#include "egress/target.h"

#define TIME_MAX_MS (UINT32_C(24) * 3600 * 1000)
#define RESOLVE_MAX_BYTES (HOST_NAME_MAX_BYTES + 16 + NAMES_ADDRESSES_MAX * (INET6_ADDRSTRLEN + 3))
#define CONNECTION_AGE_S 60L /* most age of an idle connection */
/* libcurl reads many buffers for one event of a socket: small ones bound the time of that. */
#define BUFFER_BYTES (16L << 10)

/* ---- the request */

int handle_set(struct fetch *fetch)
{
    CURL *easy = fetch->easy;
    CURLcode r = CURLE_OK;

#define SET(option, value) r |= curl_easy_setopt(easy, option, value)
    SET(CURLOPT_PRIVATE, fetch);
    SET(CURLOPT_ERRORBUFFER, fetch->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* The frame alone says what is done: no proxy, no netrc, no other protocol, no redirect, no cookie, no name of
     * libcurl's own. */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HTTPAUTH, 0L);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_MAXAGE_CONN, CONNECTION_AGE_S);
    SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    /* Time is counted here, not by libcurl. */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long) TIME_MAX_MS);
    SET(CURLOPT_EXPECT_100_TIMEOUT_MS, 0L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    /* A handshake with Diffie-Hellman over a field as large as the server likes takes a second of CPU time. */
    SET(CURLOPT_SSL_CIPHER_LIST, "DEFAULT:!kDHE");
    SET(CURLOPT_CAINFO, NULL);
    SET(CURLOPT_CAPATH, NULL);
#undef SET
    return r == CURLE_OK ? 0 : -ENOMEM;
}

static int add_line(struct fetch *fetch, const char *line)
{
    struct curl_slist *headers = curl_slist_append(fetch->headers, line);

    if (!headers)
        return -ENOMEM;
    fetch->headers = headers;
    return 0;
}

/* Adds a header as libcurl wants it: one without a value ends with ";" instead of ":". */
static int add_header(struct fetch *fetch, struct head_text name, struct head_text value)
{
    _cleanup_free_ char *line = NULL;
    int n = value.size > 0 ? asprintf(&line, "%.*s: %.*s", (int) name.size, name.data,
                                      (int) value.size, value.data)
                           : asprintf(&line, "%.*s;", (int) name.size, name.data);

    if (n < 0) {
        line = NULL;
        return -ENOMEM;
    }
    return add_line(fetch, line);
}

/* Adds the headers of the request, whose packed head was checked. 0; -EINVAL: a header is refused, and the fetch has failed; -ENOMEM. */
static int add_headers(struct fetch *fetch, ProtobufCBinaryData packed)
{
    struct head head;
    bool has_accept = false;
    const char *reason;

    int r = head_open(packed.data, packed.len, 0, EGRESS_FIELDS_MAX, &head);
    while (r == 0 && head.n_texts > 0) {
        struct head_text name = head_next(&head), value = head_next(&head);
        has_accept |= target_text_is(name, "accept");
        if (target_check_header(name, value, &reason) < 0) {
            fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_REQUEST, "%s", reason);
            return -EINVAL;
        }
        r = add_header(fetch, name, value);
    }
    /* libcurl adds none of its own. */
    if (r == 0 && !has_accept)
        r = add_line(fetch, "Accept:");
    return r < 0 ? r : add_line(fetch, "Expect:");
}

/* Sets method, URL, headers and body. The path goes past libcurl's parser of URLs. */
static int set_target(struct fetch *fetch, const Skep__Egress__Open *open,
                      const struct target *target)
{
    char url[HOST_NAME_MAX_BYTES + 32], method[TARGET_METHOD_MAX_BYTES + 1];
    _cleanup_free_ char *path = strndup(target->path.data, target->path.size);
    CURLcode r = path ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    const bool is_post = target_method_is(target, "POST") || target_method_is(target, "PUT");

    (void) snprintf(url, sizeof url, "%.*s://%s:%u/", (int) target->scheme.size,
                    target->scheme.data, fetch->host, fetch->port);
    (void) snprintf(method, sizeof method, "%.*s", (int) target->method.size, target->method.data);
#define SET(option, value) r |= curl_easy_setopt(fetch->easy, option, value)
    SET(CURLOPT_URL, url);
    SET(CURLOPT_REQUEST_TARGET, path);
    SET(CURLOPT_HTTPHEADER, fetch->headers);
    if (target_method_is(target, "HEAD")) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (fetch->has_body || is_post) {
        /* A request of these methods without a body says so: Content-Length: 0. */
        curl_off_t length = !fetch->has_body    ? 0
                            : fetch->has_length ? (curl_off_t) open->length
                                                : -1;
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, length);
        SET(CURLOPT_CUSTOMREQUEST, method);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
        SET(CURLOPT_CUSTOMREQUEST, method);
    }
#undef SET
    return r == CURLE_OK ? 0 : -ENOMEM;
}

int handle_set_request(struct fetch *fetch, const Skep__Egress__Open *open,
                       const struct target *target)
{
    int r = add_headers(fetch, open->head);

    return r < 0 ? r : set_target(fetch, open, target);
}

static int append(char *text, size_t size, size_t *at, const char *more)
{
    size_t length = strlen(more);

    if (size - *at <= length)
        return -ENOSPC;
    memcpy(text + *at, more, length + 1);
    *at += length;
    return 0;
}

int handle_pin(struct fetch *fetch, const struct name_addresses *addresses)
{
    char line[RESOLVE_MAX_BYTES], address[INET6_ADDRSTRLEN];
    size_t at;

    int n = snprintf(line, sizeof line, "%s:%u:", fetch->host, fetch->port);
    at = (size_t) n;
    int r = 0;
    for (size_t i = 0; i < addresses->n && r == 0; i++) {
        const struct sockaddr_storage *one = &addresses->list[i];
        const bool is_ipv6 = one->ss_family == AF_INET6;
        const void *bytes = is_ipv6 ? (const void *) &((const struct sockaddr_in6 *) one)->sin6_addr
                                    : (const void *) &((const struct sockaddr_in *) one)->sin_addr;
        if (!inet_ntop(one->ss_family, bytes, address, sizeof address))
            return -EINVAL;
        r = append(line, sizeof line, &at, i > 0 ? "," : "");
        r = r < 0 ? r : append(line, sizeof line, &at, is_ipv6 ? "[" : "");
        r = r < 0 ? r : append(line, sizeof line, &at, address);
        r = r < 0 ? r : append(line, sizeof line, &at, is_ipv6 ? "]" : "");
    }
    fetch->resolve = r == 0 ? curl_slist_append(NULL, line) : NULL;
    return fetch->resolve &&
                   curl_easy_setopt(fetch->easy, CURLOPT_RESOLVE, fetch->resolve) == CURLE_OK
               ? 0
               : -ENOMEM;
}

/* ---- results */

static Skep__Egress__Failure failure_of(CURLcode result)
{
    switch (result) {
    case CURLE_OK:
        return SKEP__EGRESS__FAILURE__FAILURE_NONE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return SKEP__EGRESS__FAILURE__FAILURE_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return SKEP__EGRESS__FAILURE__FAILURE_TLS;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_HTTP2_STREAM:
        return SKEP__EGRESS__FAILURE__FAILURE_CLOSED;
    case CURLE_OPERATION_TIMEDOUT:
        return SKEP__EGRESS__FAILURE__FAILURE_TIME;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        return SKEP__EGRESS__FAILURE__FAILURE_INTERNAL;
    default:
        return SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL;
    }
}

/* Says in skep's words what libcurl's result means. */
void handle_fail(struct fetch *fetch, CURLcode result)
{
    Skep__Egress__Failure failure = failure_of(result);
    const char *words = fetch->error[0] != '\0' ? fetch->error : curl_easy_strerror(result);
    long error = 0, verified = X509_V_OK;

    (void) curl_easy_getinfo(fetch->easy, CURLINFO_OS_ERRNO, &error);
    (void) curl_easy_getinfo(fetch->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    if (result == CURLE_COULDNT_CONNECT && error == ECONNREFUSED)
        fetch_fail(fetch, failure,
                   "the server refused the connection: nothing listens at that port");
    else if (result == CURLE_COULDNT_CONNECT)
        fetch_fail(fetch, failure, "no connection to the server: %s",
                   error != 0 ? strerrordesc_np((int) error) : "it was not reached");
    else if (result == CURLE_PEER_FAILED_VERIFICATION && verified != X509_V_OK)
        fetch_fail(fetch, failure, "the server's certificate is not valid: %s",
                   X509_verify_cert_error_string(verified));
    else if (failure == SKEP__EGRESS__FAILURE__FAILURE_TLS)
        fetch_fail(fetch, failure, "no TLS with the server: %s", words);
    else if (failure == SKEP__EGRESS__FAILURE__FAILURE_CLOSED && fetch->is_head_sent)
        fetch_fail(fetch, failure, "the server closed the connection in the body of the answer");
    else if (failure == SKEP__EGRESS__FAILURE__FAILURE_CLOSED)
        fetch_fail(fetch, failure, "the server closed the connection before it answered");
    else if (failure == SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL)
        fetch_fail(fetch, failure, "the server's answer is not valid HTTP: %s", words);
    else
        fetch_fail(fetch, failure, "%s", words);
}
