/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of skepd.yaml, one row each. A new key: its member in config.h, its row here, and the code that obeys
 * it. The reader, `skep check`, `skep reload`, `skep schema` and skepd.yaml(5) are made from the
 * rows. Const data.
 */
#include "config/config_keys.h"

#include "common/cleanup.h"
#include "config/key_hosts.h"
#include "config/key_limits.h"

#define LISTEN_MAX 64
#define CORDONS_MAX 64
#define PROXIES_MAX 256
#define ADMIN_IDS_MAX 64
#define PATH_TEXT_MAX 4000
#define GROUP_MAX 128
#define DNS_MAX 8
#define CREDENTIAL_MAX 255
#define GIVEN_SECRETS_MAX 256

#define KEY(field) .name = #field, KEY_AT(struct config, field)
#define CORDON(field) .name = #field, KEY_AT(struct cordon_config, field)

static const struct key_word log_levels[] = {
    { "error", LOG_LEVEL_ERROR },
    { "warning", LOG_LEVEL_WARNING },
    { "info", LOG_LEVEL_INFO },
    { "debug", LOG_LEVEL_DEBUG },
    { NULL, 0 },
};

static const struct key_word log_formats[] = {
    { "auto", LOG_FORMAT_AUTO },
    { "human", LOG_FORMAT_HUMAN },
    { "json", LOG_FORMAT_JSON },
    { "journal", LOG_FORMAT_JOURNAL },
    { NULL, 0 },
};

static const struct key_word jail_levels[] = { { "full", false },
                                               { "reduced", true },
                                               { NULL, 0 } };

static const struct key_word jit_modes[] = {
    { "on", JIT_ON },  { "baseline", JIT_BASELINE }, { "off", JIT_OFF }, { "true", JIT_ON },
    { "yes", JIT_ON }, { "false", JIT_OFF },         { "no", JIT_OFF },  { NULL, 0 },
};

static const struct key_word eval_modes[] = {
    { "on", EVAL_ON },  { "load", EVAL_LOAD }, { "off", EVAL_OFF }, { "true", EVAL_ON },
    { "yes", EVAL_ON }, { "false", EVAL_OFF }, { "no", EVAL_OFF },  { NULL, 0 },
};

/* Both lists of observed limits have two switches behind them. */
_Static_assert(offsetof(struct config, observe_strikes) == offsetof(struct config, observe_rss) + 1,
               "KEY_OBSERVE");
_Static_assert(offsetof(struct cordon_config, observe_strikes) ==
                   offsetof(struct cordon_config, observe_rss) + 1,
               "KEY_OBSERVE");

static const char *refuse_platform(const void *base)
{
    (void) base;
    return "expected a number, for only a cordon with allow_unlimited: on may have it";
}

static const char *refuse_cordon(const void *base)
{
    const struct cordon_config *cordon = base;

    return cordon->allow_unlimited ? NULL
                                   : "expected a number, or allow_unlimited: on in this cordon";
}

/* clang-format off */

