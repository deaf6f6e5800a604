/* SPDX-License-Identifier: Apache-2.0 */
/* skepd.yaml: right values are read as they stand, and each error has its line. */
#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/config_changes.h"
#include "tests/unit/config/config_fixture.h"

static void test_smallest_file_has_the_defaults(void **state)
{
    struct config *config = parse(LISTEN);
    const struct limits unset = { 0 };

    (void) state;
    assert_int_equal(config->n_listen, 1);
    assert_string_equal(config->listen[0], "127.0.0.1:8080");
    assert_string_equal(config->path, FILE_NAME);
    assert_string_equal(config->admin_socket, "/run/skep/admin.sock");
    assert_null(config->tenants);
    assert_int_equal(config->admin.write.n_uids, 0);
    assert_int_equal(config->log_level, LOG_LEVEL_INFO);
    assert_int_equal(config->http.header_bytes, 16384);
    assert_int_equal(config->http.header_count, 100);
    assert_int_equal(config->http.connections, 10000);
    assert_int_equal(config->http.connections_per_ip, 1000);
    assert_int_equal(config->http.header_timeout_ms, 10000);
    assert_int_equal(config->http.body_idle_ms, 30000);
    assert_int_equal(config->http.keepalive_ms, 60000);
    assert_int_equal(config->http.write_idle_ms, 30000);
    assert_int_equal(config->http.half_close_ms, 2000);
    assert_int_equal(config->http.min_bytes_per_s, 500);
    assert_string_equal(config->default_host, "localhost");
    assert_int_equal(config->http.body_buffer_kib, 64);
    assert_int_equal(config->http.buffer_mib, 256);
    assert_int_equal(config->http.share_percent, 75);
    assert_false(config->server_timing);
    assert_memory_equal(&config->defaults, &unset, sizeof unset);
    assert_memory_equal(&config->maximum, &unset, sizeof unset);
    assert_int_equal(config->observed, 0);
    assert_false(config->observe_rss);
    assert_false(config->observe_strikes);
    assert_int_equal(config->n_cordons, 1);
    assert_string_equal(config->cordons[0]->name, "default");
    expect_presets(config->cordons[0]);
    (void) config_free(config);
}

/* Reads the text between the first ```yaml and ``` of docs/config.md; malloc'ed. */
static char *read_documented_file(void)
{
    static const char start[] = "```yaml\n";
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    assert_int_equal(io_read_file(AT_FDCWD, "docs/config.md", 65536, &text, &size), 0);
    char *example = strstr(text, start);
    assert_non_null(example);
    example += strlen(start);
    char *end = strstr(example, "```");
    assert_non_null(end);
    return strndup(example, (size_t) (end - example));
}

static void test_documentation_has_the_defaults(void **state)
{
    _cleanup_free_ char *text = read_documented_file();
    struct config *documented = parse(text);
    struct config *preset = parse(LISTEN);
    struct config_changes changes = { 0 };
    static const char *const examples[] = { "tenants", "state", "storage.folder", "admin.group",
                                            "metrics.listen" };

    (void) state;
    assert_int_equal(config_compare(preset, documented, &changes), 0);
    for (unsigned i = 0; i < changes.count; i++) {
        const char *key = changes.items[i].key;
        for (size_t j = 0; j < ARRAY_LEN(examples) && key; j++)
            key = strcmp(examples[j], key) == 0 ? NULL : key;
        if (key)
            fail_msg("docs/config.md gives %s %s; it is %s", key, changes.items[i].after,
                     changes.items[i].before);
    }
    config_changes_done(&changes);
    (void) config_free(documented);
    (void) config_free(preset);
}

static void expect_storage_folder(const char *text, const char *folder)
{
    struct config *config = parse(text);

    if (folder)
        assert_string_equal(config->storage.folder, folder);
    else
        assert_null(config->storage.folder);
    (void) config_free(config);
}

