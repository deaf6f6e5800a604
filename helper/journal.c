/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/journal.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

#include "common/cleanup.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define NAME_BYTES 32
#define TEXT_BYTES 16128 /* text of the message, escaped */
#define VALUE_BYTES 4096 /* value of another field */

static int journal_fd = -1;

/* ---- an entry */

struct writer {
    char *entry;
    size_t size, at;
};

/* Writes a field as "NAME\n", size, value, "\n", so that the value may hold anything. A field that
 * does not fit is left out. */
static void put_value(struct writer *writer, const char *name, const char *value, size_t size)
{
    size_t name_size = strlen(name);
    uint64_t count = htole64(size);

    if (writer->size - writer->at < name_size + sizeof count + size + 2)
        return;
    char *p = writer->entry + writer->at;
    for (size_t i = 0; i < name_size; i++)
        *p++ = (char) toupper((unsigned char) name[i]);
    *p++ = '\n';
    memcpy(p, &count, sizeof count);
    p += sizeof count;
    memcpy(p, value, size);
    p += size;
    *p++ = '\n';
    writer->at = (size_t) (p - writer->entry);
}

/* Writes text, escaped: journalctl shows a value with unprintable characters as a blob. */
static void put_text(struct writer *writer, const char *name, const char *text, size_t length)
{
    char value[TEXT_BYTES];

    size_t size = log_escape_lines(text, length, value, sizeof value);
    put_value(writer, name, value, size);
}

static void put_name(struct writer *writer, const char *name, const char *text)
{
    if (text)
        put_text(writer, name, text, strlen(text));
}

static void put_number(struct writer *writer, const char *name, uint64_t number)
{
    char value[24];

    int n = snprintf(value, sizeof value, "%" PRIu64, number);
    put_value(writer, name, value, (size_t) n);
}

static void put_field(struct writer *writer, const struct log_field *field)
{
    char value[32];
    int n;

    switch (field->kind) {
    case LOG_FIELD_TEXT:
        put_text(writer, field->name, field->text,
                 field->size < VALUE_BYTES ? field->size : VALUE_BYTES);
        break;
    case LOG_FIELD_NUMBER:
        put_number(writer, field->name, field->number);
        break;
    case LOG_FIELD_MILLI:
        n = snprintf(value, sizeof value, "%" PRIu64 ".%03u", field->number / 1000,
                     (unsigned) (field->number % 1000));
        put_value(writer, field->name, value, (size_t) n);
        break;
    }
}

size_t journal_encode(const struct log_event *event, char *entry, size_t size)
{
    static const unsigned priorities[] = {
        [LOG_LEVEL_ERROR] = LOG_ERR,
        [LOG_LEVEL_WARNING] = LOG_WARNING,
        [LOG_LEVEL_INFO] = LOG_INFO,
        [LOG_LEVEL_DEBUG] = LOG_DEBUG,
    };
    struct writer writer = { .entry = entry, .size = size };
    const struct log_context *context = event->context;

    put_number(&writer, "priority", priorities[event->level]);
    put_name(&writer, "syslog_identifier",
             context->tenant_level ? LOG_TENANT_PROGRAM : event->name);
    put_text(&writer, "message", event->text, event->size);
    put_name(&writer, "tenant", context->tenant);
    put_name(&writer, "tenant_level", context->tenant_level);
    put_name(&writer, "cordon", context->cordon);
    if (context->request > 0)
        put_number(&writer, "request_id", context->request);
    put_name(&writer, "code", context->code);
    if (context->worker_pid > 0) {
        put_number(&writer, "worker", context->worker);
        put_number(&writer, "worker_pid", (uint64_t) context->worker_pid);
    }
    for (size_t i = 0; i < context->n_fields; i++)
        put_field(&writer, &context->fields[i]);
    return writer.at;
}

/* ---- the socket */

/* Sends an entry. The socket is not connected: the path is looked up each time, so that a journald
 * that was restarted has the next entry. */
static int send_event(const struct log_event *event)
{
    static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
    char entry[JOURNAL_ENTRY_BYTES];
    struct iovec part = { .iov_base = entry };

    if (journal_fd < 0)
        return -ENOTCONN;
    part.iov_len = journal_encode(event, entry, sizeof entry);
    const struct msghdr message = {
        .msg_name = (void *) (uintptr_t) &address,
        .msg_namelen = sizeof address,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };
    if (sendmsg(journal_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    return errno == ENOBUFS || errno == EINTR ? -EAGAIN : -errno;
}

void journal_open(void)
{
    if (journal_fd < 0)
        journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (journal_fd >= 0)
        log_set_journal(send_event);
}

void journal_leave(void)
{
    journal_fd = -1; /* the number may soon be another file's */
    log_set_journal(NULL);
    if (log_get_format() == LOG_FORMAT_JOURNAL)
        log_set_format(LOG_FORMAT_HUMAN);
}
