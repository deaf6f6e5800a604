/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/host/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/address.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/host/notify.h"

#define ADDRESS_TEXT_BYTES 128

struct inherited {
    int fd;
    enum socket_kind kind;
    struct sockaddr_storage address;
    unsigned position; /* in LISTEN_FDS */
    bool is_inherited;
    bool is_taken;  /* a module uses the socket, and owns the descriptor */
    bool is_stored; /* systemd has it */
    bool owns_file; /* the file is removed with the socket */
};

struct sockets {
    struct inherited items[SOCKETS_MAX]; /* inherited ones first, in the order of LISTEN_FDS */
    size_t n;
    bool has_dropped_stored; /* a socket that skepd had bound, and has no use for any more */
};

/* Finds the kind of a name. -1: none has it. */
static int find_kind(const char *name)
{
    for (int i = 0; i < SOCKET_KINDS; i++)
        if (strcmp(name, socket_kind_name(i)) == 0)
            return i;
    return -1;
}

/* ---- addresses */

/* Writes an address as in `listen`. */
static const char *address_text(const struct sockaddr_storage *address, char *text)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *) address;
        (void) snprintf(text, ADDRESS_TEXT_BYTES, "unix:%.*s", (int) sizeof un->sun_path,
                        un->sun_path[0] ? un->sun_path : "(abstract)");
    } else if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *) address;
        (void) inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        (void) snprintf(text, ADDRESS_TEXT_BYTES, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address;
        (void) inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        (void) snprintf(text, ADDRESS_TEXT_BYTES, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        (void) snprintf(text, ADDRESS_TEXT_BYTES, "no address");
    }
    return text;
}

/* Returns whether the address is the wanted one. any_port: port 0 of wanted stands for every
 * port. */
static bool is_address(const struct sockaddr_storage *address,
                       const struct sockaddr_storage *wanted, bool any_port)
{
    if (address->ss_family != wanted->ss_family)
        return false;
    if (address->ss_family == AF_UNIX)
        return strncmp(((const struct sockaddr_un *) address)->sun_path,
                       ((const struct sockaddr_un *) wanted)->sun_path,
                       sizeof(((struct sockaddr_un *) NULL)->sun_path)) == 0;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *) address;
        const struct sockaddr_in *b = (const struct sockaddr_in *) wanted;
        return a->sin_addr.s_addr == b->sin_addr.s_addr &&
               (a->sin_port == b->sin_port || (any_port && b->sin_port == 0));
    }
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *) address;
        const struct sockaddr_in6 *b = (const struct sockaddr_in6 *) wanted;
        return memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0 &&
               a->sin6_scope_id == b->sin6_scope_id &&
               (a->sin6_port == b->sin6_port || (any_port && b->sin6_port == 0));
    }
    return false;
}

/* ---- taking what is inherited */

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t size = sizeof listening;

    return sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1) > 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

/* Returns whether the socket's file was removed: then nobody can connect any more. */
static bool has_lost_file(const struct sockaddr_storage *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *) address;
    struct stat st;

    return address->ss_family == AF_UNIX && un->sun_path[0] != '\0' &&
           (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode));
}

static bool has_address(const struct sockets *sockets, const struct sockaddr_storage *address)
{
    for (size_t i = 0; i < sockets->n; i++)
        if (is_address(&sockets->items[i].address, address, false))
            return true;
    return false;
}

/* Returns the reason why a socket is of no use; NULL: it is of use. */
static const char *find_fault(const struct sockets *sockets, int fd, int kind,
                              struct sockaddr_storage *ret_address)
{
    socklen_t size = sizeof *ret_address - 1;

    if (!is_listening(fd))
        return "it is no listening stream socket";
    if (getsockname(fd, (struct sockaddr *) ret_address, &size) < 0)
        return "its address cannot be read";
    if (kind < 0)
        return "no socket has that name: use http, admin or metrics (FileDescriptorName=)";
    if (has_lost_file(ret_address))
        return "its file is gone";
    if (has_address(sockets, ret_address))
        return "another one has the same address";
    return sockets->n == SOCKETS_MAX ? "there are too many" : NULL;
}