static const struct key cordon_rows[] = {
    { CORDON(name), .kind = KEY_TEXT, .reload = RELOAD_WORKERS, .preset = "default",
      .is_required = true, .read = cordon_read_name,
      .help = "name of the cordon, a group of workers, which tenants name in skep.yaml" },
    { CORDON(workers), .kind = KEY_NUMBER, .reload = RELOAD_WORKERS, .preset = "2",
      .least = 1, .most = 64, .word = "solitary", .read = cordon_read_workers,
      .print = cordon_print_workers,
      .help = "processes that tenants share; each tenant stays in one of them" },
    { CORDON(solitary), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "8",
      .least = 0, .most = 1024, .read = cordon_read_solitary,
      .help = "processes that may each belong to one tenant, at most 64; with workers: solitary 1 to 1024, and 64 by default" },
    { CORDON(jit), .kind = KEY_WORD, .reload = RELOAD_WORKERS, .preset = "on", .words = jit_modes,
      .help = "compilers of V8; baseline: no optimising ones; off: no WebAssembly, no writable code" },
    { CORDON(eval), .kind = KEY_WORD, .reload = RELOAD_AT_ONCE, .preset = "on", .words = eval_modes,
      .help = "the most that tenants may have as eval: always, while a module loads, or never" },
    { CORDON(spare), .kind = KEY_SWITCH, .reload = RELOAD_WORKERS, .preset = "on",
      .help = "one process more, which takes over where another dies" },
    { CORDON(allow_unlimited), .kind = KEY_SWITCH, .reload = RELOAD_AT_ONCE, .preset = "off",
      .help = "whether tenants may write unlimited" },
    { CORDON(first_credit), .kind = KEY_SWITCH, .reload = RELOAD_AT_ONCE, .preset = "on",
      .help = "whether first requests of an isolate may use what its load has left of cpu_startup_ms" },
    { CORDON(calls_across), .kind = KEY_SWITCH, .reload = RELOAD_AT_ONCE, .preset = "off",
      .help = "whether its tenants and those of other cordons with calls_across: on may call each other" },
    { CORDON(caller_percent), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "25",
      .least = 1, .most = 100,
      .help = "part of a tenant's places and queue that one calling tenant may have" },
    { .name = "allowed_hosts", .kind = KEY_HOSTS, .reload = RELOAD_AT_ONCE, .most = HOST_RULES_MAX,
      KEY_AT(struct cordon_config, hosts),
      .help = "the most that its tenants may fetch, in place of egress.allow; []: nothing" },
    { .name = "addresses", .kind = KEY_TEXTS, .reload = RELOAD_AT_ONCE, .most = EGRESS_ADDRESSES_MAX,
      KEY_AT(struct cordon_config, addresses.texts), KEY_MORE(struct cordon_config, addresses.n),
      .read = config_read_addresses, .print = config_print_addresses,
      .help = "addresses and prefixes that its tenants may fetch from although they are not public, in place of egress.addresses" },
    { CORDON(rss_mib), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "1024",
      .least = 64, .most = 1048576, .unit = "MiB", .word = "unlimited",
      .help = "resident memory of a worker" },
    { CORDON(drift_mib), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "256",
      .least = 16, .most = 1048576, .unit = "MiB", .word = "unlimited",
      .help = "resident memory of a worker beyond what its isolates account for" },
    { CORDON(files_mib), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "16",
      .least = FILES_MIB_LEAST, .most = FILES_MIB_MOST, .unit = "MiB",
      .help = "all files of a tenant together; skepd keeps them in memory, and each of its isolates has a copy" },
    { CORDON(cpu_weight), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "100",
      .least = 1, .most = 10000, .help = "weight of a worker's cgroup, if it has one" },
    { CORDON(retire_after_s), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "never",
      .least = 10, .most = 31536000, .unit = "s", .word = "never",
      .help = "age at which a worker is replaced" },
    { CORDON(retire_after_requests), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE,
      .preset = "never", .least = 1, .most = LIMIT_UNLIMITED - 1, .word = "never",
      .help = "requests served at which a worker is replaced" },
    { CORDON(strikes), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "3",
      .least = 1, .most = 20,
      .help = "kills and crashes of a tenant within 60 s until it gets a worker of its own, and then quarantine" },
    { CORDON(quarantine_s), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "60",
      .least = 1, .most = 86400, .unit = "s",
      .help = "length of the first quarantine; each next is twice as long" },
    { .name = "limits.default", .kind = KEY_LIMITS, .reload = RELOAD_TENANTS,
      KEY_AT(struct cordon_config, defaults), .refuse_unlimited = refuse_cordon,
      .help = "limits of tenants that name none" },
    { .name = "limits.maximum", .kind = KEY_LIMITS, .reload = RELOAD_TENANTS,
      KEY_AT(struct cordon_config, maximum), KEY_MORE(struct cordon_config, defaults),
      .read = key_read_maximum, .refuse_unlimited = refuse_cordon,
      .help = "the most that tenants may have" },
    { .name = "limits.observe", .kind = KEY_OBSERVE, .reload = RELOAD_AT_ONCE,
      .most = KEY_OBSERVE_MAX, KEY_AT(struct cordon_config, observed),
      KEY_MORE(struct cordon_config, observe_rss),
      .help = "limits that are noted and not enforced in this cordon" },
};

const struct key_table cordon_keys = { cordon_rows, ARRAY_LEN(cordon_rows) };

