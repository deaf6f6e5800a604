/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `skep top` on a terminal, by ncurses, which also restores the terminal after a signal. All that
 * is drawn is printable ASCII: top_columns.c sees to that.
 */
#include <errno.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/top.h"
#include "common/io.h"

#define KEY_CONTROL_L 12
#define ESCAPE 27
#define LINES_AROUND 4 /* title, help, headings, and the sum */

struct screen {
    const struct top_options *options;
    bool of_workers, is_reversed, is_over;
    int sort;
    size_t first; /* row at the top */
    struct top_sample before, now;
    struct top_row *rows; /* NULL until there are two samples */
};

/* ---- drawing */

static void put_line(int y, const char *text, int attributes)
{
    (void) move(y, 0);
    (void) clrtoeol();
    (void) attrset(attributes);
    (void) addnstr(text, COLS > 0 ? COLS : 1);
    (void) attrset(A_NORMAL);
}

static void draw_title(const struct screen *screen)
{
    double rps = 0, cpu = 0;
    char line[TOP_LINE_BYTES];

    for (size_t i = 0; screen->rows && i < screen->now.n_rows; i++) {
        rps += screen->rows[i].rps;
        cpu += screen->rows[i].cpu_ms_ps;
    }
    (void) snprintf(line, sizeof line,
                    "skep top: %zu %s, %.1f requests/s, %.1f ms/s of CPU, every %.1f s, by %s%s",
                    screen->now.n_rows, screen->of_workers ? "workers" : "tenants", rps, cpu,
                    screen->options->interval_ms / 1000.0, top_columns[screen->sort].sort,
                    screen->is_reversed ? " (reversed)" : "");
    put_line(0, line, A_BOLD);
    (void) snprintf(line, sizeof line,
                    "q quit  Tab %s  sort: n name r req/s e err/s 5 p50 9 p99 c CPU h heap "
                    "m memory w wait i busy k kills  arrows: scroll",
                    screen->of_workers ? "tenants" : "workers");
    put_line(1, line, A_NORMAL);
}

static size_t rows_on_screen(void)
{
    return LINES > LINES_AROUND ? (size_t) (LINES - LINES_AROUND) : 1;
}

static void draw(struct screen *screen)
{
    char line[TOP_LINE_BYTES];
    size_t n = screen->rows ? screen->now.n_rows : 0, most = rows_on_screen();

    if (screen->first + most > n)
        screen->first = n > most ? n - most : 0;
    (void) erase();
    draw_title(screen);
    top_write_headings(line, screen->of_workers);
    put_line(3, line, A_REVERSE);
    for (size_t i = 0; i < most && screen->first + i < n; i++) {
        top_write_line(&screen->rows[screen->first + i], line);
        put_line((int) i + LINES_AROUND, line, A_NORMAL);
    }
    if (!screen->rows)
        put_line(LINES_AROUND, "(looking for one interval)", A_DIM);
    (void) refresh();
}

/* ---- samples */

static void drop_samples(struct screen *screen)
{
    free(screen->rows);
    screen->rows = NULL;
    top_sample_done(&screen->before);
    top_sample_done(&screen->now);
}

static void sort_rows(struct screen *screen)
{
    if (screen->rows)
        top_sort(screen->rows, screen->now.n_rows, screen->sort, screen->is_reversed);
}

/* Takes a sample. 0, or -errno as of top_sample_take. */
static int take(struct screen *screen, struct client *client)
{
    bool is_first = screen->now.time_us == 0;
    struct top_sample sample;

    int r = top_sample_take(client, screen->of_workers, &sample);
    if (r < 0)
        return r;
    free(screen->rows);
    screen->rows = NULL;
    top_sample_done(&screen->before);
    screen->before = screen->now;
    screen->now = sample;
    if (is_first)
        return 0;
    screen->rows = top_compare(&screen->before, &screen->now);
    if (!screen->rows)
        return -ENOMEM;
    sort_rows(screen);
    return 0;
}