static void test_storage_is_below_state_unless_another_folder_is_given(void **state)
{
    (void) state;
    expect_storage_folder(LISTEN, NULL);
    expect_storage_folder(LISTEN "state: /var/lib/skep\n", "/var/lib/skep/data");
    expect_storage_folder(LISTEN "storage: { folder: kept }\n", "/etc/skep/kept");
    expect_storage_folder(LISTEN "state: /var/lib/skep\nstorage: { folder: /srv/kept }\n",
                          "/srv/kept");
}

static void test_full_file_is_read_as_it_stands(void **state)
{
    struct config *config = parse("listen: [\"127.0.0.1:0\", \"[::1]:8080\", \"unix:run/http\"]\n"
                                  "admin_socket: ./run/admin.sock\n"
                                  "tenants: /srv/tenants\n"
                                  "log_level: debug\n"
                                  "admin: { write: { uids: [1000, 0] } }\n"
                                  "http: { header_bytes: 4096, keepalive_ms: 100 }\n"
                                  "limits: { default: {cpu_ms: 50}, maximum: {cpu_ms: 1000} }\n"
                                  "cordons:\n"
                                  "  - { name: default, jit: on, limits: { default: {} } }\n"
                                  "  - name: loose\n"
                                  "    workers: 64\n"
                                  "    jit: off\n"
                                  "    allow_unlimited: on\n"
                                  "    limits:\n"
                                  "      default: { cpu_ms: unlimited, heap_mib: 4096 }\n"
                                  "      maximum: { wall_ms: unlimited }\n");
    const struct cordon_config *loose = config_find_cordon(config, "loose");

    (void) state;
    assert_string_equal(config->listen[1], "[::1]:8080");
    assert_string_equal(config->listen[2], "unix:/etc/skep/run/http");
    assert_string_equal(config->admin_socket, "/etc/skep/run/admin.sock");
    assert_string_equal(config->tenants, "/srv/tenants");
    assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(config->admin.write.n_uids, 2);
    assert_int_equal(config->admin.write.uids[0], 1000);
    assert_int_equal(config->http.header_bytes, 4096);
    assert_int_equal(config->http.keepalive_ms, 100);
    assert_int_equal(config->http.header_count, 100);
    assert_int_equal(config->defaults.cpu_ms, 50);
    assert_int_equal(config->maximum.cpu_ms, 1000);
    assert_null(config_find_cordon(config, "nothing"));
    assert_non_null(loose);
    assert_int_equal(loose->workers, 64);
    assert_int_equal(loose->jit, JIT_OFF);
    assert_true(loose->allow_unlimited);
    expect_presets(config_find_cordon(config, "default"));
    assert_true(loose->defaults.cpu_ms == LIMIT_UNLIMITED);
    assert_int_equal(loose->defaults.heap_mib, 4096);
    assert_true(loose->maximum.wall_ms == LIMIT_UNLIMITED);
    assert_int_equal(loose->maximum.cpu_ms, LIMIT_UNSET);
    (void) config_free(config);
}

static void test_text_that_is_not_yaml_has_the_line_of_the_problem(void **state)
{
    (void) state;
    expect_errors("", "1: nothing in it: expected a mapping (key: value)");
    expect_errors("# a comment\n", "1: nothing in it: expected a mapping (key: value)");
    expect_errors("listen: [1,\nb: 2\n",
                  "3: not YAML: did not find expected ',' or ']', while parsing a flow sequence "
                  "that starts in line 1");
    expect_errors("a: 1\n\tb: 2\n",
                  "2: not YAML: found a tab character that violates indentation, while scanning a "
                  "plain scalar that starts in line 1");
    expect_errors("a: @\n", "1: not YAML: found a character that nothing can start with, such as a "
                            "tab, @ or `; expected spaces for indentation, and quotes around such "
                            "text, while scanning for the next token that starts in line 1");
    expect_errors("a: 1\n\nb: \x01\n",
                  "3: not YAML: control characters are not allowed: expected UTF-8 text");
    expect_errors("a: 1\nb: \xff\n",
                  "2: not YAML: invalid leading UTF-8 octet: expected UTF-8 text");
    expect_errors_of("l\0i\0", 4,
                     "1: not YAML: control characters are not allowed: expected UTF-8 text");
}

