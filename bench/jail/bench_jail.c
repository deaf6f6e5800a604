/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_jail ROUNDS: measures how much longer a worker takes to start because of the jail. The real
 * spawner starts workers of each kind in turn, so that all meet the same machine: without any
 * layer, in namespaces only, and locked in by the real jail code; and the real worker, with V8,
 * until its hello. Instead of skep-worker the first kinds run the probe of tests/jail. Prints JSON
 * for run.py: microseconds from the request to the first word, for each start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/jail/hive.h"

enum kind { PLAIN, NAMESPACES, SEALED, WORKER, KINDS };

static const char *const names[KINDS] = { "plain", "namespaces", "sealed", "worker" };

static const struct probe_plan plans[KINDS] = {
    [PLAIN] = { .lock = PROBE_FREE },
    [NAMESPACES] = { .lock = PROBE_FREE },
    [SEALED] = { .lock = PROBE_SEALED },
};

/* Microseconds from the request until the worker's first word. */
static uint64_t measure(struct hive *hive, enum kind kind, layer_set layers)
{
    struct probe_reply reply;

    hive->layers = layers;
    uint64_t start = io_now_ns();
    struct cell *cell = cell_spawn(hive, &plans[kind], true);
    if (cell->error < 0)
        fail_msg("%s: %s", cell->step, strerror(-cell->error));
    if (kind == WORKER)
        await_readable(cell->channel_fd);
    else
        cell_read_reply(cell, &reply);
    uint64_t end = io_now_ns();
    (void) cell_end(hive, cell);
    return (end - start) / NSEC_PER_USEC;
}

static void print(const uint64_t *times[KINDS], unsigned rounds)
{
    (void) printf("{");
    for (unsigned kind = 0; kind < KINDS; kind++) {
        (void) printf("%s\"%s\": [", kind > 0 ? ", " : "", names[kind]);
        for (unsigned i = 0; i < rounds; i++)
            (void) printf("%s%lu", i > 0 ? ", " : "", (unsigned long) times[kind][i]);
        (void) printf("]");
    }
    (void) printf("}\n");
}

int main(int argc, char **argv)
{
    struct hive probes, workers;
    const uint64_t *times[KINDS];
    char worker[4096];

    if (strcmp(argv[0], "skep-worker") == 0)
        return probe_main(argc, argv);
    unsigned rounds = argc == 3 ? (unsigned) strtoul(argv[1], NULL, 10) : 0;
    if (rounds == 0) {
        (void) fprintf(stderr, "usage: bench_jail ROUNDS SKEP-WORKER\n");
        return 2;
    }
    (void) snprintf(worker, sizeof worker, "%s", argv[2]);
    hive_init(&probes, NULL);
    hive_init(&workers, worker);
    const layer_set all = probes.layers;
    const layer_set layers[KINDS] = { 0, all & LAYERS_OF_USER_NAMESPACE, all, all };
    uint64_t *all_times = calloc(KINDS * (size_t) rounds, sizeof *all_times);
    if (!all_times)
        return 1;
    for (unsigned i = 0; i < rounds; i++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            all_times[kind * rounds + i] =
                measure(kind == WORKER ? &workers : &probes, (enum kind) kind, layers[kind]);
    for (unsigned kind = 0; kind < KINDS; kind++)
        times[kind] = all_times + kind * rounds;
    print(times, rounds);
    hive_done(&probes);
    hive_done(&workers);
    free(all_times);
    return 0;
}
