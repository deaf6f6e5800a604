// SPDX-License-Identifier: Apache-2.0
//
// The internals that the files of worker/v8 share: struct isolate and the functions between them.
// Any MaybeLocal may come back empty, because a terminate can land anywhere: every result is
// checked. Main thread only, but for isolate_terminate.
#pragma once

#include "worker/isolate.h"
#include "worker/memory.h"
#include "worker/v8/allocator.h"

#include <v8.h>

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

// The functions that the JS layer registers; the names are in entries.cc.
enum entry {
    ENTRY_BOOT,
    ENTRY_DESCRIBE,
    ENTRY_DISPATCH,
    ENTRY_ON_BODY,
    ENTRY_ON_CREDIT,
    ENTRY_ON_TIMER,
    ENTRY_ON_CANCEL,
    ENTRY_FORGET,
    ENTRY_ON_REJECTION,
    ENTRY_PREPARE,
    ENTRY_MISSING,
    ENTRY_ON_CALL_HEAD,
    ENTRY_ON_CALL_BODY,
    ENTRY_ON_CALL_CREDIT,
    ENTRY_ON_CALL_FAILED,
    ENTRY_LOAD,
    ENTRY_TO_ASCII,
    ENTRY_COUNT,
};
extern const char *const entry_names[ENTRY_COUNT];

// As what a file is imported: buffer gives an ArrayBuffer, view a Uint8Array over one; builtin is no file, but a module of
// the JS layer.
enum class FileKind { script, json, wasm, text, buffer, view, builtin };

struct File {
    std::string path;
    std::string source;
    FileKind kind = FileKind::text;
    v8::Global<v8::Module> module; // empty until it is first imported
    const File *origin = nullptr;  // borrowed: whose source it has, as another kind or module
    std::string suffix;            // query and fragment of its URL, as serialised

    const std::string &text() const
    {
        return origin ? origin->source : source;
    }
};

// A place in a file of the tenant; line and column (UTF-16 units) count from 1, line 0 is nowhere.
struct Place {
    std::string file;
    int line = 0;
    int column = 0;
};

// An import() that waits for its turn: a module must not be evaluated inside another evaluation.
struct DynamicImport {
    v8::Global<v8::Promise::Resolver> resolver;
    std::string referrer;
    std::string specifier;
    std::string type; // import attribute, or empty
    uint64_t request; // the one whose code called import()
};

struct Rejection {
    v8::Global<v8::Value> frame; // frame of the code that rejected the promise, or gave it a handler
    v8::Global<v8::Promise> promise;
    v8::Global<v8::Value> reason;
    bool handled;
};

struct CryptoState;   // crypto.cc
struct CompressState; // compress.cc
struct Part;          // parts.cc

struct isolate {
    v8::Isolate *v8 = nullptr;
    v8::Global<v8::Context> context;
    v8::Global<v8::Object> error_constructor; // Error, as it was before any code of the tenant
    std::unique_ptr<v8::MicrotaskQueue> microtasks; // queue of the context
    v8::Global<v8::Function> entries[ENTRY_COUNT];

    const struct isolate_host *ops = nullptr;
    void *host = nullptr; // borrowed: from the caller of isolate_new
    std::string tenant;
    std::shared_ptr<Allocator> allocator;
    bool native_limit_hit = false;
    uint32_t *heap_held_kib = nullptr; // borrowed: see isolate_publish
    uint32_t *waiting_kib = nullptr;   // the same

    bool in_entry = false;
    unsigned missing_looks = 0; // see missing.cc
    uint64_t request = 0;       // request of the running entry
    bool heap_limit_hit = false;
    bool heap_slack_given = false; // V8 has the slack to unwind in
    size_t heap_limit = 0;         // bytes; above it the isolate is not kept
    size_t rested_bytes = 0;       // size of the heap's pages when it last rested; 0: never
    bool observe_heap = false;
    size_t heap_excess = 0;     // see isolate_take_excess
    unsigned brief_entries = 0; // entries since the last look at the size of the heap
    std::atomic<bool> terminate_requested{ false };