static void test_byte_order_mark_is_passed_over(void **state)
{
    (void) state;
    (void) config_free(parse("\xef\xbb\xbf" LISTEN "log_level: info\n"));
    expect_errors("\xef\xbb\xbf" LISTEN "log_level: info\nbogus: 1\n",
                  "3: unknown key \"bogus\": expected one of listen, admin_socket, tenants, "
                  "log_level, log_format, access_log, log, state, drain_s, admin, metrics, deploy, "
                  "egress, secrets, storage, jail, http, "
                  "limits, cordons");
}

static void test_what_makes_yaml_ambiguous_or_large_is_refused(void **state)
{
    (void) state;
    expect_errors(LISTEN "a: &x [1]\nb: [*x, *x]\n",
                  "2: anchors (\"&…\") are not supported: expected plain YAML");
    expect_errors("a: 1\nb: *x\n", "2: aliases (\"*…\") are not supported: expected the value "
                                   "itself, or text with \"*\" in quotes");
    expect_errors(
        "a: 1\nb:\n  - *.example.com # all\n",
        "3: not YAML: a text may not begin with * without quotes: write \"*.example.com\" "
        "in quotes");
    expect_errors(
        "\xc3\xbc: [x, *:*]\n",
        "1: not YAML: a text may not begin with * without quotes: write \"*:*\" in quotes");
    expect_errors("a: !!str 1\n", "1: tags (\"!…\") are not supported: expected plain YAML");
    expect_errors("a: 1\nb: !x {}\n", "2: tags (\"!…\") are not supported: expected plain YAML");
    expect_errors(LISTEN "---\n" LISTEN, "2: second document (\"---\"): expected only one");
    expect_errors("? [a]\n: 1\n", "1: key is a mapping or a list: expected text");
    expect_errors("a: \"x\\0y\"\n", "1: NUL character: expected text without it");
    expect_errors("[[[[[[[[[[[[[[[[[", "1: nested too deeply: expected at most 16 levels");
    expect_errors(LISTEN LISTEN "log_level: info\n",
                  "2: duplicate key \"listen\": it is in line 1 already");
    expect_errors("cordons:\n  - name: a\n    name: b\n",
                  "3: duplicate key \"name\": it is in line 2 already");
}

static void test_sizes_are_bounded(void **state)
{
    size_t size = CONFIG_FILE_MAX_BYTES + 1;
    char *text = malloc(size);
    struct config_errors errors = { 0 };
    struct config *config = NULL;

    (void) state;
    assert_non_null(text);
    memset(text, 'a', size);
    assert_int_equal(config_parse("f", text, size, &config, &errors), -EINVAL);
    assert_string_equal(errors.text, "f: too large: expected at most 256 KiB\n");
    config_errors_done(&errors);
    expect_errors_of(text, 65537, "1: value is too long: expected at most 64 KiB");
    text[129] = ':';
    text[130] = '\n';
    expect_errors_of(text, 131, "1: key is too long: expected at most 128 bytes");
    memset(text, 'a', size);
    text[0] = '[';
    for (size_t i = 2; i < 2200; i += 2)
        text[i] = ',';
    text[2199] = ']';
    expect_errors_of(text, 2200,
                     "1: too many entries: expected at most 1024 in one mapping or "
                     "list");
    free(text);
}

static void test_unknown_key_is_told_with_those_that_are_known(void **state)
{
    (void) state;
    expect_errors(LISTEN "\ncordon: x\n",
                  "3: unknown key \"cordon\": did you mean \"cordons\"? Expected one of listen, "
                  "admin_socket, tenants, "
                  "log_level, log_format, access_log, log, state, drain_s, admin, metrics, deploy, "
                  "egress, secrets, storage, jail, http, limits, cordons");
    expect_errors(
        LISTEN "cordons:\n  - name: a\n    wrkers: 1\n",
        "4: unknown key \"wrkers\" in cordons[0]: did you mean \"workers\"? Expected one of "
        "name, workers, "
        "solitary, jit, eval, spare, allow_unlimited, first_credit, calls_across, caller_percent, "
        "allowed_hosts, addresses, rss_mib, drift_mib, files_mib, cpu_weight, "
        "retire_after_s, retire_after_requests, strikes, quarantine_s, limits");
    expect_errors(LISTEN "limits:\n  default:\n    cpu: 1\n",
                  "4: unknown key \"cpu\" in limits.default: did you mean \"cpu_ms\"? "
                  "Expected one of {limits}");
}