/* ---- keys */

static void scroll_by(struct screen *screen, size_t down, size_t up)
{
    screen->first = screen->first + down > up ? screen->first + down - up : 0;
}

/* Returns whether another view has to be asked for. */
static bool on_key(struct screen *screen, int key)
{
    int column = top_find_key(key);

    if (column >= 0) {
        screen->is_reversed = column == screen->sort && !screen->is_reversed;
        screen->sort = column;
        sort_rows(screen);
        return false;
    }
    switch (key) {
    case 'q':
    case 'Q':
    case ESCAPE:
        screen->is_over = true;
        break;
    case '\t':
        screen->of_workers = !screen->of_workers;
        screen->first = 0;
        drop_samples(screen);
        return true;
    case KEY_DOWN:
        scroll_by(screen, 1, 0);
        break;
    case KEY_UP:
        scroll_by(screen, 0, 1);
        break;
    case KEY_NPAGE:
        scroll_by(screen, rows_on_screen(), 0);
        break;
    case KEY_PPAGE:
        scroll_by(screen, 0, rows_on_screen());
        break;
    case KEY_HOME:
        screen->first = 0;
        break;
    case KEY_CONTROL_L:
    case KEY_RESIZE: /* ncurses has the new size */
        (void) clearok(curscr, TRUE);
        break;
    default:
        break;
    }
    return false;
}

/* ---- an interrupt */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    interrupted = signal;
}

/* Catches the interrupt. ncurses would leave its screen from within the handler, where an interrupt
 * inside of malloc(3) can hang it: signal-safety(7). The second interrupt ends the process at
 * once. */
static void catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int) SA_RESETHAND };

    (void) sigaction(SIGINT, &action, NULL);
    (void) sigaction(SIGTERM, &action, NULL);
}

/* Handles keys, until the next sample is due or is asked for. */
static void wait_for_keys(struct screen *screen, uint64_t due_ns)
{
    for (;;) {
        uint64_t now = io_now_ns();
        if (now >= due_ns)
            return;
        timeout((int) ((due_ns - now) / NSEC_PER_MSEC) + 1);
        int key = getch();
        if (interrupted)
            return;
        if (key == ERR && now + NSEC_PER_MSEC < due_ns && io_now_ns() < due_ns &&
            (feof(stdin) || ferror(stdin)))
            screen->is_over = true; /* the terminal is gone */
        if (key == ERR)
            continue;
        bool is_other = on_key(screen, key);
        if (screen->is_over || is_other)
            return;
        draw(screen);
    }
}

/* Returns the time of the next sample. A view that was just chosen has its first figures soon. */
static uint64_t next_ns(const struct screen *screen)
{
    uint32_t ms = screen->options->interval_ms;

    return io_now_ns() + ms * NSEC_PER_MSEC;
}

static int loop(struct screen *screen, struct client *client)
{
    while (!screen->is_over && !interrupted) {
        int r = take(screen, client);
        if (r < 0)
            return r;
        draw(screen);
        wait_for_keys(screen, next_ns(screen));
    }
    return 0;
}

enum cli_exit top_screen(const struct cli *cli, struct client *client,
                         const struct top_options *options)
{
    struct screen screen = {
        .options = options,
        .of_workers = options->of_workers,
        .sort = options->sort,
    };

    catch_interrupts();
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (!terminal) {
        const char *name = getenv("TERM");
        output_error("top",
                     "nothing is known of terminal \"%s\": set TERM, or use "
                     "--once",
                     name ? name : "");
        return CLI_FAILED;
    }
    (void) cbreak();
    (void) noecho();
    (void) keypad(stdscr, TRUE);
    (void) set_escdelay(50);
    (void) curs_set(0);
    int r = loop(&screen, client);
    (void) endwin();
    delscreen(terminal);
    drop_samples(&screen);
    if (r == 0)
        return interrupted ? CLI_FAILED : CLI_DONE;
    client_explain(cli, r);
    return CLI_FAILED;
}