    std::map<std::string, File, std::less<>> files;
    std::map<std::string, File, std::less<>> variants;    // key: path, NUL, type of the import
    std::unordered_multimap<int, File *> files_by_module; // key: identity hash
    std::vector<std::pair<std::string, std::string>> env;
    std::vector<std::pair<std::string, uint32_t>> bindings; // name and kind
    std::deque<DynamicImport> imports;
    bool has_source_maps = false; // see source_maps_may_be
    Place bad_import; // place that made the last compilation fail
    v8::Global<v8::Module> main;
    v8::Global<v8::Promise> evaluation;
    v8::Global<v8::Function> fetch; // the tenant's handler, once it is loaded
    enum isolate_load load_state = ISOLATE_LOADING;
    enum eval_mode eval = EVAL_OFF;

    std::shared_ptr<CryptoState> crypto;     // null until JavaScript uses it
    std::shared_ptr<CompressState> compress; // the same
    int32_t *url_places = nullptr;           // borrowed: of an array that the JS layer keeps (url.cc)
    bool keeps_code = false;                 // see struct isolate_options
    // Parts of the JS layer that were evaluated, if it keeps their code.
    std::vector<std::pair<Part *, v8::Global<v8::UnboundScript>>> parts;
    std::vector<Rejection> rejections;
    std::string error;
    v8::Global<v8::Object> registered; // skep-mksnapshot only: the argument of __skep.register

    v8::Global<v8::String> method; // method of the last request, internalized; and its bytes
    std::string method_text;
    std::vector<uint8_t> scratch; // reused by the natives from call to call
};

static inline struct isolate *isolate_from(v8::Isolate *v8)
{
    return static_cast<struct isolate *>(v8->GetData(0));
}

// Texts for logs and messages are cut to this before they are copied; the host cuts them further.
inline constexpr size_t max_text_units = 16 * 1024;

// The script name of the JS layer, as stack traces have it.
inline constexpr const char js_layer_name[] = "skep:js";

// Charges allocations in its scope to the isolate.
class Payer
{
  public:
    explicit Payer(const struct isolate *self) : before_(memory_enter(self->allocator->account()))
    {
    }
    ~Payer()
    {
        memory_leave(before_);
    }
    Payer(const Payer &) = delete;
    void operator=(const Payer &) = delete;

  private:
    uint32_t before_;
};

// ---- isolate.cc

// Returns the bytes of JavaScript objects, garbage that was not collected yet included.
size_t isolate_heap_used(v8::Isolate *v8);
// Sets the limits of a heap that is to be made.
void isolate_set_constraints(v8::ResourceConstraints *constraints, size_t heap_bytes);
// Notes, after a collection, a heap over its limit. False if the isolate may not be kept.
bool isolate_check_heap(struct isolate *self);
// Collects garbage if the isolate holds more external and native memory than it may. False if that
// was in vain.
bool isolate_check_external(struct isolate *self);

// ---- entries.cc

// One entry: enters isolate and context, with a TryCatch. finish() runs the microtasks and returns
// how the entry ended.
class Entry
{
  public:
    // request: the one whose code runs, unless a promise names another; 0: module code.
    Entry(struct isolate *self, uint64_t request);
    ~Entry();
    Entry(const Entry &) = delete;
    void operator=(const Entry &) = delete;

    v8::Local<v8::Context> context() const
    {
        return context_;
    }
    v8::TryCatch &try_catch()
    {
        return try_catch_;
    }
    // Calls one of the JS layer's functions; false if it threw or was terminated.
    bool call(enum entry which, int argc, v8::Local<v8::Value> argv[],
              v8::Local<v8::Value> *ret_result = nullptr);
    enum isolate_result finish();
    bool is_terminated() const;

  private:
    void run_pending();
    void drop_pending();
    bool is_heap_due();
    bool run_rejections();

    struct isolate *self_;
    Payer payer_;
    v8::Isolate::Scope isolate_scope_;
    v8::HandleScope handle_scope_;
    v8::Local<v8::Context> context_;
    v8::Context::Scope context_scope_;
    v8::TryCatch try_catch_;
    bool threw_ = false;
};

// A frame is what V8 keeps with each promise that is waited for, and has set again when the code behind it runs: the number of
// a request, or an object of the JS layer (src/frame.js) with the property "request".
v8::Local<v8::Value> entries_plain_frame(v8::Isolate *v8, uint64_t request);
void entries_set_frame(struct isolate *self, v8::Local<v8::Value> frame);
// Returns the frame of the code that runs: the one that the entry has set, the promise that is continued, or the layer.
v8::Local<v8::Value> entries_frame(struct isolate *self);
// Returns the request whose code runs: that of the frame.
uint64_t entries_owner(struct isolate *self);
void entries_on_rejection(v8::PromiseRejectMessage message);

