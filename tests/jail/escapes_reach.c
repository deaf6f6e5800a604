/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Escapes to others: namespaces, processes, descriptors, files, sockets, programs, code.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

#include "tests/jail/escapes.h"

#define REFUSED .sealed = ESCAPE_REFUSED
#define FAILS .entered = ESCAPE_FAILS
#define SAYS(e) .entered = (e)
#define HARMLESS .entered = ESCAPE_HARMLESS
#define PAGE_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
/* A page of the probe's own, which it does not need. */
#define OWN_PAGE SCRATCH(bytes)

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* clang-format off */
const struct escape escapes_namespaces[] = {
    /* No layer but the filter keeps a process from a user namespace of its own; but there it would
     * not get back what Landlock has taken. */
    { "unshare user", "unshare", { CLONE_NEWUSER }, REFUSED },
    { "unshare mounts", "unshare", { CLONE_NEWNS }, REFUSED, SAYS(EPERM) },
    { "unshare network", "unshare", { CLONE_NEWNET }, REFUSED, SAYS(EPERM) },
    { "unshare pids", "unshare", { CLONE_NEWPID }, REFUSED, SAYS(EPERM) },
    { "unshare ipc", "unshare", { CLONE_NEWIPC }, REFUSED, SAYS(EPERM) },
    { "unshare uts", "unshare", { CLONE_NEWUTS }, REFUSED, SAYS(EPERM) },
    { "unshare cgroups", "unshare", { CLONE_NEWCGROUP }, REFUSED, SAYS(EPERM) },
    { "unshare time", "unshare", { CLONE_NEWTIME }, REFUSED, FAILS },
    { "unshare files", "unshare", { CLONE_FILES }, REFUSED },
    { "setns of a descriptor", "setns", { 3, 0 }, REFUSED, FAILS },
    { "setns of a pid", "setns", { 1, CLONE_NEWNS }, REFUSED, FAILS },
    { "clone user", "clone", { CLONE_NEWUSER | SIGCHLD }, REFUSED },
    { "clone mounts", "clone", { CLONE_NEWNS | SIGCHLD }, REFUSED, SAYS(EPERM) },
    { "clone network", "clone", { CLONE_NEWNET | SIGCHLD }, REFUSED, SAYS(EPERM) },
    { "clone pids", "clone", { CLONE_NEWPID | SIGCHLD }, REFUSED, SAYS(EPERM) },
    { "clone ipc", "clone", { CLONE_NEWIPC | SIGCHLD }, REFUSED, SAYS(EPERM) },
    { "clone uts", "clone", { CLONE_NEWUTS | SIGCHLD }, REFUSED, SAYS(EPERM) },
    { "clone cgroups", "clone", { CLONE_NEWCGROUP | SIGCHLD }, REFUSED, SAYS(EPERM) },
    { "clone a process", "clone", { SIGCHLD }, REFUSED },
    { "clone a thread into a namespace", "clone",
      { CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWNET },
      REFUSED, SAYS(EPERM) },
    { "clone a traced thread", "clone",
      { CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_PTRACE }, REFUSED },
    { "clone a thread", "clone",
      { CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD }, .sealed = EAGAIN },
    { "clone3", "clone3", { SCRATCH(clone_args), 88 }, .sealed = ENOSYS },
    { "fork", "fork", { 0 }, REFUSED },
    { "vfork", "vfork", { 0 }, REFUSED },
    { NULL },
};

const struct escape escapes_proc[] = {
    { "open /proc/1/mem", "openat", { AT_FDCWD, SCRATCH(proc_mem), O_RDWR }, .sealed = ENOENT, FAILS },
    { "open /proc/1/mem, old", "open", { SCRATCH(proc_mem), O_RDWR }, REFUSED, FAILS },
    { "mount proc", "mount", { SCRATCH(proc), SCRATCH(root), SCRATCH(proc) }, REFUSED, SAYS(EPERM) },
    { "fsopen proc", "fsopen", { SCRATCH(proc), 0 }, REFUSED, SAYS(EPERM) },
    { NULL },
};

