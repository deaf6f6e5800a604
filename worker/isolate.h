/* SPDX-License-Identifier: Apache-2.0 */
/*
 * V8 behind a C interface: one struct isolate is one tenant's V8 isolate and context.
 * worker/v8/ implements it and is the only code that sees V8. Compiles as C17 and C++20.
 *
 * Worker process, main thread only, unless said otherwise. Every isolate_* function that
 * runs JavaScript ("entry") enters the isolate, runs the call and then all microtasks, and
 * leaves; the caller arms the sentry around it. Native callbacks (struct isolate_host) are
 * called from inside an entry and must not enter JavaScript again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/eval_mode.h"
#include "common/jit.h"

#ifdef __cplusplus
extern "C" {
#endif

struct isolate;

struct isolate_bytes {
    const uint8_t *data; /* borrowed for the call; may be NULL if size is 0 */
    size_t size;
};

enum isolate_log_level { ISOLATE_LOG_DEBUG, ISOLATE_LOG_INFO, ISOLATE_LOG_WARN, ISOLATE_LOG_ERROR };

/* How an entry ended. */
enum isolate_result {
    ISOLATE_OK,         /* returned; promises may be pending */
    ISOLATE_EXCEPTION,  /* an exception left the JS layer itself or the module; see isolate_error */
    ISOLATE_TERMINATED, /* isolate_terminate stopped it; the isolate may be used again */
    ISOLATE_HEAP_LIMIT, /* near the heap limit, terminated; dispose of the isolate */
    ISOLATE_EXTERNAL_LIMIT, /* holds more external and native memory than allowed; dispose of it */
};

/* How a request ended, as the JS layer reports it. */
enum isolate_outcome {
    ISOLATE_REQUEST_OK,
    ISOLATE_REQUEST_EXCEPTION,    /* threw or rejected; message has the stack */
    ISOLATE_REQUEST_BAD_RESPONSE, /* not a Response, or a body that was used already */
};

/* A request of JavaScript to the supervisor, by a binding or by fetch(). */
struct isolate_call {
    uint32_t
        binding;   /* number that isolate_set_bindings gave to the binding; UINT32_MAX: fetch() */
    uint32_t port; /* the URL's, or the scheme's own */
    struct isolate_bytes head; /* packed; method, scheme, host and path before the headers */
    struct isolate_bytes body; /* first part */
    bool end;                  /* the call has no more of a body, or none */
};

/* The host's functions for JavaScript. host is struct isolate_options.host. request is the id given
 * to isolate_dispatch; 0 means no request (module load). For log and set_timer it is the request
 * whose code runs, which goes with promises, timers and tasks: in the entry of one request a continuation of
 * another may run, also of one that is over. Pointers are borrowed for the call. None of these may
 * call back into isolate_*. */
struct isolate_host {
    void (*log)(void *host, uint64_t request, enum isolate_log_level level,
                struct isolate_bytes text);
    /* Sends the packed head of the response and the first part of the body, within the credit that each request has at its
     * start; end: nothing follows. 0 or -errno (thrown as TypeError: -ENOENT request unknown or
     * cancelled, -EALREADY head sent before, -E2BIG). */
    int (*respond)(void *host, uint64_t request, uint32_t status, struct isolate_bytes head,
                   struct isolate_bytes body, bool end);
    /* Sends more of the response body, any size up to the credit left. Returns credit left in bytes
     * (>= 0; at 0 the JS layer waits for isolate_on_credit) or -errno. */
    int64_t (*send_body)(void *host, uint64_t request, struct isolate_bytes data, bool end);
    /* Notes that the JS layer has consumed size bytes of the request body: more may come. */
    void (*consume_body)(void *host, uint64_t request, size_t size);
    /* Ends the request: response sent and all waitUntil promises settled, or failed. message: for
     * the tenant's log. After this the id is unknown. */
    void (*done)(void *host, uint64_t request, enum isolate_outcome outcome,
                 struct isolate_bytes message);
    /* Starts a timer for the request. Returns its id (> 0), or -EDQUOT over the request's number
     * of timers (thrown as RangeError). repeat: setInterval. */
    int64_t (*set_timer)(void *host, uint64_t request, uint64_t delay_ms, bool repeat);
    /* Decides about a timer of a request that ends, before done(). Returns the request if the timer
     * is due so soon that it keeps the request, else 0: the timer is dropped. isolate_forget
     * reports the end of a request that was kept. */
    uint64_t (*keep_timer)(void *host, int64_t timer);
    void (*clear_timer)(void *host, int64_t timer);
    /* Makes a call for the request. Returns its number (> 0), or -errno as respond. */
    int64_t (*call)(void *host, uint64_t request, const struct isolate_call *call);
    /* The same as send_body and consume_body, for the body of a call and its answer. */
    int64_t (*send_call)(void *host, uint64_t request, uint32_t call, struct isolate_bytes data,
                         bool end);
    void (*consume_call)(void *host, uint64_t request, uint32_t call, size_t size);
    /* Cancels a call whose answer nobody wants any more. */
    void (*cancel_call)(void *host, uint64_t request, uint32_t call);
    /* Returns the CPU time that the running entry has left, in nanoseconds; UINT64_MAX without a
     * limit. May be NULL. */
    uint64_t (*cpu_left_ns)(void *host);
    /* Notes that a promise of this request is continued in the entry of another; only while
     * isolate_watch is on. */
    void (*woken)(void *host, uint64_t request);
};