static void take_inherited(struct sockets *sockets, unsigned position, const char *name)
{
    int fd = SD_LISTEN_FDS_START + (int) position;
    struct inherited item = { .fd = fd, .position = position, .is_inherited = true };
    char text[ADDRESS_TEXT_BYTES];
    int kind = find_kind(name);

    const char *fault = find_fault(sockets, fd, kind, &item.address);
    if (!fault && io_set_nonblocking(fd) < 0)
        fault = "it cannot be set to O_NONBLOCK";
    if (fault) {
        log_warning("inherited descriptor %d \"%s\" (%s) is closed: %s", fd, name,
                    address_text(&item.address, text), fault);
        sockets->has_dropped_stored |= kind == SOCKET_LISTEN || kind == SOCKET_ADMIN;
        (void) close(fd);
        return;
    }
    item.kind = (enum socket_kind) kind;
    sockets->items[sockets->n++] = item;
}

static void free_names(char ***names)
{
    for (size_t i = 0; *names && (*names)[i]; i++)
        free((*names)[i]);
    free(*names);
}

int sockets_new(struct sockets **ret_sockets)
{
    _cleanup_(sockets_cleanup) struct sockets *sockets = calloc(1, sizeof *sockets);
    _cleanup_(free_names) char **names = NULL;

    if (!sockets)
        return -ENOMEM;
    int n = sd_listen_fds_with_names(true, &names);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++)
        take_inherited(sockets, (unsigned) i, names[i]);
    *ret_sockets = TAKE_PTR(sockets);
    return 0;
}

struct sockets *sockets_free(struct sockets *sockets)
{
    if (!sockets)
        return NULL;
    for (size_t i = 0; i < sockets->n; i++)
        if (!sockets->items[i].is_taken)
            (void) close(sockets->items[i].fd);
    free(sockets);
    return NULL;
}

int sockets_take(struct sockets *sockets, const char *name)
{
    for (size_t i = 0; sockets && i < sockets->n; i++) {
        struct inherited *item = &sockets->items[i];
        if (item->is_taken || strcmp(socket_kind_name(item->kind), name) != 0)
            continue;
        item->is_taken = true;
        return item->fd;
    }
    return -1;
}

int sockets_take_address(struct sockets *sockets, const char *name,
                         const struct sockaddr_storage *address)
{
    for (size_t i = 0; sockets && i < sockets->n; i++) {
        struct inherited *item = &sockets->items[i];
        if (item->is_taken || strcmp(socket_kind_name(item->kind), name) != 0 ||
            !is_address(&item->address, address, true))
            continue;
        item->is_taken = true;
        return item->fd;
    }
    return -1;
}

int sockets_take_file(struct sockets *sockets, const char *name, const char *path)
{
    struct sockaddr_storage wanted = { .ss_family = AF_UNIX };
    struct sockaddr_un *file = (struct sockaddr_un *) &wanted;

    (void) snprintf(file->sun_path, sizeof file->sun_path, "%s", path);
    return sockets_take_address(sockets, name, &wanted);
}

int sockets_add(struct sockets *sockets, enum socket_kind kind, int fd)
{
    struct inherited item = { .fd = fd, .kind = kind, .is_taken = true, .owns_file = true };
    socklen_t size = sizeof item.address - 1;

    if (!sockets)
        return 0;
    if (sockets->n == SOCKETS_MAX)
        return -ENOSPC;
    (void) getsockname(fd, (struct sockaddr *) &item.address, &size);
    sockets->items[sockets->n++] = item;
    return 0;
}

/* ---- HTTP */

static int adopt(const struct sockets_user *user, struct inherited *item)
{
    char text[ADDRESS_TEXT_BYTES];
    int r = user->adopt(user->owner, item->fd);

    if (r < 0)
        return log_error_errno(r, "cannot use the inherited socket %s",
                               address_text(&item->address, text));
    item->is_taken = true;
    log_info("listening on %s (inherited)", address_text(&item->address, text));
    return 0;
}

static struct inherited *find_inherited(struct sockets *sockets,
                                        const struct sockaddr_storage *wanted)
{
    for (size_t i = 0; i < sockets->n; i++) {
        struct inherited *item = &sockets->items[i];
        if (!item->is_taken && (item->kind == SOCKET_HTTP || item->kind == SOCKET_LISTEN) &&
            is_address(&item->address, wanted, item->kind == SOCKET_LISTEN))
            return item;
    }
    return NULL;
}