const struct escape escapes_ptrace[] = {
    { "attach to a sibling", "ptrace", { PTRACE_ATTACH, ESCAPE_SIBLING }, REFUSED, SAYS(ESRCH) },
    { "seize a sibling", "ptrace", { PTRACE_SEIZE, ESCAPE_SIBLING }, REFUSED, SAYS(ESRCH) },
    { "attach to the supervisor", "ptrace", { PTRACE_ATTACH, ESCAPE_SUPERVISOR }, REFUSED,
      SAYS(ESRCH) },
    { "seize the supervisor", "ptrace", { PTRACE_SEIZE, ESCAPE_SUPERVISOR }, REFUSED, SAYS(ESRCH) },
    { "attach to the spawner", "ptrace", { PTRACE_ATTACH, ESCAPE_SPAWNER }, REFUSED, SAYS(ESRCH) },
    { "be traced", "ptrace", { PTRACE_TRACEME }, REFUSED },
    { NULL },
};

const struct escape escapes_signals[] = {
    { "kill a sibling", "kill", { ESCAPE_SIBLING, SIGKILL }, REFUSED, SAYS(ESRCH) },
    { "kill the supervisor", "kill", { ESCAPE_SUPERVISOR, SIGKILL }, REFUSED, SAYS(ESRCH) },
    { "kill the spawner", "kill", { ESCAPE_SPAWNER, SIGKILL }, REFUSED, SAYS(ESRCH) },
    /* The group is the probe's own, and process 1 ignores the signal. */
    { "kill the process group", "kill", { 0, SIGKILL }, REFUSED, HARMLESS },
    { "kill everybody", "kill", { -1, SIGKILL }, REFUSED, SAYS(ESRCH) },
    { "tkill a sibling", "tkill", { ESCAPE_SIBLING, SIGKILL }, REFUSED, SAYS(ESRCH) },
    { "tgkill a sibling", "tgkill", { ESCAPE_SIBLING, ESCAPE_SIBLING, SIGABRT }, REFUSED,
      SAYS(ESRCH) },
    { "tgkill the supervisor", "tgkill", { ESCAPE_SUPERVISOR, ESCAPE_SUPERVISOR, SIGABRT }, REFUSED,
      SAYS(ESRCH) },
    { "tgkill without a group", "tgkill", { -1, ESCAPE_SUPERVISOR, SIGABRT }, REFUSED, FAILS },
    /* The row allows this process and SIGABRT; the thread has to be one of the process. */
    { "tgkill a sibling as this one", "tgkill", { 1, ESCAPE_SIBLING, SIGABRT }, .sealed = ESRCH,
      SAYS(ESRCH) },
    { "rt_sigqueueinfo to a sibling", "rt_sigqueueinfo",
      { ESCAPE_SIBLING, SIGKILL, SCRATCH(bytes) }, REFUSED, FAILS },
    { "rt_tgsigqueueinfo to a sibling", "rt_tgsigqueueinfo",
      { ESCAPE_SIBLING, ESCAPE_SIBLING, SIGKILL, SCRATCH(bytes) }, REFUSED, FAILS },
    { "pidfd of a sibling", "pidfd_open", { ESCAPE_SIBLING, 0 }, REFUSED, SAYS(ESRCH) },
    { "pidfd of the supervisor", "pidfd_open", { ESCAPE_SUPERVISOR, 0 }, REFUSED, SAYS(ESRCH) },
    { "signal by a descriptor", "pidfd_send_signal", { 3, SIGKILL, 0, 0 }, REFUSED, FAILS },
    { "signals of the channel's owner", "fcntl", { 3, F_SETOWN, ESCAPE_SUPERVISOR }, REFUSED,
      SAYS(ESRCH) },
    { NULL },
};