static void test_nearest_right_key_and_word_are_told(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "keepalive_ms: 5", "unknown key \"keepalive_ms\": did you mean \"http.keepalive_ms\"? " },
        { "http: {keepalive: 5}",
          "unknown key \"keepalive\" in http: did you mean \"keepalive_ms\"? Expected one of " },
        { "limits: {maximum: {wall: 5}}", "did you mean \"wall_ms\"? Expected one of cpu_ms," },
        { "limits: {maximum: {c: 5}}",
          "unknown key \"c\" in limits.maximum: expected one of cpu_ms," },
        { "http: {keepalive_s: 5}", "in http: did you mean \"keepalive_ms\"? Expected one of " },
        { "limits: {default: {cpu_mss: 5}}", "did you mean \"cpu_ms\"? Expected one of cpu_ms," },
        { "log_level: warn", "log_level: \"warn\" is unknown: expected one of error, warning" },
        { "log_level: debgu", "is unknown: did you mean \"debug\"? Expected one of error, " },
        { "http.connections: 5", "unknown key \"http.connections\": expected one of listen" },
        { "http: {\"\": 5}", "unknown key \"\" in http: expected one of header_bytes" },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_errors errors = { 0 };
        struct config *config = NULL;
        assert_int_equal(config_parse("a", rows[i].text, strlen(rows[i].text), &config, &errors),
                         -EINVAL);
        if (!strstr(errors.text, rows[i].message))
            fail_msg("%s", errors.text);
        config_errors_done(&errors);
    }
}

static void test_missing_key_has_the_line_of_its_mapping(void **state)
{
    (void) state;
    expect_errors(LISTEN "metrics:\n  tenants: 5\n",
                  "3: metrics: missing key \"listen\": expected it in this mapping");
    expect_errors(LISTEN "cordons:\n  - workers: 1\n",
                  "3: cordons[0]: missing key \"name\": expected it in this mapping");
}

static void test_wrong_type_is_told_with_the_right_one(void **state)
{
    (void) state;
    expect_errors("[]\n", "1: a list: expected a mapping (key: value)");
    expect_errors("x\n", "1: a single value: expected a mapping (key: value)");
    expect_errors("listen: x\n", "1: listen: a single value: expected a list ([a, b])");
    expect_errors("listen: {a: b}\n", "1: listen: a mapping: expected a list ([a, b])");
    expect_errors("listen: [[]]\n", "1: listen[0]: a list: expected a single value");
    expect_errors(LISTEN "limits:\nhttp: 5\n",
                  "2: limits: no value: expected a mapping (key: value), or no such key\n"
                  "3: http: a single value: expected a mapping (key: value)");
    expect_errors(LISTEN "tenants:\n", "2: tenants: no value: expected text");
    expect_errors(LISTEN "tenants: ~\n", "2: tenants: no value: expected text");
    expect_errors(LISTEN "http: {connections: 5x, keepalive_ms: -1, header_count: 010}\n",
                  "2: http.header_count: 010 is not a number: expected 8 to 1000\n"
                  "2: http.connections: 5x is not a number: expected 1 to 1000000\n"
                  "2: http.keepalive_ms: -1 is not a number: expected 100 to 3600000 ms");
    expect_errors(LISTEN "admin: {write: {uids: [4294967296]}}\n",
                  "2: admin.write.uids[0]: 4294967296 is out of range: expected 0 to 4294967294");
    expect_errors(LISTEN "cordons: [{name: a, jit: maybe}]\n",
                  "2: cordons[0].jit: \"maybe\" is unknown: expected one of on, baseline, off");
    expect_errors(LISTEN "log_level: loud\n",
                  "2: log_level: \"loud\" is unknown: expected one of error, warning, info, debug");
    expect_errors("listen: []\n", "1: listen: empty list: expected at least 1");
    expect_errors(LISTEN "cordons: []\n", "2: cordons: empty list: expected at least 1");
}