/* Listens on one entry of `listen`. */
static int listen_on(struct sockets *sockets, const struct sockets_user *user, const char *address)
{
    struct sockaddr_storage wanted = { 0 };
    socklen_t size;
    int fd = -1;

    int r = address_parse_listen(address, &wanted, &size);
    struct inherited *item = r == 0 ? find_inherited(sockets, &wanted) : NULL;
    if (item)
        return adopt(user, item);
    if (r == 0)
        r = user->listen(user->owner, address, &fd);
    if (r == 0)
        r = sockets_add(sockets, SOCKET_LISTEN, fd);
    if (r < 0)
        return log_error_errno(r, "cannot listen on %s", address);
    log_info("listening on %s", address);
    return 0;
}

int sockets_listen(struct sockets *sockets, const struct config *config,
                   const struct sockets_user *user)
{
    size_t n_inherited = sockets->n;
    unsigned n_listening = config->n_listen;

    for (unsigned i = 0; i < config->n_listen; i++) {
        int r = listen_on(sockets, user, config->listen[i]);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < n_inherited; i++) {
        struct inherited *item = &sockets->items[i];
        if (item->is_taken || item->kind != SOCKET_HTTP)
            continue;
        int r = adopt(user, item);
        if (r < 0)
            return r;
        n_listening++;
    }
    if (n_listening == 0)
        return log_error_errno(-EDESTADDRREQ,
                               "nothing to listen on: give `listen` in %s, or hand a socket named "
                               "\"http\" over (skepd.socket with FileDescriptorName=http)",
                               config->path);
    return 0;
}

/* ---- afterwards */

static void close_rest(struct sockets *sockets)
{
    char text[ADDRESS_TEXT_BYTES];
    size_t kept = 0;

    for (size_t i = 0; i < sockets->n; i++) {
        struct inherited *item = &sockets->items[i];
        if (item->is_taken) {
            sockets->items[kept++] = *item;
            continue;
        }
        log_warning("inherited socket \"%s\" %s is closed: the configuration has no use for it",
                    socket_kind_name(item->kind), address_text(&item->address, text));
        sockets->has_dropped_stored = true;
        (void) close(item->fd);
    }
    sockets->n = kept;
}

void sockets_tell_files(const struct sockets *sockets, sockets_file_fn tell, void *owner)
{
    for (size_t i = 0; i < sockets->n; i++) {
        const struct inherited *item = &sockets->items[i];
        tell(owner, item->kind, item->fd, item->owns_file && !item->is_stored);
    }
}

void sockets_settle(struct sockets *sockets)
{
    close_rest(sockets);
}

void sockets_store(struct sockets *sockets, struct notify *notify)
{
    if (!notify)
        return;
    /* There is no way to let go of one alone. */
    for (int kind = 0; sockets->has_dropped_stored && kind < SOCKET_KINDS; kind++)
        if (kind != SOCKET_HTTP)
            notify_remove_fds(notify, socket_kind_name(kind));
    for (size_t i = 0; i < sockets->n; i++) {
        struct inherited *item = &sockets->items[i];
        /* An inherited socket is in the store already, or belongs to a unit. */
        if (item->is_inherited && (item->kind == SOCKET_HTTP || !sockets->has_dropped_stored))
            continue;
        int r = notify_store_fd(notify, item->fd, socket_kind_name(item->kind));
        if (r < 0)
            (void) log_warning_errno(r, "the service manager does not keep a socket \"%s\"",
                                     socket_kind_name(item->kind));
        item->is_stored = r == 0;
    }
}

size_t sockets_list(const struct sockets *sockets, int *ret_fds, enum socket_kind *ret_kinds)
{
    for (size_t i = 0; i < sockets->n; i++) {
        ret_fds[i] = sockets->items[i].fd;
        ret_kinds[i] = sockets->items[i].kind;
    }
    return sockets->n;
}

uint64_t sockets_files(const struct sockets *sockets)
{
    uint64_t files = 0;

    for (size_t i = 0; i < sockets->n; i++)
        if (sockets->items[i].owns_file && !sockets->items[i].is_stored)
            files |= UINT64_C(1) << i;
    return files;
}

void sockets_inherit_files(struct sockets *sockets, uint64_t files)
{
    for (size_t i = 0; i < sockets->n; i++)
        if (sockets->items[i].is_inherited)
            sockets->items[i].owns_file = (files >> sockets->items[i].position & 1) != 0;
}

void sockets_leave_files(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->n; i++)
        sockets->items[i].owns_file = false;
}