static const struct key config_rows[] = {
    { KEY(listen), .kind = KEY_TEXTS, .reload = RELOAD_RESTART, .least = 1, .most = LISTEN_MAX,
      KEY_MORE(struct config, n_listen), .read = config_read_listen,
      .help = "addresses that serve: 127.0.0.1:8080, [::1]:8080, unix:/path; port 0 is any free one" },
    { KEY(admin_socket), .kind = KEY_TEXT, .reload = RELOAD_RESTART,
      .preset = "/run/skep/admin.sock", .most = PATH_TEXT_MAX, .read = config_read_socket,
      .help = "the Unix socket of the skep command" },
    { KEY(tenants), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .most = PATH_TEXT_MAX,
      .read = config_read_path, .help = "folder with one folder for each tenant" },
    { KEY(log_level), .kind = KEY_WORD, .reload = RELOAD_AT_ONCE, .preset = "info",
      .words = log_levels, .help = "least important level that is written to the log" },
    { KEY(log_format), .kind = KEY_WORD, .reload = RELOAD_RESTART, .preset = "auto",
      .words = log_formats, .help = "auto: the format that suits standard error" },
    { KEY(access_log), .kind = KEY_SWITCH, .reload = RELOAD_AT_ONCE, .preset = "off",
      .help = "a line for each request, call and fetch, with its trace" },
    { KEY(log.tenant_lines), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "500",
      .least = 1, .most = 1000000, .help = "lines that each tenant may log in a second" },
    { KEY(log.tenant_kib), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "256",
      .least = 1, .most = 1048576, .unit = "KiB", .help = "text that each tenant may log in a second" },
    { KEY(log.lines), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "1500",
      .least = 1, .most = 1000000, .help = "lines that all tenants together may log in a second" },
    { KEY(log.kib), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "1024",
      .least = 1, .most = 1048576, .unit = "KiB",
      .help = "text that all tenants together may log in a second" },
    { KEY(log.access_lines), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "10000",
      .least = 1, .most = 1000000, .help = "lines of the access log in a second" },
    { KEY(state), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .most = PATH_TEXT_MAX,
      .read = config_read_path, .help = "folder in which deployed tenants are kept; without it none can be deployed" },
    { KEY(drain_s), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "30",
      .least = 1, .most = 3600, .unit = "s",
      .help = "the most that a stop waits for requests in flight" },
    { KEY(admin.group), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .most = GROUP_MAX,
      .help = "group of the admin socket, by name or number; that of skepd if it is not given" },
    { KEY(admin.read.uids), .kind = KEY_IDS, .reload = RELOAD_NEXT_COMMAND, .most = ADMIN_IDS_MAX,
      KEY_MORE(struct config, admin.read.n_uids), .help = "users who may read" },
    { KEY(admin.read.gids), .kind = KEY_IDS, .reload = RELOAD_NEXT_COMMAND, .most = ADMIN_IDS_MAX,
      KEY_MORE(struct config, admin.read.n_gids), .help = "groups whose members may read" },
    { KEY(admin.write.uids), .kind = KEY_IDS, .reload = RELOAD_NEXT_COMMAND, .most = ADMIN_IDS_MAX,
      KEY_MORE(struct config, admin.write.n_uids),
      .help = "users who may read and make changes" },
    { KEY(admin.write.gids), .kind = KEY_IDS, .reload = RELOAD_NEXT_COMMAND, .most = ADMIN_IDS_MAX,
      KEY_MORE(struct config, admin.write.n_gids),
      .help = "groups whose members may read and make changes" },
    { KEY(metrics.listen), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .is_required = true,
      .most = PATH_TEXT_MAX, .read = config_read_metrics,
      .help = "address for Prometheus, as 127.0.0.1:9464" },
    { KEY(metrics.tenants), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "1000",
      .least = 0, .most = 10000, .help = "tenants with series of their own; the others share one" },
    { KEY(deploy.keep), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "10",
      .least = 2, .most = 1000, .help = "versions of each tenant that are kept" },
    { KEY(deploy.watch_s), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "60",
      .least = 0, .most = 86400, .unit = "s",
      .help = "how long a new version may be rolled back by itself; 0: not at all" },
    { KEY(deploy.errors), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "10",
      .least = 1, .most = 1000000,
      .help = "failed requests in that time at which the version before comes back" },
    { KEY(deploy.error_percent), .kind = KEY_NUMBER, .reload = RELOAD_AT_ONCE, .preset = "50",
      .least = 1, .most = 100, .help = "failed requests in percent of all at which the version before comes back" },
    { KEY(egress.fetch), .kind = KEY_SWITCH, .reload = RELOAD_RESTART, .read = config_read_fetch,
      .help = "whether tenants may fetch what their allowed_hosts name; on if there is an egress, else off" },
    { KEY(egress.socket), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .most = PATH_TEXT_MAX,
      .read = config_read_socket,
      .help = "the Unix socket of the unit skep-egress; if it is not given, skepd starts the program itself" },
    { KEY(egress.dns), .kind = KEY_TEXTS, .reload = RELOAD_RESTART, .least = 1, .most = DNS_MAX,
      KEY_MORE(struct config, egress.n_dns), .read = config_read_dns,
      .help = "resolvers, ADDRESS or ADDRESS:PORT, in place of the system's; not beside socket" },
    { KEY(egress.ca), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .most = PATH_TEXT_MAX,
      .read = config_read_program,
      .help = "file of certificates, PEM, that count besides the system's; not beside socket" },
    { KEY(egress.allow), .kind = KEY_HOSTS, .reload = RELOAD_AT_ONCE, .most = HOST_RULES_MAX,
      .help = "the most that tenants may fetch, as rules of allowed_hosts; everything if it is not given" },
    { KEY(egress.deny), .kind = KEY_HOSTS, .reload = RELOAD_AT_ONCE, .most = HOST_RULES_MAX,
      .read = key_read_bare_hosts,
      .help = "hosts, as example.com, *.example.com or *, that no tenant may fetch from" },
    { .name = "egress.addresses", .kind = KEY_TEXTS, .reload = RELOAD_AT_ONCE,
      .most = EGRESS_ADDRESSES_MAX, KEY_AT(struct config, egress.addresses.texts),
      KEY_MORE(struct config, egress.addresses.n), .read = config_read_addresses,
      .print = config_print_addresses,
      .help = "addresses and prefixes that tenants may fetch from although they are not public, as 10.0.0.0/8" },
    { .name = "egress.deny_addresses", .kind = KEY_TEXTS, .reload = RELOAD_AT_ONCE,
      .most = EGRESS_ADDRESSES_MAX, KEY_AT(struct config, egress.denied.texts),
      KEY_MORE(struct config, egress.denied.n), .read = config_read_addresses,
      .print = config_print_addresses,
      .help = "addresses and prefixes that no tenant may fetch from, by any name" },
    { KEY(secrets.key), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .most = PATH_TEXT_MAX,
      .read = config_read_path,
      .help = "file of 32 bytes, the key of the secrets that skep keeps; outside of state" },
    { KEY(secrets.credential), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .most = CREDENTIAL_MAX,
      .read = config_read_credential,
      .help = "systemd credential (LoadCredential=) with that key, in place of secrets.key" },
    { KEY(secrets.given), .kind = KEY_ENTRIES, .reload = RELOAD_RESTART, .most = GIVEN_SECRETS_MAX,
      .entry = &given_secret_keys, KEY_MORE(struct config, secrets.n_given),
      .read = config_read_given, .print = config_print_given,
      .help = "secrets of tenants that the operator gives, each by a file, a credential or a variable" },
    { KEY(storage.folder), .kind = KEY_TEXT, .reload = RELOAD_RESTART, .most = PATH_TEXT_MAX,
      .read = config_read_storage,
      .help = "folder of what tenants store (kv, sql); STATE/data if it is not given and state is, else none can store" },
    { .name = "jail.minimum", .kind = KEY_WORD, .reload = RELOAD_RESTART, .preset = "full",
      .words = jail_levels, KEY_AT(struct config, jail.may_be_reduced),
      .help = "the least jail with which skepd serves" },
    { KEY(jail.without), .kind = KEY_LAYERS, .reload = RELOAD_RESTART, .most = LAYERS,
      .read = config_read_layers,
      .help = "layers of the jail that may be missing; speculation if it is not given" },
    { KEY(http.header_bytes), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "16384",
      .least = 1024, .most = 262144, .unit = "bytes", .help = "request line and headers; more: 431" },
    { KEY(http.header_count), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "100",
      .least = 8, .most = 1000, .help = "header fields of a request; more: 431" },
    { KEY(http.connections), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "10000",
      .least = 1, .most = 1000000,
      .help = "connections in all; beyond, the one longest without a request is closed" },
    { KEY(http.connections_per_ip), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO,
      .preset = "1000", .least = 1, .most = 1000000,
      .help = "connections of one address, or of one /64; more: 503" },
    { KEY(http.header_timeout_ms), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO,
      .preset = "10000", .least = 100, .most = 600000, .unit = "ms",
      .help = "time from the first moment, or byte, to the end of the headers; longer: 408" },
    { KEY(http.body_idle_ms), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "30000",
      .least = 100, .most = 3600000, .unit = "ms",
      .help = "time in which nothing of a request body comes; longer: 408" },
    { KEY(http.keepalive_ms), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "60000",
      .least = 100, .most = 3600000, .unit = "ms", .help = "time of a connection between two requests" },
    { KEY(http.write_idle_ms), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "30000",
      .least = 100, .most = 3600000, .unit = "ms",
      .help = "time in which a client takes too little of its response; longer: cut off" },
    { KEY(http.half_close_ms), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "2000",
      .least = 0, .most = 600000, .unit = "ms",
      .help = "time after a client's FIN without a byte of its answer; 0: aborted at once" },
    { KEY(http.min_bytes_per_s), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "500",
      .least = 0, .most = 1048576, .unit = "bytes/s",
      .help = "least rate of request bodies, beyond body_idle_ms, and of responses; 0: any" },
    { .name = "http.server_timing", .kind = KEY_SWITCH, .reload = RELOAD_OPEN_TOO, .preset = "off",
      KEY_AT(struct config, server_timing), .help = "answers of tenants say how long they took" },
    { .name = "http.default_host", .kind = KEY_TEXT, .reload = RELOAD_OPEN_TOO,
      .preset = "localhost", KEY_AT(struct config, default_host), .read = config_read_host,
      .help = "host of HTTP/1.0 requests without Host" },
    { KEY(http.body_buffer_kib), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "64",
      .least = 0, .most = 256, .unit = "KiB",
      .help = "part of a body that is read before its request takes a place, while places are short; 0: none" },
    { KEY(http.buffer_mib), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "256",
      .least = 1, .most = 1048576, .unit = "MiB",
      .help = "data kept for all clients, both ways; beyond, the slowest clients are cut off" },
    { KEY(http.share_percent), .kind = KEY_NUMBER, .reload = RELOAD_OPEN_TOO, .preset = "75",
      .least = 1, .most = 100,
      .help = "share of a tenant's places that one address may have while others are there" },
    { .name = "http.proxies", .kind = KEY_TEXTS, .reload = RELOAD_OPEN_TOO, .most = PROXIES_MAX,
      KEY_AT(struct config, proxies), KEY_MORE(struct config, n_proxies),
      .read = config_read_proxies,
      .help = "addresses and prefixes of proxies, which stand for many clients, as 10.0.0.0/8" },
    { .name = "limits.default", .kind = KEY_LIMITS, .reload = RELOAD_TENANTS,
      KEY_AT(struct config, defaults), .refuse_unlimited = refuse_platform,
      .help = "limits of tenants that name none" },
    { .name = "limits.maximum", .kind = KEY_LIMITS, .reload = RELOAD_TENANTS,
      KEY_AT(struct config, maximum), KEY_MORE(struct config, defaults),
      .read = key_read_maximum, .refuse_unlimited = refuse_platform,
      .help = "the most that tenants may have" },
    { .name = "limits.observe", .kind = KEY_OBSERVE, .reload = RELOAD_AT_ONCE,
      .most = KEY_OBSERVE_MAX, KEY_AT(struct config, observed),
      KEY_MORE(struct config, observe_rss), .help = "limits that are noted and not enforced" },
    { KEY(cordons), .kind = KEY_ENTRIES, .reload = RELOAD_WORKERS, .least = 1, .most = CORDONS_MAX,
      .entry = &cordon_keys, .read = config_read_cordons,
      .help = "groups of workers, one for each trust class; one named default if none is given" },
};
/* clang-format on */

const struct key_table config_keys = { config_rows, ARRAY_LEN(config_rows) };