struct isolate_env {
    struct isolate_bytes name;
    struct isolate_bytes value; /* UTF-8 */
};

/* An entry of env that is not a text; kind: its class in the JS layer. */
struct isolate_binding {
    struct isolate_bytes name;
    uint32_t kind;
};

struct isolate_options {
    const struct isolate_host *ops; /* static */
    void *host;                     /* borrowed: outlives the isolate */
    uint32_t heap_mib;
    uint32_t external_mib; /* ArrayBuffers (own allocator), WebAssembly memory, native memory */
    bool observe_heap;     /* heap_mib is noted, not enforced, up to 4096 MiB */
    bool observe_external; /* external_mib is noted, not enforced */
    enum eval_mode eval;   /* when its JavaScript may compile strings */
    bool keeps_code;       /* for isolate_share_code */
    const char *tenant;    /* for messages; copied */
};

struct isolate_platform_options {
    const char *argv0;
    enum jit_mode jit;             /* which of V8's flags are set, see sandbox-policy/v8_flags.h */
    uint32_t wasm_max_mem_pages;   /* bound of one WebAssembly memory, in pages of 64 KiB */
    uint32_t blank_heap_mib;       /* heap_mib of the isolate that isolate_platform_init returns */
    struct isolate_bytes snapshot; /* static: the blob of skep-mksnapshot */
    /* Called once on V8's fatal errors, on the thread that met the error, in a process that cannot
     * go on: must only store a few words and return; a trap instruction then ends the process
     * (SIGILL or SIGTRAP). is_oom: of the heap. */
    void (*on_fatal)(bool is_oom, const char *location);
    /* Called after on_fatal for a heap, under the same rule, with the bytes in use. May be NULL. */
    void (*on_fatal_heap)(uint64_t heap_used);
};

/* Initialises V8, once for the process, before the jail. *ret_blank: an isolate for isolate_adopt,
 * a by-product; NULL if none is wanted. 0 or -errno. */
int isolate_platform_init(const struct isolate_platform_options *options,
                          struct isolate **ret_blank);
const char *isolate_v8_version(void);
/* Loads the data that the first use of Intl in this process would load, for a worker that has
 * nothing to do: in steps of up to 15 ms, from 0 on, as long as it returns true. Needs no files, so
 * it may run inside the jail. Not inside an entry. */
bool isolate_warm_up(unsigned step);

/* Freezes the time of Date.now() and performance.now() until the next call. Called by the host at
 * each entry (coarse clocks, docs/security.md). now_ns: CLOCK_MONOTONIC at the start of the
 * entry. */
void isolate_freeze_clock(uint64_t now_ns);

int isolate_new(const struct isolate_options *options, struct isolate **ret_isolate);
/* Gives an isolate that was made ahead, and has run nothing, to a tenant: all of its options count
 * from now on. 0, or -EINVAL if heap_mib differs: V8 takes it only when an isolate is made. */
