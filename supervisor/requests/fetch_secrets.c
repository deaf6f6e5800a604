/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/requests/fetch_secrets.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "egress/program.h"
#include "proto/head.h"

void fetch_head_done(struct fetch_head *head)
{
    if (head->data)
        OPENSSL_cleanse(head->data, head->size);
    free(head->data);
    *head = (struct fetch_head){ 0 };
}

static bool is_injected(const struct injected *injected, struct head_text name)
{
    for (size_t i = 0; i < injected->n; i++)
        if (target_text_is(name, injected->headers[i].name))
            return true;
    return false;
}

/* Collects the headers of the tenant that stay. Returns the number of texts, or -EMSGSIZE. */
static int collect(struct head from, const struct injected *injected,
                   struct head_text texts[static 2 * EGRESS_FIELDS_MAX])
{
    size_t n = 0;

    while (from.n_texts >= 2) {
        struct head_text name = head_next(&from), value = head_next(&from);
        if (is_injected(injected, name))
            continue;
        texts[n++] = name;
        texts[n++] = value;
    }
    for (size_t i = 0; i < injected->n; i++) {
        const struct injected_header *header = &injected->headers[i];
        if (n + 2 > 2 * EGRESS_FIELDS_MAX)
            return -EMSGSIZE;
        texts[n++] = (struct head_text){ header->name, strlen(header->name) };
        texts[n++] = (struct head_text){ header->value.data, header->value.size };
    }
    return (int) n;
}

static int pack(const struct head_text *texts, size_t n, struct fetch_head *ret)
{
    size_t size = head_table_bytes(n);

    for (size_t i = 0; i < n; i++)
        size += texts[i].size;
    if (size > EGRESS_HEAD_MAX_BYTES)
        return -EMSGSIZE;
    uint8_t *data = malloc(size);
    if (!data)
        return -ENOMEM;
    struct head_writer writer = head_write(data, (uint32_t) n);
    for (size_t i = 0; i < n; i++)
        (void) head_add(&writer, texts[i].data, texts[i].size);
    *ret = (struct fetch_head){ data, size };
    return 0;
}

int fetch_secrets_add(const struct secrets *secrets, const struct manifest *manifest,
                      const struct fetch_parts *parts, struct fetch_head *ret_head,
                      const char **ret_name)
{
    const struct host_question question = fetch_parts_question(parts);
    struct head_text texts[2 * EGRESS_FIELDS_MAX];
    struct injected injected;
    struct head head;

    int r = secrets_inject(secrets, manifest, &question, &injected, ret_name);
    if (r < 0 || injected.n == 0)
        return r;
    r = head_open(parts->head, parts->head_size, 0, EGRESS_FIELDS_MAX, &head);
    if (r == 0)
        r = collect(head, &injected, texts);
    if (r >= 0)
        r = pack(texts, (size_t) r, ret_head);
    *ret_name = NULL;
    injected_done(&injected);
    return r;
}
