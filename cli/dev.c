/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep dev`: serves one script or tenant folder, shows its log, and reloads it when it is saved.
 * Runs a skepd of its own (dev_service.h) and a loop (dev_loop.c), as the user who calls it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cli/dev.h"
#include "cli/output.h"
#include "config/manifest.h"

#define PORT_DEFAULT 8080

static const struct cli_option dev_options[] = {
    { .name = "port", .argument = "N", .help = "listen on 127.0.0.1:N (8080)" },
    { .name = "trace", .help = "print the frames of each request between skepd and its worker" },
    { .name = "jit", .argument = "on|baseline|off", .help = "which of V8's compilers to use (on)" },
    { .name = "ca",
      .argument = "FILE",
      .help = "certificates, PEM, that fetch() trusts besides the system's" },
    { .name = NULL },
};

static void print_start(const struct dev *dev, unsigned port)
{
    (void) printf("http://127.0.0.1:%u/\n", port);
    (void) printf("%sserves %s, reloads it when it is saved; Ctrl-C stops%s\n",
                  output_style(stdout, OUTPUT_DIM), dev->path, output_style(stdout, OUTPUT_PLAIN));
}

static bool is_port_taken(unsigned port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t) port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    static const int on = 1; /* as skepd does: what has ended a moment ago is no hindrance */
    _cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           bind(fd, (const struct sockaddr *) &address, sizeof address) < 0 && errno == EADDRINUSE;
}

static void explain_start(const struct dev *dev, unsigned port)
{
    if (dev->has_ended && !dev->is_stopping && is_port_taken(port))
        output_error("dev", "port %u of 127.0.0.1 is taken: another one is skep dev --port N %s",
                     port, dev->path);
}

static int run_service(struct dev *dev, const struct service_options *options)
{
    int r = watch_new(dev->path, dev->is_folder, &dev->watch);

    if (r < 0) {
        output_error("dev", "cannot watch %s: %s", dev->path,
                     r == -ENOSPC ? "raise the sysctl fs.inotify.max_user_watches"
                                  : strerrordesc_np(-r));
        return r;
    }
    r = service_new(options, &dev->service);
    if (r < 0)
        return r; /* the error was printed */
    if (dev_wait_until_up(dev) == 0)
        print_start(dev, options->port);
    else
        explain_start(dev, options->port);
    return dev_loop(dev);
}

/* Reads the tenant before skepd does: the tenant names the cordon, and errors are printed
 * plainly. */
static int read_tenant(struct dev *dev, const char *given, char **ret_cordon)
{
    struct config_errors errors = { 0 };
    struct manifest *manifest = NULL;
    struct stat st;

    int r = stat(given, &st) < 0 ? -errno : 0;
    if (r < 0) {
        output_error("dev", "%s: %s: expected a .js or .mjs file, or a folder with skep.yaml",
                     given, strerrordesc_np(-r));
        return r;
    }
    dev->is_folder = S_ISDIR(st.st_mode);
    r = dev->is_folder ? manifest_read(given, config_files_bytes(NULL), &manifest, &errors)
                       : manifest_from_script(given, config_files_bytes(NULL), &manifest, &errors);
    if (errors.text)
        (void) fputs(errors.text, stderr);
    config_errors_done(&errors);
    if (r < 0)
        return r;
    *ret_cordon = strdup(manifest->cordon);
    (void) manifest_free(manifest);
    return *ret_cordon ? 0 : -ENOMEM;
}

/* Makes the path absolute. A script that is a link keeps its own name: tenants are named after
 * it. */
static int make_absolute(const char *given, bool is_folder, char *ret_path)
{
    char folder[PATH_MAX], real[PATH_MAX];
    const char *slash = strrchr(given, '/');
    const char *name = slash ? slash + 1 : given;

    if (is_folder)
        return realpath(given, ret_path) ? 0 : -errno;
    int size = snprintf(folder, sizeof folder, "%.*s", slash ? (int) (slash - given + 1) : 1,
                        slash ? given : ".");
    if (size < 0 || (size_t) size >= sizeof folder)
        return -ENAMETOOLONG;
    if (!realpath(folder, real))
        return -errno;
    size = snprintf(ret_path, PATH_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    return size < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int block_signals(void)
{
    sigset_t set;

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGINT);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* options: all but path and cordon. */
static int serve(const char *given, struct service_options options)
{
    struct dev dev = {
        .reload_ns = DEV_NEVER,
        .load_ns = DEV_NEVER,
        .look_ns = DEV_NEVER,
        .restore_ns = DEV_NEVER,
        .kill_ns = DEV_NEVER,
    };
    _cleanup_free_ char *cordon = NULL;

    int r = read_tenant(&dev, given, &cordon);
    if (r < 0)
        return CLI_FAILED;
    r = make_absolute(given, dev.is_folder, dev.path);
    _cleanup_fd_ int signal_fd = r < 0 ? r : block_signals();
    if (signal_fd < 0) {
        output_error("dev", "%s: %s", given, strerrordesc_np(-signal_fd));
        return CLI_FAILED;
    }
    dev.signal_fd = signal_fd;
    options.path = dev.path;
    options.is_folder = dev.is_folder;
    options.cordon = cordon;
    (void) signal(SIGPIPE, SIG_IGN);
    (void) setvbuf(stdout, NULL, _IOLBF, 0);
    r = run_service(&dev, &options);
    (void) client_free(dev.client);
    (void) service_free(dev.service);
    (void) watch_free(dev.watch);
    return r < 0 ? CLI_FAILED : dev.status;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *port = NULL, *jit_text = "on", *ca = NULL;
    struct service_options service = { .is_traced = false };
    _cleanup_free_ char *ca_path = NULL;
    struct cli_option options[ARRAY_LEN(dev_options)];
    uint32_t port_number = PORT_DEFAULT;
    enum cli_exit status = CLI_DONE;

    memcpy(options, dev_options, sizeof options);
    options[0].value = &port;
    options[1].given = &service.is_traced;
    options[2].value = &jit_text;
    options[3].value = &ca;
    int first = cli_options(cli, options, argc, argv, &status);
    if (first < 0)
        return (int) status;
    if (port && (!cli_parse_number(port, 65535, &port_number) || port_number == 0))
        return (int) cli_usage_error(cli, "\"%s\" is no port: expected 1 to 65535", port);
    if (jit_parse(jit_text, &service.jit) < 0)
        return (int) cli_usage_error(cli, "--jit is \"on\", \"baseline\" or \"off\", not \"%s\"",
                                     jit_text);
    if (cli->json)
        return (int) cli_usage_error(cli, "there is no --json here");
    if (ca && !(ca_path = realpath(ca, NULL))) {
        output_error("dev", "--ca %s: %s", ca, strerrordesc_np(errno));
        return CLI_FAILED;
    }
    service.port = port_number;
    service.ca = ca_path;
    return serve(argv[first], service);
}

const struct verb verb_dev = {
    .name = "dev",
    .arguments = "FILE|DIR",
    .summary = "serve one script or tenant folder, and reload it when it is saved",
    .help =
        "Prints http://127.0.0.1:PORT/ when it serves, then the tenant's log and the errors in\n"
        "the tenant's files. Every host name leads to the tenant. Limits are the defaults, or\n"
        "those of its skep.yaml. --socket has no effect.\n\n"
        "A secret NAME of its skep.yaml is the variable SKEP_SECRET_NAME of the environment.\n\n"
        "With --trace each frame of a request between skepd and its worker is a line: its\n"
        "number, the time since the request went to the worker, -> to the worker or <- from\n"
        "it, and what it is; of one request at most 100.\n",
    .options = dev_options,
    .run = run,
};