static void test_value_out_of_range_is_told_with_the_range(void **state)
{
    (void) state;
    expect_errors(LISTEN "http:\n  header_bytes: 0\n  connections: 1000001\n",
                  "3: http.header_bytes: 0 is out of range: expected 1024 to 262144 bytes\n"
                  "4: http.connections: 1000001 is out of range: expected 1 to 1000000");
    expect_errors(LISTEN "admin: {write: {uids: [4294967295]}}\n",
                  "2: admin.write.uids[0]: 4294967295 is out of range: expected 0 to 4294967294");
    expect_errors(LISTEN "cordons:\n  - {name: a, workers: 0}\n  - {name: b, workers: 65}\n",
                  "3: cordons[0].workers: 0 is out of range: expected 1 to 64, or solitary\n"
                  "4: cordons[1].workers: 65 is out of range: expected 1 to 64, or solitary");
    expect_errors(LISTEN "limits:\n  maximum:\n    cpu_ms: 0\n    heap_mib: 7\n    queue: 5x\n"
                         "    timers: 4294967297\n",
                  "4: limits.maximum.cpu_ms: 0 is out of range: expected 1 to 300000 ms\n"
                  "5: limits.maximum.heap_mib: 7 is out of range: expected 8 to 4096 MiB\n"
                  "6: limits.maximum.queue: 5x is not a number: expected 1 to 10000\n"
                  "7: limits.maximum.timers: 4294967297 is out of range: expected 1 to 100000");
}

static void test_unlimited_is_refused_unless_the_cordon_allows_it(void **state)
{
    (void) state;
    expect_errors(LISTEN "limits: {default: {cpu_ms: unlimited}}\n",
                  "2: limits.default.cpu_ms: \"unlimited\" is not allowed: expected a number, for "
                  "only a cordon with allow_unlimited: on may have it");
    expect_errors(LISTEN "cordons:\n  - name: a\n    limits: {default: {wall_ms: unlimited}}\n",
                  "4: cordons[0].limits.default.wall_ms: \"unlimited\" is not allowed: expected a "
                  "number, or allow_unlimited: on in this cordon");
    expect_errors(LISTEN "cordons:\n  - name: a\n    allow_unlimited: on\n"
                         "    limits: {default: {heap_mib: unlimited, cpu_ms: 0}}\n",
                  "5: cordons[0].limits.default.cpu_ms: 0 is out of range: expected 1 to 300000 "
                  "ms, or unlimited\n"
                  "5: cordons[0].limits.default.heap_mib: \"unlimited\" is not allowed: this limit "
                  "needs a number");
}

static void test_default_above_its_maximum_is_an_error(void **state)
{
    (void) state;
    expect_errors(LISTEN "limits:\n  maximum: {cpu_ms: 10}\n  default: {cpu_ms: 11}\n",
                  "4: limits.default.cpu_ms: 11 is above the maximum: expected at most 10");
}

static void test_bad_addresses_are_told_with_good_ones(void **state)
{
    (void) state;
    expect_errors(
        "listen:\n  - localhost:80\n  - 1.2.3.4:65536\n  - \"[::1]\"\n  - \"unix:\"\n"
        "  - :80\n  - \"::1:80\"\n",
        "2: listen[0]: \"localhost:80\" is not an address: expected \"127.0.0.1:8080\", "
        "\"[::1]:8080\" or \"unix:/path\"\n"
        "3: listen[1]: \"1.2.3.4:65536\" is not an address: expected a port of 0 to 65535 "
        "at the end\n"
        "4: listen[2]: \"[::1]\" is not an address: expected a port of 0 to 65535 at the "
        "end\n"
        "5: listen[3]: \"unix:\" is not an address: expected a path after \"unix:\"\n"
        "6: listen[4]: \":80\" is not an address: expected \"127.0.0.1:8080\", "
        "\"[::1]:8080\" or \"unix:/path\"\n"
        "7: listen[5]: \"::1:80\" is not an address: expected \"127.0.0.1:8080\", "
        "\"[::1]:8080\" or \"unix:/path\"");
    expect_errors("listen:\n  - 127.0.0.1:80\n  - 127.0.0.1:80\n",
                  "3: listen[1]: duplicate address \"127.0.0.1:80\": it is in line 2 already");
}