/* Without filters these would work: RLIMIT_NOFILE comes with the seal. */
const struct escape escapes_passing[] = {
    { "send a descriptor", "sendmsg", { 3, SCRATCH(message), 0 }, REFUSED },
    { "send descriptors", "sendmmsg", { 3, SCRATCH(message), 1, 0 }, REFUSED },
    { "take a descriptor", "recvmsg", { 3, SCRATCH(wish), MSG_DONTWAIT }, REFUSED },
    { "take descriptors", "recvmmsg", { 3, SCRATCH(wish), 1, MSG_DONTWAIT, 0 }, REFUSED },
    { "take one of another process", "pidfd_getfd", { 3, 0, 0 }, REFUSED, SAYS(EBADF) },
    { "copy one", "dup", { 3 }, REFUSED },
    { "copy one over another", "dup2", { 0, 3 }, REFUSED },
    { "copy one over another, new", "dup3", { 0, 3, 0 }, REFUSED },
    { "copy one by fcntl", "fcntl", { 3, F_DUPFD, 100 }, REFUSED },
    { "splice into the channel", "splice", { 0, 0, 3, 0, 1, 0 }, REFUSED, FAILS },
    { "sendfile into the channel", "sendfile", { 3, 0, 0, 1 }, REFUSED },
    { NULL },
};

const struct escape escapes_opening[] = {
    { "open", "open", { SCRATCH(root), O_RDONLY }, REFUSED, SAYS(EACCES) },
    { "open for writing", "open", { SCRATCH(new_file), O_RDWR | O_CREAT, 0600 }, REFUSED, FAILS },
    { "openat", "openat", { AT_FDCWD, SCRATCH(root), O_RDONLY }, .sealed = ENOENT, SAYS(EACCES) },
    { "openat for writing", "openat", { AT_FDCWD, SCRATCH(new_file), O_RDWR | O_CREAT, 0600 },
      .sealed = ENOENT, FAILS },
    { "openat without a name", "openat", { AT_FDCWD, SCRATCH(root), O_TMPFILE | O_RDWR, 0600 },
      .sealed = ENOENT, FAILS },
    { "openat2", "openat2", { AT_FDCWD, SCRATCH(root), SCRATCH(open_how), 24 }, REFUSED, SAYS(EACCES) },
    { "creat", "creat", { SCRATCH(new_file), 0600 }, REFUSED, FAILS },
    { "open by handle", "open_by_handle_at", { AT_FDCWD, SCRATCH(handle), O_RDONLY }, REFUSED, FAILS },
    { "make a folder", "mkdir", { SCRATCH(new_file), 0700 }, REFUSED, FAILS },
    { "make a device", "mknodat", { AT_FDCWD, SCRATCH(new_file), 0020666, 0x101 }, REFUSED, FAILS },
    { "make a symbolic link", "symlinkat", { SCRATCH(root), AT_FDCWD, SCRATCH(new_file) }, REFUSED,
      FAILS },
    { "memfd", "memfd_create", { SCRATCH(word), 0 }, REFUSED },
    { "secret memory", "memfd_secret", { 0 }, REFUSED },
    { "pipe", "pipe2", { SCRATCH(bytes), 0 }, REFUSED },
    { "eventfd", "eventfd2", { 0, 0 }, REFUSED },
    { "epoll", "epoll_create1", { 0 }, REFUSED },
    { "timerfd", "timerfd_create", { 1, 0 }, REFUSED },
    { "signalfd", "signalfd4", { -1, SCRATCH(bytes), 8, 0 }, REFUSED },
    { "inotify", "inotify_init1", { 0 }, REFUSED },
    { "fanotify", "fanotify_init", { 0, 0 }, REFUSED, FAILS },
    { "folder's entries", "getdents64", { 3, SCRATCH(bytes), 4096 }, REFUSED, FAILS },
    { "path of the folder", "getcwd", { SCRATCH(bytes), 4096 }, REFUSED },
    { NULL },
};

