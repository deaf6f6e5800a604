/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that go into fetches and never into a worker. Supervisor, loop thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/secrets/secrets.h"

const char *secret_check_header(const struct secret_value *value)
{
    for (size_t i = 0; i < value->size; i++)
        if (value->data[i] < ' ' || value->data[i] > '~')
            return "a header needs printable ASCII without line ends";
    /* Blanks around a value are not part of it (RFC 9110, section 5.5): another one would arrive. */
    if (value->size == 0 || value->data[0] == ' ' || value->data[value->size - 1] == ' ')
        return "a header needs a value that does not begin or end with a blank";
    return NULL;
}

/* Puts the secret in the place of {}. */
static int apply_format(const char *format, const struct secret_value *secret,
                        struct secret_value *ret)
{
    const char *place = strstr(format, "{}");
    size_t before = (size_t) (place - format), behind = strlen(place + 2);
    char *data = malloc(before + secret->size + behind + 1);

    if (!data)
        return -ENOMEM;
    memcpy(data, format, before);
    memcpy(data + before, secret->data, secret->size);
    memcpy(data + before + secret->size, place + 2, behind + 1);
    *ret = (struct secret_value){ data, before + secret->size + behind };
    return 0;
}

static bool is_meant(const struct secret_use *use, const struct host_question *question)
{
    const struct host_rule *rule;

    return use->has_where && host_rules_ask(&use->where, 1, question, &rule) == HOST_ALLOWED;
}

static int inject(const struct secrets *secrets, const struct manifest *manifest,
                  const struct secret_use *use, struct injected *injected)
{
    struct injected_header *header = &injected->headers[injected->n];
    struct secret_value secret = { 0 };

    int r = secrets_open(secrets, manifest->name, use->name, &secret);
    if (r == 0 && secret_check_header(&secret))
        r = -EINVAL;
    if (r == 0)
        r = apply_format(use->format, &secret, &header->value);
    secret_value_done(&secret);
    if (r < 0)
        return r;
    header->name = use->header;
    injected->n++;
    return 0;
}

int secrets_inject(const struct secrets *secrets, const struct manifest *manifest,
                   const struct host_question *question, struct injected *ret_injected,
                   const char **ret_name)
{
    ret_injected->n = 0;
    for (unsigned i = 0; i < manifest->n_secrets; i++) {
        if (!is_meant(&manifest->secrets[i], question))
            continue;
        int r = inject(secrets, manifest, &manifest->secrets[i], ret_injected);
        if (r < 0) {
            *ret_name = manifest->secrets[i].name;
            injected_done(ret_injected);
            return r;
        }
    }
    return 0;
}

void injected_done(struct injected *injected)
{
    for (size_t i = 0; i < injected->n; i++)
        secret_value_done(&injected->headers[i].value);
    injected->n = 0;
}