int isolate_adopt(struct isolate *isolate, const struct isolate_options *options);
/* Keeps, for all isolates that are made later, the compiled code of what the isolate has used of parts of the JS layer that are
 * evaluated at first use. The isolate was made with keeps_code, and has run no code but skep's own: V8 trusts such code blindly. */
void isolate_share_code(struct isolate *isolate);
/* Disposes of isolate and context. NULL is allowed. Never inside an entry. Returns NULL. */
struct isolate *isolate_free(struct isolate *isolate);

/* ---- module load: add all files, then load once. */

/* Adds a file of the tenant; both texts are copied. path is normalised and relative ("lib/a.js").
 * .js and .mjs are modules, .json gives a default export, .wasm gives a WebAssembly.Module as
 * default export (compiled at load), .txt, .html, .css, .svg, .md, .sql, .graphql, .xml
 * and .csv a string, and others an ArrayBuffer. 0 or -errno. */
int isolate_add_file(struct isolate *isolate, struct isolate_bytes path,
                     struct isolate_bytes source);
int isolate_set_env(struct isolate *isolate, const struct isolate_env *env, size_t n_env);
void isolate_set_bindings(struct isolate *isolate, const struct isolate_binding *bindings,
                          size_t n_bindings);

enum isolate_load { ISOLATE_LOADING, ISOLATE_LOADED, ISOLATE_LOAD_FAILED };

/* Compiles and evaluates the entry module. Top-level await may leave it ISOLATE_LOADING: ask
 * isolate_load_state again after each later entry (timers). On ISOLATE_LOAD_FAILED isolate_error says why: syntax
 * error, unresolved import, exception, neither a default export with fetch nor a listener for
 * fetch events. */
enum isolate_result isolate_load(struct isolate *isolate, struct isolate_bytes main_path);
enum isolate_load isolate_load_state(const struct isolate *isolate);

/* Returns the last error as text for the tenant: message, "file:line:column", the source line with
 * a caret under the column, stack. Valid until the next entry. Never NULL. */
const char *isolate_error(const struct isolate *isolate);

/* A fault in a tenant's files, as it can be told without running them. */
struct isolate_problem {
    struct isolate_bytes file; /* path of the file */
    struct isolate_bytes text; /* UTF-8 */
    uint32_t line, column;     /* from 1 on; 0: the file as a whole */
    bool is_unused; /* no import statement leads to it, so that only import() can meet it */
};
/* Called from inside the entry: must not call back into isolate_*. problem is borrowed for the call. */
typedef void (*isolate_problem_fn)(void *owner, const struct isolate_problem *problem);

/* Compiles all files and links the entry module with what it imports, and runs none of them. Tells each fault to
 * on_problem. The isolate can do nothing else afterwards but be freed. An entry. */
enum isolate_result isolate_check(struct isolate *isolate, struct isolate_bytes main_path,
                                  isolate_problem_fn on_problem, void *owner);

/* ---- requests (entries) */

struct isolate_request {
    uint64_t id;
    struct isolate_bytes method;
    struct isolate_bytes url;
    struct isolate_bytes
        head; /* packed (proto/head.h), method and URL before the headers; checked by the caller */
    struct isolate_bytes body;   /* first part */
    bool end;                    /* the body is complete */
    bool has_body;               /* false: request.body is null */
    struct isolate_bytes caller; /* the calling tenant; empty: none */
};

enum isolate_result isolate_dispatch(struct isolate *isolate,
                                     const struct isolate_request *request);
enum isolate_result isolate_on_body(struct isolate *isolate, uint64_t request,
                                    struct isolate_bytes data, bool end);
enum isolate_result isolate_on_credit(struct isolate *isolate, uint64_t request, uint64_t credit);

/* ---- calls of a request (entries); a call that JavaScript does not know any more is passed
 * over */

struct isolate_answer {
    uint32_t call;
    uint32_t status;
    struct isolate_bytes head; /* packed; checked by the caller */
    struct isolate_bytes body; /* first part */
    bool end;                  /* the call is over */
    struct isolate_bytes reason;
};

enum isolate_result isolate_on_call_head(struct isolate *isolate, uint64_t request,
                                         const struct isolate_answer *answer);
enum isolate_result isolate_on_call_body(struct isolate *isolate, uint64_t request, uint32_t call,
                                         struct isolate_bytes data, bool end);