#define SOCKET(text, family, type) { text, "socket", { (family), (type), 0 }, REFUSED }
const struct escape escapes_sockets[] = {
    SOCKET("socket of Unix", AF_UNIX, SOCK_STREAM),
    SOCKET("socket of Unix, datagrams", AF_UNIX, SOCK_DGRAM),
    SOCKET("socket of IPv4", AF_INET, SOCK_STREAM),
    SOCKET("socket of IPv4, datagrams", AF_INET, SOCK_DGRAM),
    SOCKET("socket of IPv6", AF_INET6, SOCK_STREAM),
    SOCKET("socket of netlink", AF_NETLINK, SOCK_RAW),
    SOCKET("socket of vsock", AF_VSOCK, SOCK_STREAM),
    SOCKET("socket of the kernel's crypto", AF_ALG, SOCK_SEQPACKET),
    SOCKET("socket of Bluetooth", AF_BLUETOOTH, SOCK_RAW),
    SOCKET("socket of CAN", AF_CAN, SOCK_RAW),
    SOCKET("socket of RDS", AF_RDS, SOCK_SEQPACKET),
    SOCKET("socket of TIPC", AF_TIPC, SOCK_SEQPACKET),
    SOCKET("socket of XDP", AF_XDP, SOCK_RAW),
    SOCKET("socket of a family that no kernel has", 200, SOCK_STREAM),
    { "socket of packets", "socket", { AF_PACKET, SOCK_RAW, 0 }, REFUSED, SAYS(EPERM) },
    { "raw socket", "socket", { AF_INET, SOCK_RAW, 1 }, REFUSED, SAYS(EPERM) },
    { "pair of sockets", "socketpair", { AF_UNIX, SOCK_STREAM, 0, SCRATCH(bytes) }, REFUSED },
    { "connect the channel", "connect", { 3, SCRATCH(bytes), 16 }, REFUSED, FAILS },
    { "bind the channel", "bind", { 3, SCRATCH(bytes), 2 }, REFUSED, FAILS },
    { "listen on the channel", "listen", { 3, 1 }, REFUSED, FAILS },
    { "accept on the channel", "accept4", { 3, 0, 0, 0 }, REFUSED, FAILS },
    { "send elsewhere", "sendto", { 3, SCRATCH(word), 0, 0, SCRATCH(bytes), 16 }, REFUSED },
    { "ask who is there", "getsockopt", { 3, SOL_SOCKET, SO_PEERCRED, SCRATCH(bytes), OWN_PAGE },
      REFUSED },
    { "pass credentials", "setsockopt", { 3, SOL_SOCKET, SO_PASSCRED, SCRATCH(bytes), 4 }, REFUSED },
    { "shut the channel", "shutdown", { 3, 99 }, REFUSED, SAYS(EINVAL) },
    { NULL },
};

const struct escape escapes_exec[] = {
    { "execve", "execve", { SCRATCH(shell), 0, 0 }, REFUSED, FAILS },
    { "execveat", "execveat", { AT_FDCWD, SCRATCH(shell), 0, 0, 0 }, REFUSED, FAILS },
    { "execveat of a descriptor", "execveat", { 3, SCRATCH(bytes), 0, 0, AT_EMPTY_PATH }, REFUSED,
      FAILS },
    { "load a library", "uselib", { SCRATCH(shell) }, REFUSED, FAILS },
    { NULL },
};

/* With jit off. Memory-deny-write-execute is there from Linux 6.3 on; the filter on all kernels. */
const struct escape escapes_memory[] = {
    { "mprotect to execute", "mprotect", { OWN_PAGE, 0, PROT_EXEC }, REFUSED },
    { "mprotect to read and execute", "mprotect", { OWN_PAGE, 0, PROT_READ | PROT_EXEC }, REFUSED },
    { "mprotect to all", "mprotect", { OWN_PAGE, 0, RWX }, REFUSED },
    { "mprotect with a bit above", "mprotect", { OWN_PAGE, 0, INT64_C(1) << 32 | PROT_READ }, REFUSED },
    { "pkey_mprotect to execute", "pkey_mprotect", { OWN_PAGE, 0, RWX, -1 }, REFUSED },
    { "pkey_mprotect", "pkey_mprotect", { OWN_PAGE, 0, PROT_READ, -1 }, REFUSED },
    { "protection key", "pkey_alloc", { 0, 0 }, REFUSED },
    { NULL },
};

