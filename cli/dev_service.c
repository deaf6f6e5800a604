/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dev_service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/skepd.h"
#include "common/io.h"

#define FOLDER_TEMPLATE "/skep-dev-XXXXXX"
#define SOCKET_NAME "/admin.sock"
#define CONFIG_NAME "/skepd.yaml"
#define STATUS_NOT_FOUND 127

/* ---- its folder */

/* Makes the folder: in $XDG_RUNTIME_DIR if the path of a socket fits there, else in /tmp. */
static int make_folder(struct service *service)
{
    struct sockaddr_un address;
    const char *base = getenv("XDG_RUNTIME_DIR");

    if (!base || base[0] != '/' || access(base, W_OK | X_OK) < 0 ||
        strlen(base) + sizeof FOLDER_TEMPLATE SOCKET_NAME > sizeof address.sun_path)
        base = "/tmp";
    _cleanup_free_ char *folder = NULL;
    if (asprintf(&folder, "%s%s", base, FOLDER_TEMPLATE) < 0)
        return -ENOMEM;
    if (!mkdtemp(folder)) { /* mode 0700 */
        int error = -errno;
        output_error("dev", "cannot make a folder in %s: %s", base, strerrordesc_np(-error));
        return error;
    }
    service->folder = TAKE_PTR(folder);
    return asprintf(&service->socket, "%s%s", service->folder, SOCKET_NAME) < 0 ? -ENOMEM : 0;
}

static void remove_folder(const char *path)
{
    _cleanup_dir_ DIR *dir = opendir(path);

    for (struct dirent *entry; dir && (entry = readdir(dir));)
        (void) unlinkat(dirfd(dir), entry->d_name, 0);
    (void) rmdir(path);
}

/* Writes a double-quoted YAML scalar. */
static void write_quoted(FILE *file, const char *text)
{
    (void) fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            (void) fputc('\\', file);
        (void) fputc(*text, file);
    }
    (void) fputc('"', file);
}

/* Makes the folder .skep of the project, which git ignores: for what the tenant stores, in its folder data, which skepd makes. Best
 * effort: where it cannot be made, as in a folder that may only be read, the tenant has no storage. 0 or -ENOMEM. */
static int make_storage(struct service *service, const struct service_options *options)
{
    _cleanup_free_ char *folder = NULL, *ignore = NULL;

    if (!options->is_folder)
        return 0;
    if (asprintf(&folder, "%s/.skep", options->path) < 0 ||
        asprintf(&ignore, "%s/.gitignore", folder) < 0)
        return -ENOMEM;
    if (mkdir(folder, 0755) == 0) {
        _cleanup_file_ FILE *file = fopen(ignore, "wxe");
        if (file)
            (void) fputs("*\n", file);
    }
    if (access(folder, W_OK | X_OK) < 0)
        return 0;
    return asprintf(&service->storage, "%s/data", folder) < 0 ? -ENOMEM : 0;
}

/* Writes skepd.yaml. log_level: the tenant's own lines come by the admin socket. */
static int write_config(const struct service *service, const struct service_options *options,
                        const char *path)
{
    _cleanup_file_ FILE *file = fopen(path, "wxe");

    if (!file)
        return -errno;
    (void) fprintf(file, "drain_s: 10\nlisten: [\"127.0.0.1:%u\"]\nadmin_socket: ", options->port);
    write_quoted(file, service->socket);
    /* Servers of the machine on which a tenant is developed may be asked, if its allowed_hosts name them. */
    (void) fprintf(file,
                   "\nlog_level: %s\nlog_format: human\n"
                   "egress:\n  addresses: [127.0.0.0/8, \"::1\"]\n",
                   options->is_traced ? "info" : "warning");
    if (options->ca) {
        (void) fputs("  ca: ", file);
        write_quoted(file, options->ca);
        (void) fputc('\n', file);
    }
    if (service->storage) {
        (void) fputs("storage:\n  folder: ", file);
        write_quoted(file, service->storage);
        (void) fputc('\n', file);
    }
    (void) fputs("cordons:\n  - name: ", file);
    write_quoted(file, options->cordon);
    (void) fprintf(file, "\n    workers: 1\n    jit: %s\n", jit_name(options->jit));
    return fflush(file) != 0 ? -errno : 0;
}

/* ---- its process */

