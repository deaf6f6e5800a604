/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep dev` while it runs: one loop over skepd's admin socket and log, the files and signals. Each
 * later action is a time in struct dev. Runs as the user who called skep.
 */
#include "cli/dev.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "cli/output.h"
#include "common/io.h"

#define START_TIMEOUT_NS (20 * NSEC_PER_SEC)
#define STOP_TIMEOUT_NS (15 * NSEC_PER_SEC) /* longer than skepd takes for requests in flight */
#define CONNECT_INTERVAL_MS 5
#define LOAD_AGAIN_NS (20 * NSEC_PER_MSEC) /* while the worker is not up */
#define RESTORE_NS (250 * NSEC_PER_MSEC)

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- output */

static void print_log_line(const Skep__Admin__LogLine *line)
{
    static const struct {
        const char *level, *tag;
        enum output_style style;
    } styles[] = {
        { "debug", "", OUTPUT_DIM },
        { "info", "", OUTPUT_PLAIN },
        { "warn", "warning: ", OUTPUT_YELLOW },
        { "error", "error: ", OUTPUT_RED },
    };
    const char *tag = "";
    enum output_style style = OUTPUT_PLAIN;

    for (size_t i = 0; i < ARRAY_LEN(styles); i++)
        if (strlen(styles[i].level) == line->level.len &&
            memcmp(styles[i].level, line->level.data, line->level.len) == 0) {
            tag = styles[i].tag;
            style = styles[i].style;
        }
    if (line->lost > 0)
        (void) printf("%s(%llu lines were lost: more than could be shown)%s\n",
                      output_style(stdout, OUTPUT_DIM), (unsigned long long) line->lost,
                      output_style(stdout, OUTPUT_PLAIN));
    if (line->tenant.len == 0) /* the line has nothing but that count */
        return;
    (void) printf("%s%s", style == OUTPUT_PLAIN ? "" : output_style(stdout, style), tag);
    output_text(stdout, line->text.data, line->text.len);
    (void) printf("%s\n", style == OUTPUT_PLAIN ? "" : output_style(stdout, OUTPUT_PLAIN));
}

static void print_errors(ProtobufCBinaryData errors)
{
    (void) printf("%snot reloaded:\n", output_style(stdout, OUTPUT_RED));
    output_text(stdout, errors.data, errors.len);
    (void) printf("%s", output_style(stdout, OUTPUT_PLAIN));
}

/* After what the load has logged. */
static void print_reloaded(const struct dev *dev, bool has_failed)
{
    const char *base = strrchr(dev->path, '/') + 1;
    const char *name = dev->shown.name[0] ? dev->shown.name : base;

    (void) printf("%s%s: ", output_style(stdout, has_failed ? OUTPUT_RED : OUTPUT_DIM),
                  has_failed ? "does not load" : "reloaded");
    output_text(stdout, (const uint8_t *) name, strlen(name));
    (void) printf("%s\n", output_style(stdout, OUTPUT_PLAIN));
}

/* ---- talking to skepd */

/* Starts what is to serve, so that what is wrong with it is seen without a request; or only looks how that is. */
static int ask_load(struct dev *dev, bool look)
{
    Skep__Admin__LoadRequest request = SKEP__ADMIN__LOAD_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;

    request.look = look;
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_LOAD;
    command.load = &request;
    *(look ? &dev->look_ns : &dev->load_ns) = DEV_NEVER;
    return client_send(dev->client, &command);
}

static int ask_reload(struct dev *dev)
{
    Skep__Admin__ReloadRequest request = SKEP__ADMIN__RELOAD_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;

    request.load = true;
    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_RELOAD;
    command.reload = &request;
    dev->reload_ns = DEV_NEVER;
    dev->load_ns = DEV_NEVER; /* a reload loads, too */
    dev->asked_ns = io_now_ns();
    int r = dev->is_new ? ask_load(dev, true) : 0; /* the one before may be told, too */
    return r < 0 ? r : client_send(dev->client, &command);
}

/* Handles the answer to the reload itself; the end of its load is still open. */
static void on_read_again(struct dev *dev, const Skep__Admin__Reloaded *reloaded)
{
    if (reloaded->errors.len > 0)
        print_errors(reloaded->errors);
    dev->is_new = reloaded->errors.len == 0;
    dev->shown = dev->change;
    dev->asked_ns = 0;
    dev->change = (struct watch_change){ 0 };
}

static void on_reloaded(struct dev *dev, const Skep__Admin__Reloaded *reloaded)
{
    if (dev->asked_ns > 0 && (reloaded->tenants > 0 || reloaded->errors.len > 0))
        on_read_again(dev, reloaded);
    if (dev->is_new && reloaded->pending == 0) {
        print_reloaded(dev, reloaded->failed > 0);
        dev->is_new = false;
    }
    if (dev->is_new)
        dev->look_ns = io_now_ns() + LOAD_AGAIN_NS;
    if (!reloaded->loading && reloaded->errors.len == 0)
        dev->load_ns = io_now_ns() + LOAD_AGAIN_NS;
}

static int on_answers(struct dev *dev)
{
    const Skep__Admin__Answer *answer = NULL;
    int r;

    while ((r = client_receive(dev->client, 0, &answer)) == 0)
        if (answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_LOG) {
            print_log_line(answer->log);
        } else if (answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_RELOADED) {
            on_reloaded(dev, answer->reloaded);
        } else if (answer->message_case == SKEP__ADMIN__ANSWER__MESSAGE_FAILURE) {
            output_text(stderr, answer->failure->message.data, answer->failure->message.len);
            (void) fputc('\n', stderr);
            dev->asked_ns = 0;
        }
    return r == -EAGAIN ? 0 : r;
}

/* ---- the loop */

static void stop(struct dev *dev)
{
    /* skepd, asked a second time, does not wait for requests in flight. */
    service_signal(dev->service, SIGTERM);
    if (!dev->is_stopping)
        dev->kill_ns = io_now_ns() + STOP_TIMEOUT_NS;
    dev->is_stopping = true;
}

static void on_signal(struct dev *dev)
{
    struct signalfd_siginfo info;

    if (read(dev->signal_fd, &info, sizeof info) == sizeof info)
        stop(dev);
}

static void on_ended(struct dev *dev)
{
    int status = service_reap(dev->service);

    (void) service_print_log(dev->service);
    dev->has_ended = true;
    if (dev->is_stopping || dev->status != CLI_DONE)
        return;
    dev->status = status != 0 ? status : CLI_FAILED;
    (void) fprintf(stderr, "skep dev: skepd has ended with status %d\n", status);
}

/* Notes that the connection is lost. skepd closes it when it ends: its exit status says more. */
static void on_connection_lost(struct dev *dev, int error)
{
    dev->client = client_free(dev->client);
    if (dev->is_stopping)
        return;
    if (error != -EPIPE)
        (void) fprintf(stderr, "skep dev: lost the connection to skepd: %s\n",
                       strerrordesc_np(-error));
    service_signal(dev->service, SIGTERM);
    dev->kill_ns = io_now_ns() + STOP_TIMEOUT_NS;
}

static void on_files_changed(struct dev *dev)
{
    struct watch_change change;

    int r = watch_read(dev->watch, &change);
    if (r < 0 || watch_is_lost(dev->watch))
        dev->restore_ns = io_now_ns() + RESTORE_NS;
    if (!change.is_due)
        return;
    dev->change = change;
    dev->reload_ns = io_now_ns() + change.delay_ms * NSEC_PER_MSEC;
}

static int on_time(struct dev *dev, uint64_t now)
{
    int r = 0;

    if (now >= dev->kill_ns) {
        service_signal(dev->service, SIGKILL);
        dev->kill_ns = DEV_NEVER;
    }
    if (dev->is_stopping || !dev->client)
        return 0;
    if (now >= dev->restore_ns) {
        dev->restore_ns = DEV_NEVER;
        if (watch_restore(dev->watch) == 0)
            dev->reload_ns = now;
        else if (watch_is_lost(dev->watch))
            dev->restore_ns = now + RESTORE_NS;
    }
    if (now >= dev->reload_ns && dev->asked_ns == 0)
        r = ask_reload(dev);
    else if (now >= dev->load_ns && dev->asked_ns == 0)
        r = ask_load(dev, false);
    else if (now >= dev->look_ns && dev->asked_ns == 0)
        r = ask_load(dev, true);
    return r;
}

static int wait_ms(const struct dev *dev, uint64_t now)
{
    uint64_t next = dev->kill_ns;

    if (!dev->is_stopping && dev->client) {
        next = earlier(next, dev->restore_ns);
        if (dev->asked_ns == 0)
            next = earlier(next, earlier(dev->reload_ns, earlier(dev->load_ns, dev->look_ns)));
    }
    if (next == DEV_NEVER)
        return -1;
    return next <= now ? 0 : (int) ((next - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

int dev_loop(struct dev *dev)
{
    int r = 0;

    while (!dev->has_ended) {
        struct pollfd fds[] = {
            { .fd = dev->signal_fd, .events = POLLIN },
            { .fd = dev->service->log_fd, .events = POLLIN },
            { .fd = dev->client ? client_fd(dev->client) : -1, .events = POLLIN },
            { .fd = watch_fd(dev->watch), .events = POLLIN },
            { .fd = dev->service->pidfd, .events = POLLIN },
        };
        if (poll(fds, ARRAY_LEN(fds), wait_ms(dev, io_now_ns())) < 0 && errno != EINTR)
            return -errno;
        if (fds[0].revents)
            on_signal(dev);
        if (fds[1].revents && !service_print_log(dev->service)) {
            (void) close(dev->service->log_fd);
            dev->service->log_fd = -1;
        }
        if (fds[2].revents)
            r = on_answers(dev);
        if (fds[3].revents)
            on_files_changed(dev);
        if (fds[4].revents)
            on_ended(dev);
        else if (r == 0)
            r = on_time(dev, io_now_ns());
        if (r < 0)
            on_connection_lost(dev, r);
        r = 0;
    }
    return 0;
}

/* ---- start */

static int subscribe(struct dev *dev)
{
    Skep__Admin__LogsRequest request = SKEP__ADMIN__LOGS_REQUEST__INIT;
    Skep__Admin__Command command = SKEP__ADMIN__COMMAND__INIT;

    command.message_case = SKEP__ADMIN__COMMAND__MESSAGE_LOGS;
    command.logs = &request;
    return client_send(dev->client, &command);
}

int dev_wait_until_up(struct dev *dev)
{
    uint64_t end_ns = io_now_ns() + START_TIMEOUT_NS;

    while (!dev->has_ended && !dev->is_stopping) {
        struct pollfd fds[] = {
            { .fd = dev->signal_fd, .events = POLLIN },
            { .fd = dev->service->log_fd, .events = POLLIN },
            { .fd = dev->service->pidfd, .events = POLLIN },
        };
        int r = client_new(dev->service->socket, 0, &dev->client);
        if (r == 0) {
            dev->load_ns = 0;
            return subscribe(dev);
        }
        if (io_now_ns() > end_ns) {
            (void) fprintf(stderr, "skep dev: skepd does not come up\n");
            dev->status = CLI_FAILED;
            service_signal(dev->service, SIGKILL);
        }
        (void) poll(fds, ARRAY_LEN(fds), CONNECT_INTERVAL_MS);
        if (fds[0].revents)
            on_signal(dev);
        if (fds[1].revents & POLLIN)
            (void) service_print_log(dev->service);
        if (fds[2].revents)
            on_ended(dev);
    }
    return -ECANCELED;
}