/* With jit on, where mprotect may make code; nothing else may. */
const struct escape escapes_memory_jit[] = {
    { "mmap to execute", "mmap", { 0, 4096, PROT_READ | PROT_EXEC, PAGE_FLAGS, -1, 0 }, REFUSED },
    { "mmap to all", "mmap", { 0, 4096, RWX, PAGE_FLAGS, -1, 0 }, REFUSED },
    { "mmap shared", "mmap", { 0, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0 }, REFUSED },
    { "mmap of a descriptor", "mmap", { 0, 4096, PROT_READ, MAP_PRIVATE, 3, 0 }, REFUSED, FAILS },
    { "mmap that grows", "mmap", { 0, 4096, PROT_READ, PAGE_FLAGS | MAP_GROWSDOWN, -1, 0 }, REFUSED },
    { "mmap below 4 GiB", "mmap", { 0, 4096, PROT_READ, PAGE_FLAGS | 0x40, -1, 0 }, REFUSED },
    { "mmap to execute, as a stack", "mmap", { 0, 4096, PROT_EXEC, PAGE_FLAGS | MAP_STACK, -1, 0 },
      REFUSED },
    { "mmap of a stack in use", "mmap", { 0, 4096, PROT_READ, PAGE_FLAGS | MAP_STACK, -1, 0 },
      REFUSED },
    { "mmap of a thread's stack", "mmap", { 0, 4096, PROT_NONE, PAGE_FLAGS | MAP_STACK, -1, 0 },
      .sealed = ENOMEM },
    { "mprotect that grows", "mprotect", { OWN_PAGE, 0, PROT_READ | PROT_GROWSDOWN }, REFUSED },
    { "pages in another order", "remap_file_pages", { OWN_PAGE, 0, 0, 0, 0 }, REFUSED, FAILS },
    { "move a mapping", "mremap", { OWN_PAGE, 4096, 4096, 0, 0 }, .sealed = ENOMEM },
    { "shared memory of System V", "shmget", { 0, 4096, 01600 }, REFUSED },
    { "attach shared memory", "shmat", { 0, 0, 0 }, REFUSED, FAILS },
    { "lock memory", "mlockall", { 1 }, REFUSED, FAILS },
    { "seal memory", "mseal", { OWN_PAGE, 0, 0 }, REFUSED },
    { "shadow stack", "map_shadow_stack", { 0, 4096, 0 }, REFUSED },
    { NULL },
};

const struct escape escapes_peeking[] = {
    { "read a sibling's memory", "process_vm_readv",
      { ESCAPE_SIBLING, SCRATCH(iov), 1, SCRATCH(iov), 1, 0 }, REFUSED, SAYS(ESRCH) },
    { "write a sibling's memory", "process_vm_writev",
      { ESCAPE_SIBLING, SCRATCH(iov), 1, SCRATCH(iov), 1, 0 }, REFUSED, SAYS(ESRCH) },
    { "read the supervisor's memory", "process_vm_readv",
      { ESCAPE_SUPERVISOR, SCRATCH(iov), 1, SCRATCH(iov), 1, 0 }, REFUSED, SAYS(ESRCH) },
    { "write the supervisor's memory", "process_vm_writev",
      { ESCAPE_SUPERVISOR, SCRATCH(iov), 1, SCRATCH(iov), 1, 0 }, REFUSED, SAYS(ESRCH) },
    { "advise a sibling's memory", "process_madvise", { 3, SCRATCH(iov), 1, MADV_COLD, 0 }, REFUSED,
      FAILS },
    { "release a sibling's memory", "process_mrelease", { 3, 0 }, REFUSED, FAILS },
    { "compare with a sibling", "kcmp", { ESCAPE_SIBLING, 1, 0, 0, 0 }, REFUSED, SAYS(ESRCH) },
    { "a sibling's robust futexes", "get_robust_list",
      { ESCAPE_SIBLING, SCRATCH(bytes), SCRATCH(bytes) }, REFUSED, SAYS(ESRCH) },
    { "a sibling's pages", "move_pages", { ESCAPE_SIBLING, 0, 0, 0, 0, 0 }, REFUSED, FAILS },
    { "a sibling's session", "getsid", { ESCAPE_SIBLING }, REFUSED, SAYS(ESRCH) },
    { "inherit a futex's owner", "futex", { SCRATCH(bytes), FUTEX_LOCK_PI }, REFUSED },
    { NULL },
};
/* clang-format on */