static void test_socket_path_that_no_socket_can_have_is_an_error(void **state)
{
    char text[400];
    char longest[101];

    (void) state;
    memset(longest, 'a', 100);
    longest[100] = '\0';
    (void) snprintf(text, sizeof text, LISTEN "admin_socket: %s\n", longest);
    expect_errors(text, "2: admin_socket: socket path is too long: expected at most 107 bytes with "
                        "the folder");
    (void) snprintf(text, sizeof text, "listen: [\"unix:%s\"]\n", longest);
    expect_errors(text, "1: listen[0]: socket path is too long: expected at most 107 bytes with "
                        "the folder");
}

static void test_cordon_names_are_checked_and_unique(void **state)
{
    (void) state;
    expect_errors(LISTEN "cordons:\n  - name: a\n  - name: B\n  - name: a\n  - name: -a\n",
                  "4: cordons[1].name: \"B\" is not a name: expected a-z, 0-9 and - (not first or "
                  "last), at most 63\n"
                  "5: cordons[2].name: duplicate cordon \"a\": it is in line 3 already\n"
                  "6: cordons[3].name: \"-a\" is not a name: expected a-z, 0-9 and - (not first or "
                  "last), at most 63");
}

static void test_messages_cannot_forge_lines_or_move_the_terminal(void **state)
{
    (void) state;
    expect_errors(
        LISTEN "\"a\\n\\e[2J\\x9b\": 1\n",
        "2: unknown key \"a\\x0a\\x1b[2J\\xc2\\x9b\": expected one of listen, admin_socket, "
        "tenants, log_level, log_format, access_log, log, state, drain_s, admin, metrics, "
        "deploy, egress, secrets, storage, jail, http, limits, cordons");
}

static void test_many_errors_are_counted_and_not_kept(void **state)
{
    struct config_errors errors = { 0 };

    (void) state;
    for (unsigned i = 0; i < CONFIG_ERRORS_MAX + 5; i++)
        config_errors_add(&errors, "f", i + 1, "wrong");
    assert_int_equal(errors.count, CONFIG_ERRORS_MAX + 5);
    assert_int_equal(errors.n_items, CONFIG_ERRORS_MAX);
    assert_int_equal(errors.items[7].line, 8);
    assert_string_equal(errors.items[7].file, "f");
    assert_string_equal(errors.items[7].text, "wrong");
    assert_int_equal(errors.size, strlen(errors.text));
    config_errors_done(&errors);
    assert_null(errors.text);
}

static void test_file_that_cannot_be_read_is_an_error_with_its_reason(void **state)
{
    struct config_errors errors = { 0 };
    struct config *config = NULL;

    (void) state;
    assert_int_equal(config_read("/nonexistent/skepd.yaml", &config, &errors), -ENOENT);
    assert_string_equal(errors.text,
                        "/nonexistent/skepd.yaml: cannot be read: No such file or directory\n");
    config_errors_done(&errors);
    assert_int_equal(config_read("/", &config, &errors), -EISDIR);
    assert_string_equal(errors.text, "/: cannot be read: Is a directory\n");
    config_errors_done(&errors);
}

static void test_relative_file_counts_from_the_working_folder(void **state)
{
    static const char text[] = LISTEN "tenants: .\n";
    struct config_errors errors = { 0 };
    struct config *config = NULL;
    char *here = getcwd(NULL, 0);

    (void) state;
    assert_non_null(here);
    assert_int_equal(config_parse("skepd.yaml", text, strlen(text), &config, &errors), 0);
    assert_string_equal(config->tenants, here);
    (void) config_free(config);
    free(here);
}