// ---- files.cc

// The module of the JS layer that tenants can import, by this specifier.
inline constexpr const char files_async_hooks[] = "node:async_hooks";

// Finds a file; NULL if there is none of that path.
File *files_find(struct isolate *self, std::string_view path);
// Finds the file that an import specifier names in the file with the path referrer; NULL if there
// is none. Specifiers are URLs: percent-decoded, and with a query or fragment the file is another module.
File *files_resolve(struct isolate *self, std::string_view referrer, std::string_view specifier);
// The file as an import of that type ("": by its name) has it: itself, or a variant that is made once. NULL if it
// cannot be imported so; *ret_problem says why.
File *files_typed(struct isolate *self, File *file, const std::string &type,
                  std::string *ret_problem);
// Returns the file's URL, serialised.
std::string files_url(const File &file);
v8::MaybeLocal<v8::Object> files_env(struct isolate *self, v8::Local<v8::Context> context);
// Returns [name, kind, ...].
v8::MaybeLocal<v8::Array> files_bindings(struct isolate *self);

// ---- modules.cc

// The result of one import of a file.
struct Import {
    File *file = nullptr; // null: there is none of that name
    Place place;          // place of the import
    std::string problem;  // the fault; "": none
    std::string where;    // the place in words, to follow the problem
    std::string hint;     // remedy, to follow both
};

// Makes the module of a file, which is kept there: compiles a script; of data, what modules_data gives is its
// default export once it is evaluated. Runs nothing. Empty with an exception pending.
v8::MaybeLocal<v8::Module> modules_compile(struct isolate *self, File *file);
// The number-th import of a file that is compiled.
Import modules_import(struct isolate *self, v8::Local<v8::Context> context, const File &from,
                      int number);
// The value of a file that is no script: parses JSON, compiles WebAssembly. Empty with an exception pending.
v8::MaybeLocal<v8::Value> modules_data(struct isolate *self, v8::Local<v8::Context> context,
                                       const File &file);
// Links a module with all that it imports, which is compiled. False with an exception pending.
bool modules_link(v8::Local<v8::Context> context, v8::Local<v8::Module> module);
void modules_install(v8::Isolate *v8);
// Forgets, after a terminate, modules whose evaluation was cut off: they are compiled anew when
// they are imported again, because V8 answers with their first promise, which nothing settles any
// more.
void modules_forget_unfinished(struct isolate *self);
// Looks at the evaluation promise. Calls boot when it is fulfilled.
void modules_poll(struct isolate *self, Entry *entry);

// ---- source_maps.cc

// Returns whether the file is, or names, a source map. May be true for another file.
bool source_maps_may_be(const File &file);
void native_has_source_maps(const v8::FunctionCallbackInfo<v8::Value> &info);
void native_source_map(const v8::FunctionCallbackInfo<v8::Value> &info);
void native_find_origins(const v8::FunctionCallbackInfo<v8::Value> &info);
void native_excerpt(const v8::FunctionCallbackInfo<v8::Value> &info);

// ---- errors.cc

// Returns the place, the part of its line around the column, and a caret, each on a line of its own.
std::string error_excerpt(v8::Isolate *v8, const Place &place, v8::Local<v8::String> line);
std::string error_text(v8::Isolate *v8, v8::Local<v8::Context> context,
                       v8::Local<v8::Value> exception, v8::Local<v8::Message> message);
// The same for the exception in a TryCatch.
std::string error_text(v8::Isolate *v8, v8::Local<v8::Context> context, v8::TryCatch &try_catch);
// Returns the places in the tenant's source that the exception comes from, each on lines of their
// own: place, source line, caret. "" if they are unknown. frames: the "    at …" lines of its
// stack, the tenant's word.
std::string error_place(struct isolate *self, v8::Local<v8::Context> context,
                        v8::Local<v8::Value> exception, std::string_view frames);
// The interceptor of the global object, for names that are not there.
v8::Intercepted missing_look(v8::Local<v8::Name> property,
                             const v8::PropertyCallbackInfo<v8::Value> &info);