static _Noreturn void run_child(const struct service_options *options, const char *config,
                                int log_fd, pid_t parent)
{
    char config_option[] = "--config", dev_option[] = "--dev", name[] = "skepd";
    char trace_option[] = "--trace";
    _cleanup_free_ char *config_copy = strdup(config);
    _cleanup_free_ char *path = strdup(options->path);
    char *argv[] = { name,       config_option, config_copy,
                     dev_option, path,          options->is_traced ? trace_option : NULL,
                     NULL };
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    /* A process group of its own: Ctrl-C is for skep, which then stops skepd in order. */
    (void) setpgid(0, 0);
    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void) sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
    if (getppid() != parent || null_fd < 0 || !config_copy || !path ||
        dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0)
        _exit(STATUS_NOT_FOUND);
    skepd_exec(argv);
}

static int start(struct service *service, const struct service_options *options, const char *config)
{
    pid_t parent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    service->log_fd = ends[0];
    _cleanup_fd_ int log_fd = ends[1];
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run_child(options, config, log_fd, parent);
    service->pid = pid;
    service->pidfd = pidfd_open(pid, 0);
    return service->pidfd < 0 ? -errno : io_set_nonblocking(service->log_fd);
}

int service_new(const struct service_options *options, struct service **ret_service)
{
    _cleanup_(service_cleanup) struct service *service = calloc(1, sizeof *service);
    _cleanup_free_ char *config = NULL;

    if (!service)
        return -ENOMEM;
    service->pidfd = service->log_fd = -1;
    int r = make_folder(service);
    if (r < 0)
        return r;
    if (asprintf(&config, "%s%s", service->folder, CONFIG_NAME) < 0)
        return -ENOMEM;
    r = make_storage(service, options);
    if (r == 0)
        r = write_config(service, options, config);
    if (r == 0)
        r = start(service, options, config);
    if (r < 0) {
        (void) fprintf(stderr, "skep dev: cannot start skepd: %s\n", strerrordesc_np(-r));
        return r;
    }
    *ret_service = TAKE_PTR(service);
    return 0;
}

void service_signal(const struct service *service, int signal)
{
    if (service->pidfd >= 0)
        (void) pidfd_send_signal(service->pidfd, signal, NULL, 0);
}

int service_reap(struct service *service)
{
    int status = 0;

    while (waitpid(service->pid, &status, 0) < 0 && errno == EINTR)
        ;
    (void) close(service->pidfd);
    service->pidfd = -1;
    service->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct service *service_free(struct service *service)
{
    if (!service)
        return NULL;
    if (service->pid > 0) {
        (void) kill(service->pid, SIGKILL); /* not reaped yet: the pid is still that of skepd */
        while (waitpid(service->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (service->pidfd >= 0)
        (void) close(service->pidfd);
    if (service->log_fd >= 0)
        (void) close(service->log_fd);
    if (service->folder)
        remove_folder(service->folder);
    free(service->storage);
    free(service->folder);
    free(service->socket);
    free(service);
    return NULL;
}

/* ---- its log */

/* Prints "TIME skepd warning: text" without the parts that a person at the keyboard does not
 * need. */
static void print_line(const char *line, size_t size)
{
    static const char tag[] = " skepd ";
    const char *start = memmem(line, size < 40 ? size : 40, tag, sizeof tag - 1);
    static const char info[] = "skepd info: ", trace[] = "trace: ";
    size_t skipped = start ? (size_t) (start - line) + 1 : 0;
    size_t prefix = sizeof info - 1;

    if (size - skipped >= prefix && memcmp(line + skipped, info, prefix) == 0) {
        skipped += prefix;
        if (size - skipped < sizeof trace - 1 ||
            memcmp(line + skipped, trace, sizeof trace - 1) != 0)
            return; /* a trace shows frames alone */
    }
    (void) fputs(output_style(stderr, OUTPUT_YELLOW), stderr);
    output_text(stderr, (const uint8_t *) line + skipped, size - skipped);
    (void) fprintf(stderr, "%s\n", output_style(stderr, OUTPUT_PLAIN));
}

bool service_print_log(struct service *service)
{
    char buffer[8192];
    size_t have = 0;
    ssize_t n;

    /* skepd writes whole lines; a line that does not end in the buffer is cut. */
    while ((n = read(service->log_fd, buffer + have, sizeof buffer - have)) > 0) {
        have += (size_t) n;
        size_t at = 0;
        for (char *end; (end = memchr(buffer + at, '\n', have - at));
             at = (size_t) (end - buffer) + 1)
            print_line(buffer + at, (size_t) (end - buffer) - at);
        have -= at;
        memmove(buffer, buffer + at, have);
        if (have == sizeof buffer) {
            print_line(buffer, have);
            have = 0;
        }
    }
    bool is_open = n < 0 && (errno == EAGAIN || errno == EINTR);
    if (have > 0)
        print_line(buffer, have);
    return is_open;
}