static void test_jail_is_full_unless_layers_are_named(void **state)
{
    struct config_errors errors = { 0 };
    struct config *config = NULL;
    static const char reduced[] = "listen: [\"127.0.0.1:1\"]\n"
                                  "jail: { minimum: reduced, without: [user, landlock] }\n";
    static const char strict[] = "listen: [\"127.0.0.1:1\"]\njail: { without: [] }\n";
    static const char plain[] = "listen: [\"127.0.0.1:1\"]\n";

    (void) state;
    assert_int_equal(config_parse("a", plain, sizeof plain - 1, &config, &errors), 0);
    assert_false(config->jail.may_be_reduced);
    assert_int_equal(config->jail.without, LAYER_BIT(LAYER_SPECULATION));
    (void) config_free(config);
    assert_int_equal(config_parse("a", strict, sizeof strict - 1, &config, &errors), 0);
    assert_int_equal(config->jail.without, 0);
    (void) config_free(config);
    assert_int_equal(config_parse("a", reduced, sizeof reduced - 1, &config, &errors), 0);
    assert_true(config->jail.may_be_reduced);
    assert_int_equal(config->jail.without, LAYER_BIT(LAYER_USER) | LAYER_BIT(LAYER_LANDLOCK));
    (void) config_free(config);
}

static void test_wrong_jail_is_told(void **state)
{
    static const struct {
        const char *jail, *error;
    } cases[] = {
        { "{ minimum: none }", "\"none\" is unknown: expected one of full, reduced" },
        { "{ without: [landlock] }",
          "\"landlock\" makes the jail reduced: expected minimum: reduced beside it" },
        { "{ minimum: reduced, without: [seccomp] }", "\"seccomp\" can never be missing" },
        { "{ minimum: reduced, without: [wall] }", "\"wall\" is not a layer of the jail" },
        { "{ minimum: reduced, without: [user, user] }", "duplicate \"user\"" },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config_errors errors = { 0 };
        struct config *config = NULL;
        char text[256];
        int n = snprintf(text, sizeof text, "listen: [\"127.0.0.1:1\"]\njail: %s\n", cases[i].jail);
        assert_int_equal(config_parse("a", text, (size_t) n, &config, &errors), -EINVAL);
        assert_non_null(strstr(errors.text, cases[i].error));
        config_errors_done(&errors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jail_is_full_unless_layers_are_named),
        cmocka_unit_test(test_wrong_jail_is_told),
        cmocka_unit_test(test_smallest_file_has_the_defaults),
        cmocka_unit_test(test_documentation_has_the_defaults),
        cmocka_unit_test(test_storage_is_below_state_unless_another_folder_is_given),
        cmocka_unit_test(test_full_file_is_read_as_it_stands),
        cmocka_unit_test(test_text_that_is_not_yaml_has_the_line_of_the_problem),
        cmocka_unit_test(test_byte_order_mark_is_passed_over),
        cmocka_unit_test(test_what_makes_yaml_ambiguous_or_large_is_refused),
        cmocka_unit_test(test_sizes_are_bounded),
        cmocka_unit_test(test_unknown_key_is_told_with_those_that_are_known),
        cmocka_unit_test(test_nearest_right_key_and_word_are_told),
        cmocka_unit_test(test_missing_key_has_the_line_of_its_mapping),
        cmocka_unit_test(test_wrong_type_is_told_with_the_right_one),
        cmocka_unit_test(test_value_out_of_range_is_told_with_the_range),
        cmocka_unit_test(test_unlimited_is_refused_unless_the_cordon_allows_it),
        cmocka_unit_test(test_default_above_its_maximum_is_an_error),
        cmocka_unit_test(test_bad_addresses_are_told_with_good_ones),
        cmocka_unit_test(test_socket_path_that_no_socket_can_have_is_an_error),
        cmocka_unit_test(test_cordon_names_are_checked_and_unique),
        cmocka_unit_test(test_messages_cannot_forge_lines_or_move_the_terminal),
        cmocka_unit_test(test_many_errors_are_counted_and_not_kept),
        cmocka_unit_test(test_file_that_cannot_be_read_is_an_error_with_its_reason),
        cmocka_unit_test(test_relative_file_counts_from_the_working_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