// Has V8 leave the frames of the JS layer out of error.stack. Before any code of the tenant. False if
// that fails.
bool stack_install(struct isolate *self, v8::Local<v8::Context> context);
// Returns the text followed by these lines for a known place.
std::string error_text_at(struct isolate *self, std::string text, const Place &place);
// Returns the first max_text_units of String(value), as UTF-8; "" if that throws.
std::string to_std_string(v8::Isolate *v8, v8::Local<v8::Value> value);

// ---- text.cc, text_encode.cc

// Memory for a copy of a text while a native runs: nearly always the same small one. The caller has bounded its size.
class TextCopy
{
  public:
    explicit TextCopy(size_t bytes);
    ~TextCopy();
    TextCopy(const TextCopy &) = delete;
    void operator=(const TextCopy &) = delete;
    void *data();

  private:
    bool is_short_ = false;
    void *block_ = nullptr;
    size_t size_;
};

// Makes a string of UTF-8 bytes; bad sequences become U+FFFD. Empty with a pending exception if it
// does not fit the heap.
v8::MaybeLocal<v8::String> text_decode(v8::Isolate *v8, const uint8_t *data, size_t size);
v8::MaybeLocal<v8::String> text_from_latin1(v8::Isolate *v8, struct isolate_bytes bytes,
                                            v8::NewStringType type = v8::NewStringType::kNormal);
// Makes a string of UTF-16, with a byte for each unit where that is enough. Empty as text_decode.
v8::MaybeLocal<v8::String> text_from_units(v8::Isolate *v8, const std::vector<uint16_t> &units);
// Returns whether the heap has room for a string of that many bytes.
bool text_fits_heap(v8::Isolate *v8, size_t bytes);
// False, with a RangeError pending, if the heap has no room for a string of that many bytes.
bool text_check_room(v8::Isolate *v8, size_t bytes);
// Decodes forgiving-base64, and encodes bytes. Empty with *ret_is_bad and no exception for a text that cannot be converted, else as
// text_decode.
v8::MaybeLocal<v8::String> text_from_base64(v8::Isolate *v8, const char *text, size_t size,
                                            bool *ret_is_bad);
v8::MaybeLocal<v8::String> text_to_base64(v8::Isolate *v8, const char *bytes, size_t size);
// The same for strings: a character for each byte.
v8::MaybeLocal<v8::String> text_atob(v8::Isolate *v8, v8::Local<v8::String> string,
                                     bool *ret_is_bad);
v8::MaybeLocal<v8::String> text_btoa(v8::Isolate *v8, v8::Local<v8::String> string,
                                     bool *ret_is_bad);
bool text_is_ascii(const uint8_t *data, size_t size);
bool text_is_utf8(const uint8_t *data, size_t size);
// All of these walk a rope as it is and take nothing of V8's heap for it, which might be fatal; they write
// lone surrogates as U+FFFD. The caller has bounded the length of a string that is not cut.

// Appends the string as UTF-8.
void text_append_utf8(v8::Isolate *v8, v8::Local<v8::String> string, std::vector<uint8_t> *out);
// Appends its first units as UTF-8; a pair is not cut.
void text_append_head(v8::Isolate *v8, v8::Local<v8::String> string, size_t max_units,
                      std::vector<uint8_t> *out);
// Returns a flat string of the first units, or the string itself if it is not longer.
v8::MaybeLocal<v8::String> text_head(v8::Isolate *v8, v8::Local<v8::String> string,
                                     size_t max_units);
// Returns the string's UTF-8 bytes. Empty, with a RangeError pending, over the tenant's external
// memory.
v8::MaybeLocal<v8::Uint8Array> text_encode(v8::Isolate *v8, v8::Local<v8::String> string);
// Writes whole characters, at most size bytes. Returns the bytes written, *ret_read the units read.
size_t text_encode_into(v8::Isolate *v8, v8::Local<v8::String> string, uint8_t *to, size_t size,
                        size_t *ret_read);

// Copies bytes. Empty, with a RangeError pending, over the tenant's external memory.
v8::MaybeLocal<v8::Uint8Array> bytes_new(v8::Isolate *v8, const uint8_t *data, size_t size);
v8::Local<v8::String> literal(v8::Isolate *v8, const char *text);

// ---- snapshot.cc

// Returns the references, ended with 0. The same in skep-mksnapshot and in the worker, in order and
// number.
const intptr_t *snapshot_references();
