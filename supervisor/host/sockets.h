/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets that outlive a process. All that this process inherits come in one way, that of
 * sd_listen_fds(3), from three sides: a .socket unit, systemd's store of descriptors (sockets that
 * skepd itself had bound before a restart), and the skepd that this one replaces. Each has a name:
 *
 *   http     serves HTTP, whether or not `listen` has its address
 *   listen   bound by skepd for an entry of `listen`; closed if that is not there any more
 *   admin    the admin socket, if it is the configuration's
 *   metrics  for the metrics module
 *
 * Supervisor. Functions that bind or ask for addresses run before confinement.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "config/config.h"
#include "spawner/sockets.h"

struct notify;
struct sockets;

/* Takes the inherited sockets, and LISTEN_* out of the environment. Sockets of an unknown name, and
 * descriptors that are no listening stream socket, are closed with a line in the log; so is a
 * socket whose address another one has too, and a Unix socket whose file is gone. Call first,
 * before other descriptors are opened. 0 or -errno. */
int sockets_new(struct sockets **ret_sockets);
/* Closes the inherited sockets that were not taken. NULL is allowed. Returns NULL. */
struct sockets *sockets_free(struct sockets *sockets);
DEFINE_CLEANUP(struct sockets *, sockets_free, sockets_cleanup)

/* Hands an inherited socket of that name out; the descriptor is the caller's from now on, and must stay
 * open while skepd serves. -1: there is none (more). sockets: may be NULL. */
int sockets_take(struct sockets *sockets, const char *name);
/* Hands out the one with that address (port 0: any); others of that name stay. */
int sockets_take_address(struct sockets *sockets, const char *name,
                         const struct sockaddr_storage *address);
/* Hands out one Unix socket. */
int sockets_take_file(struct sockets *sockets, const char *name, const char *path);
/* Notes a listening socket that was bound here, so that a restart and an upgrade keep it; the descriptor
 * stays the caller's, and open while skepd serves. 0 or -ENOSPC. sockets: may be NULL. */
int sockets_add(struct sockets *sockets, enum socket_kind kind, int fd);

/* The module that serves the sockets of `listen`; its functions return as http_front_adopt and
 * http_front_listen. */
struct sockets_user {
    int (*adopt)(void *owner, int fd);
    int (*listen)(void *owner, const char *address, int *ret_fd);
    void *owner; /* borrowed for the call */
};
/* Gives the user its listening sockets: inherited ones, and new ones for the rest of `listen`. Logs
 * each. 0 or -errno, which is logged with the remedy; -EDESTADDRREQ: there would be none. */
int sockets_listen(struct sockets *sockets, const struct config *config,
                   const struct sockets_user *user);

/* Closes the sockets that no module has taken, with a line in the log for each. After all modules
 * had the chance. */
void sockets_settle(struct sockets *sockets);
/* Has systemd keep the sockets that were bound here, for the next start; their files are then left
 * alone at the end. notify: NULL for none. */
void sockets_store(struct sockets *sockets, struct notify *notify);

/* Tells for each socket whether its file, if it has one, is removed when it is closed: after each
 * of the calls that change that. */
typedef void (*sockets_file_fn)(void *owner, enum socket_kind kind, int fd, bool is_ours);
void sockets_tell_files(const struct sockets *sockets, sockets_file_fn tell, void *owner);

/* Lists the sockets that a skepd which replaces this one inherits, in this order: all that are in
 * use, at most SOCKETS_MAX. Returns their number. The descriptors are borrowed. */
size_t sockets_list(const struct sockets *sockets, int *ret_fds, enum socket_kind *ret_kinds);
/* Returns which of that list have files that are to be removed at the end, one bit each. */
uint64_t sockets_files(const struct sockets *sockets);
/* Sets these bits, as the skepd that had the sockets before has sent them. */
void sockets_inherit_files(struct sockets *sockets, uint64_t files);
/* Leaves all files alone: another skepd has the sockets now. */
void sockets_leave_files(struct sockets *sockets);