enum isolate_result isolate_on_call_credit(struct isolate *isolate, uint64_t request, uint32_t call,
                                           uint64_t credit);
/* Fails a call. is_limit: because of a limit of the request. message: for the exception. */
enum isolate_result isolate_on_call_failed(struct isolate *isolate, uint64_t request, uint32_t call,
                                           bool is_limit, struct isolate_bytes message);

enum isolate_result isolate_on_timer(struct isolate *isolate, uint64_t request, int64_t timer);
/* Aborts request.signal with the reason, errors the streams, and lets the request go: the JS layer
 * forgets it; no done() follows. */
enum isolate_result isolate_on_cancel(struct isolate *isolate, uint64_t request,
                                      const char *reason);
/* Sets whether woken() reports the requests whose promises are continued in the entries of others.
 * The reports slow down promises. */
void isolate_watch(struct isolate *isolate, bool is_on);
/* Writes the places at which async functions of the tenant wait, at most three: "file:line:column
 * (in name)". Collects garbage first; if nothing refers to any of the functions, the place of the
 * handler. "" if that is not known either. */
void isolate_where(struct isolate *isolate, char *text, size_t size);
/* Forgets a request without running JavaScript that belongs to the tenant's handler. */
void isolate_forget(struct isolate *isolate, uint64_t request);

/* ---- any thread */

/* Stops the JavaScript that runs in the isolate: the entry ends with ISOLATE_TERMINATED, and the
 * microtasks that wait in the isolate are dropped. Without an entry the stop hits the next one,
 * unless isolate_cancel_terminate comes first. Called by the sentry, which makes sure by its own
 * lock that the entry it means is still running. */
void isolate_terminate(struct isolate *isolate);
/* Takes isolate_terminate back. Main thread, after an entry for which it may have been called. */
void isolate_cancel_terminate(struct isolate *isolate);

/* ---- memory, bytes; main thread, outside an entry */
struct isolate_memory {
    uint64_t heap_used;
    uint64_t heap_limit;
    uint64_t heap_held; /* pages of the heap that are in memory, whether in use or not */
    uint64_t external;  /* ArrayBuffers and WebAssembly memories */
    /* Allocated for the isolate outside the heap by V8, ICU and natives, and WebAssembly code; see
     * memory.h. */
    uint64_t native;
};
void isolate_get_memory(struct isolate *isolate, struct isolate_memory *ret_memory);

/* Words to which the isolate writes its memory in KiB as it changes: native and external memory at
 * once, the heap's pages at each collection, waiting answers as the JS layer notes them. */
struct isolate_meter {
    uint32_t *heap_held_kib;
    uint32_t *external_kib;
    uint32_t *native_kib;
    uint32_t *waiting_kib;
};
/* Sets the words, which are the caller's, until the isolate is freed. */
void isolate_publish(struct isolate *isolate, const struct isolate_meter *meter);
/* Gives memory of large objects back to the kernel that the isolate's heap has freed, that was kept for the next ones, and that was
 * not needed since the last call. Returns whether some is still kept: at most 28 MiB. */
bool isolate_release_regions(struct isolate *isolate);
/* Gives blocks of ArrayBuffers back to the kernel that were freed, kept for the next one, and not needed since the last call: at
 * most 32 MiB, which are no isolate's. Returns whether some are still kept. */
bool isolate_release_spare(void);
/* Gives memory that is free in this process back to the kernel: tens of microseconds for each MiB. */
void isolate_trim(void);

/* Collects the garbage of an isolate that has nothing to do for now, and gives the memory to the kernel: some milliseconds for each
 * MiB. Does nothing if the heap is large, or has hardly grown since the last rest. Returns whether it has rested. Not
 * inside an entry; runs no JavaScript. */
bool isolate_rest(struct isolate *isolate);

/* The memory in use when a limit was met, in bytes, since the last call; 0: the limit was not met.
 * After a refusal the refused size counts too. */
struct isolate_excess {
    uint64_t heap;
    uint64_t external;
};
void isolate_take_excess(struct isolate *isolate, struct isolate_excess *ret_excess);

/* Returns the number of isolates alive in this process; for tests and stats. */
size_t isolate_count(void);

#ifdef __cplusplus
}
#endif
