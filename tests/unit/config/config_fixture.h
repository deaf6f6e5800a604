/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of skepd.yaml for config_parse, and its errors about wrong ones. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "config/config.h"
#include "tests/unit/config/limit_names.h"

#define FILE_NAME "/etc/skep/skepd.yaml"
#define LISTEN "listen: [\"127.0.0.1:8080\"]\n"

static inline struct config *parse(const char *text)
{
    struct config_errors errors = { 0 };
    struct config *config = NULL;

    if (config_parse(FILE_NAME, text, strlen(text), &config, &errors) < 0)
        fail_msg("%s", errors.text ? errors.text : "no memory");
    assert_int_equal(errors.count, 0);
    config_errors_done(&errors);
    return config;
}

/* expected: the lines without FILE_NAME ":" before each. */
static inline void expect_errors_of(const char *text, size_t size, const char *expected)
{
    struct config_errors errors = { 0 };
    struct config *config = NULL;
    char *all = NULL;
    size_t all_size = 0;

    FILE *stream = open_memstream(&all, &all_size);
    assert_non_null(stream);
    for (const char *line = expected; *line;) {
        size_t length = strcspn(line, "\n");
        (void) fputs(FILE_NAME ":", stream);
        print_with_names(stream, line, length);
        (void) fputc('\n', stream);
        line += length + (line[length] == '\n');
    }
    (void) fclose(stream);
    assert_int_equal(config_parse(FILE_NAME, text, size, &config, &errors), -EINVAL);
    assert_null(config);
    assert_non_null(errors.text);
    assert_string_equal(errors.text, all);
    assert_int_equal(errors.n_items, errors.count);
    free(all);
    config_errors_done(&errors);
}

static inline void expect_errors(const char *text, const char *expected)
{
    expect_errors_of(text, strlen(text), expected);
}

static inline void expect_presets(const struct cordon_config *cordon)
{
    const struct limits unset = { 0 };

    assert_int_equal(cordon->workers, 2);
    assert_false(cordon->is_solitary);
    assert_int_equal(cordon->solitary, 8);
    assert_int_equal(cordon->jit, JIT_ON);
    assert_true(cordon->spare);
    assert_false(cordon->allow_unlimited);
    assert_memory_equal(&cordon->defaults, &unset, sizeof unset);
    assert_memory_equal(&cordon->maximum, &unset, sizeof unset);
    assert_int_equal(cordon->observed, 0);
    assert_false(cordon->observe_rss);
    assert_false(cordon->observe_strikes);
    assert_int_equal(cordon->rss_mib, 1024);
    assert_int_equal(cordon->drift_mib, 256);
    assert_int_equal(cordon->files_mib, FILES_MIB_PRESET);
    assert_int_equal(cordon->cpu_weight, 100);
    assert_true(cordon->retire_after_s == LIMIT_UNLIMITED);
    assert_true(cordon->retire_after_requests == LIMIT_UNLIMITED);
    assert_int_equal(cordon->strikes, 3);
    assert_int_equal(cordon->quarantine_s, 60);
}
