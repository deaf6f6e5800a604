/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/jail/level.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/helpers/spawner.h"

const char *jail_level_name(const struct jail_state *state)
{
    return state->is_unjailed ? "none" : state->is_reduced ? "reduced" : "full";
}

static bool has_cordon(const struct config *config, bool jit)
{
    for (unsigned i = 0; i < config->n_cordons; i++)
        if ((config->cordons[i]->jit != JIT_OFF) == jit)
            return true;
    return false;
}

/* Checks the verdicts: a call without a row that the kernel answered means that the filters do not
 * hold. */
static int check_verdicts(const struct jail_probe *found)
{
    for (unsigned i = 0; i < VERDICT_NUMBERS; i++)
        if (found->calls[i].kind >= VERDICT_PASSED)
            return log_error_errno(-EPERM, "system call %u passes the filters of the jail", i);
    return 0;
}

static int probe(struct spawner *spawner, bool jit, bool is_last, struct jail_state *state)
{
    const struct spawner_probe_job job = { .jit = jit ? JIT_ON : JIT_OFF,
                                           .layers = state->layers,
                                           .is_last = is_last };
    struct jail_probe *found = &state->probes[jit];
    char text[160];

    int r = spawner_probe(spawner, &job, found, text, sizeof text);
    if (r < 0)
        return log_error_errno(r, "the jail does not work on this host (%s)", text);
    for (unsigned i = 0; i < LAYERS; i++)
        if (found->errors[i] < 0)
            state->errors[i] = found->errors[i];
    state->layers = found->layers;
    state->has_probe[jit] = true;
    return check_verdicts(found);
}

int jail_find_level(struct spawner *spawner, const struct config *config, struct jail_state *ret)
{
    int r = 0;

    *ret = (struct jail_state){ .layers = LAYERS_ALL };
    for (int jit = 1; jit >= 0 && r == 0; jit--)
        if (has_cordon(config, jit))
            r = probe(spawner, jit, jit == 0 || !has_cordon(config, false), ret);
#ifdef SKEP_UNJAILED
    /* A program that stands in for the worker (tests/hostile) need not know how to show a jail. */
    ret->is_unjailed = true;
    if (r < 0)
        ret->layers = layers_that_are_walls();
    return 0;
#else
    ret->is_reduced = (ret->layers & layers_that_are_walls()) != layers_that_are_walls();
    return r;
#endif
}

static void log_missing(const struct jail_state *state, layer_set missing, enum log_level level)
{
    for (unsigned i = 0; i < LAYERS; i++) {
        const struct layer_info *info = &layer_table[i];
        if (missing & LAYER_BIT(i))
            log_write(level, "jail: no layer \"%s\" (%s): %s%s%s", info->name, info->what,
                      strerrordesc_np(-state->errors[i]), info->hint ? "; " : "",
                      info->hint ? info->hint : "");
    }
}

int jail_check_consent(const struct jail_state *state, const struct jail_config *config,
                       bool is_dev)
{
    layer_set missing = LAYERS_ALL & ~state->layers;
    layer_set refused = is_dev || state->is_unjailed ? 0 : missing & ~config->without;
    char names[LAYERS_TEXT_BYTES];

    if (refused == 0) {
        log_missing(state, missing, LOG_LEVEL_WARNING);
        if (state->is_reduced)
            log_warning("the jail is reduced: workers run without %s",
                        layers_names(missing, names, sizeof names));
        return 0;
    }
    log_missing(state, missing, LOG_LEVEL_ERROR);
    log_error("this host does not give every layer of the jail, and the configuration does not say "
              "that skepd may do without; if that is what you want, write: jail: { minimum: %s, "
              "without: [%s] }",
              state->is_reduced ? "reduced" : "full", layers_names(missing, names, sizeof names));
    return -EPERM;
}

void jail_print_layers(const struct jail_state *state, FILE *file)
{
    (void) fprintf(file, "jail: %s\n", jail_level_name(state));
    for (unsigned i = 0; i < LAYERS; i++) {
        const struct layer_info *info = &layer_table[i];
        bool is_active = (state->layers & LAYER_BIT(i)) != 0;
        (void) fprintf(file, "  %-13s %-8s %s%s%s\n", info->name, is_active ? "active" : "missing",
                       info->what, is_active ? "" : ": ",
                       is_active ? "" : strerrordesc_np(-state->errors[i]));
    }
}
