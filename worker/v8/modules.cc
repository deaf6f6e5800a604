// SPDX-License-Identifier: Apache-2.0
//
// ES modules of a tenant, from files in memory. Static imports are found and compiled before V8
// links them, so that a missing one can be reported with its line; import() goes the same way.
#include "worker/v8/internal.h"

#include <algorithm>

namespace
{

constexpr int max_specifier_units = 4096;

void throw_type(v8::Isolate *v8, const std::string &text)
{
    v8::Local<v8::String> message;
    if (v8::String::NewFromUtf8(v8, text.data(), v8::NewStringType::kNormal,
                                static_cast<int>(std::min<size_t>(text.size(), 4096)))
            .ToLocal(&message))
        v8->ThrowException(v8::Exception::TypeError(message));
}

const File *file_of(struct isolate *self, v8::Local<v8::Module> module)
{
    auto [begin, end] = self->files_by_module.equal_range(module->GetIdentityHash());
    for (auto it = begin; it != end; ++it)
        if (it->second->module == module)
            return it->second;
    return nullptr;
}

// ---- import attributes: { type: "json" } and the like

// Returns what is wrong with them; "": nothing, and *ret_type is the type. entry_size: 3 with source offsets,
// 2 without.
std::string read_attributes(v8::Isolate *v8, v8::Local<v8::Context> context,
                            v8::Local<v8::FixedArray> attributes, int entry_size,
                            std::string *ret_type)
{
    for (int i = 0; i + 1 < attributes->Length(); i += entry_size) {
        v8::Local<v8::Value> value = attributes->Get(context, i + 1).As<v8::Value>();
        std::string key = to_std_string(v8, attributes->Get(context, i).As<v8::Value>());
        if (key != "type")
            return "Import attribute '" + key + "' is not supported";
        if (!value->IsString() || value.As<v8::String>()->Length() > max_specifier_units)
            return "The type of an import is not supported";
        *ret_type = to_std_string(v8, value);
    }
    return "";
}

// ---- what to do about a module that is not there

bool is_relative(std::string_view specifier)
{
    return specifier.starts_with("./") || specifier.starts_with("../") ||
           specifier.starts_with("/") || specifier.starts_with("file:///");
}

// True for a module of Node.js by its name alone: to bundle it would need a substitute for that platform.
bool is_of_node(std::string_view specifier)
{
    static const std::string_view names[] = {
        "assert",
        "buffer",
        "child_process",
        "cluster",
        "console",
        "constants",
        "crypto",
        "dgram",
        "dns",
        "domain",
        "events",
        "fs",
        "http",
        "http2",
        "https",
        "inspector",
        "module",
        "net",
        "os",
        "path",
        "perf_hooks",
        "process",
        "punycode",
        "querystring",
        "readline",
        "repl",
        "stream",
        "string_decoder",
        "sys",
        "timers",
        "tls",
        "tty",
        "url",
        "util",
        "v8",
        "vm",
        "worker_threads",
        "zlib",
    };
    const std::string_view name = specifier.substr(0, specifier.find('/')); // fs/promises
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::string missing_hint(struct isolate *self, const std::string &referrer,
                         const std::string &specifier)
{
    if (is_relative(specifier)) {
        for (const char *suffix : { ".js", ".mjs", "/index.js" })
            if (files_resolve(self, referrer, specifier + suffix))
                return "; did you mean '" + specifier + suffix + "'?";
        return "";
    }
    if (specifier.starts_with("node:"))
        return "; of the modules of Node.js there is node:async_hooks only, see docs/tenant.md";
    if ("node:" + specifier == files_async_hooks)
        return "; did you mean 'node:async_hooks'?";
    if (is_of_node(specifier))
        return "; it is a module of Node.js, and of these there is node:async_hooks only, see "
               "docs/tenant.md";
    if (specifier.starts_with("npm:") || specifier.starts_with("jsr:") ||
        specifier.starts_with("https:") || specifier.starts_with("http:"))
        return "; nothing is fetched: bundle it, for instance with esbuild --bundle --format=esm";
    if (specifier.starts_with("cloudflare:"))
        return "; env and ctx are arguments of the handler, see docs/tenant.md";
    if (specifier.find(':') != std::string::npos)
        return "; a module is a file in the tenant's folder";
    return "; packages have to be bundled, for instance with esbuild --bundle --format=esm";
}

// ---- one file to one module

// Adds the file's name to V8's error about it, which does not have it.
void name_culprit(struct isolate *self, const File &file, v8::TryCatch *try_catch)
{
    if (try_catch->HasTerminated() || try_catch->Message().IsEmpty()) {
        try_catch->ReThrow();
        return;
    }
    std::string text = to_std_string(self->v8, try_catch->Message()->Get());
    const size_t type = text.find(": ");
    const bool is_range = text.find("RangeError: ") != std::string::npos;
    v8::Local<v8::String> message;
    text = file.path + ": " + (type == std::string::npos ? text : text.substr(type + 2));
    if (!text_decode(self->v8, reinterpret_cast<const uint8_t *>(text.data()), text.size())
             .ToLocal(&message))
        return;
    try_catch->Reset();
    self->v8->ThrowException(is_range ? v8::Exception::RangeError(message)
                             : file.kind == FileKind::wasm
                                 ? v8::Exception::WasmCompileError(message)
                                 : v8::Exception::SyntaxError(message));
    try_catch->ReThrow();
}

// The named exports of files_async_hooks: members of its default export.
constexpr const char *builtin_exports[] = { "AsyncLocalStorage", "AsyncResource" };

bool export_members(v8::Isolate *v8, v8::Local<v8::Context> context, v8::Local<v8::Module> module,
                    v8::Local<v8::Value> all)
{
    for (const char *text : builtin_exports) {
        v8::Local<v8::String> name = literal(v8, text);
        v8::Local<v8::Value> value;
        if (!all->IsObject() || !all.As<v8::Object>()->Get(context, name).ToLocal(&value) ||
            module->SetSyntheticModuleExport(v8, name, value).IsNothing())
            return false;
    }
    return true;
}

v8::MaybeLocal<v8::Value> evaluate_synthetic(v8::Local<v8::Context> context,
                                             v8::Local<v8::Module> module)
{
    v8::Isolate *v8 = context->GetIsolate();
    struct isolate *self = isolate_from(v8);
    v8::Local<v8::Promise::Resolver> resolver;
    v8::Local<v8::Value> value;
    v8::TryCatch try_catch(v8);
    const File *file = file_of(self, module);
    if (!file || !modules_data(self, context, *file).ToLocal(&value)) {
        if (file && try_catch.HasCaught())
            name_culprit(self, *file, &try_catch);
        return {};
    }
    if (file->kind == FileKind::builtin && !export_members(v8, context, module, value)) {
        try_catch.ReThrow();
        return {};
    }
    if (module->SetSyntheticModuleExport(v8, literal(v8, "default"), value).IsNothing() ||
        !v8::Promise::Resolver::New(context).ToLocal(&resolver) ||
        resolver->Resolve(context, v8::Undefined(v8)).IsNothing()) {
        try_catch.ReThrow();
        return {};
    }
    return resolver->GetPromise().As<v8::Value>();
}

void forget(struct isolate *self, File *file)
{
    const int hash = file->module.Get(self->v8)->GetIdentityHash();
    auto [begin, end] = self->files_by_module.equal_range(hash);
    for (auto it = begin; it != end; ++it)
        if (it->second == file) {
            self->files_by_module.erase(it);
            break;
        }
    file->module.Reset();
}

// True for one that is linked only, too: it may be linked to one that was cut off.
bool is_unfinished(v8::Local<v8::Module> module)
{
    const v8::Module::Status status = module->GetStatus();
    return status < v8::Module::kEvaluated ||
           (status == v8::Module::kErrored && module->GetException()->IsNull());
}

// Compiles a file and all that it imports. A list instead of recursion: how deep the imports go
// is the tenant's choice. Empty with an exception pending.
v8::MaybeLocal<v8::Module> compile_graph(struct isolate *self, v8::Local<v8::Context> context,
                                         File *root)
{
    v8::Isolate *v8 = self->v8;
    v8::Local<v8::Module> root_module;
    if (!root->module.IsEmpty())
        return root->module.Get(v8);
    if (!modules_compile(self, root).ToLocal(&root_module))
        return {};
    std::vector<File *> todo = { root };
    // A failed graph is forgotten, so that the next import() of a part of it fails in the same way.
    std::vector<File *> made = { root };
    bool good = true;
    while (good && !todo.empty()) {
        v8::HandleScope scope(v8);
        File *file = todo.back();
        todo.pop_back();
        if (file->kind != FileKind::script)
            continue;
        v8::Local<v8::FixedArray> requests = file->module.Get(v8)->GetModuleRequests();
        for (int i = 0; good && i < requests->Length(); i++) {
            Import import = modules_import(self, context, *file, i);
            if (!import.problem.empty()) {
                throw_type(v8, import.problem + import.where + import.hint);
                self->bad_import = import.place;
                good = false;
            } else if (import.file->module.IsEmpty()) {
                // A file that does not compile has a place of its own.
                good = !modules_compile(self, import.file).IsEmpty();
                todo.push_back(import.file);
                made.push_back(import.file);
            }
        }
    }
    if (good)
        return root_module;
    for (File *file : made)
        if (!file->module.IsEmpty())
            forget(self, file);
    return {};
}

v8::MaybeLocal<v8::Module> resolve(v8::Local<v8::Context> context, v8::Local<v8::String> specifier,
                                   v8::Local<v8::FixedArray> attributes,
                                   v8::Local<v8::Module> referrer)
{
    v8::Isolate *v8 = context->GetIsolate();
    struct isolate *self = isolate_from(v8);
    const File *from = file_of(self, referrer);
    File *file = from ? files_resolve(self, from->path, to_std_string(v8, specifier)) : nullptr;
    std::string type;
    std::string problem = read_attributes(v8, context, attributes, 3, &type);
    if (file && problem.empty())
        file = files_typed(self, file, type, &problem);
    if (!file || file->module.IsEmpty()) {
        throw_type(v8, "Cannot find module '" + to_std_string(v8, specifier) + "'");
        return {};
    }
    return file->module.Get(v8);
}

// Compiles, links and evaluates; returns the promise of the evaluation.
v8::MaybeLocal<v8::Promise> evaluate(struct isolate *self, v8::Local<v8::Context> context,
                                     File *file, v8::Local<v8::Module> *ret_module)
{
    v8::Local<v8::Module> module;
    v8::Local<v8::Value> result;
    if (!compile_graph(self, context, file).ToLocal(&module) || !modules_link(context, module) ||
        !module->Evaluate(context).ToLocal(&result) || !result->IsPromise())
        return {};
    *ret_module = module;
    return result.As<v8::Promise>();
}

// ---- import()

void return_data(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    info.GetReturnValue().Set(info.Data());
}

bool do_import(struct isolate *self, v8::Local<v8::Context> context, const DynamicImport &import,
               v8::Local<v8::Promise::Resolver> resolver)
{
    File *file = files_resolve(self, import.referrer, import.specifier);
    std::string problem;
    if (!file)
        problem = "Cannot find module '" + import.specifier + "' imported from " + import.referrer +
                  missing_hint(self, import.referrer, import.specifier);
    else
        file = files_typed(self, file, import.type, &problem);
    if (!file) {
        throw_type(self->v8, problem);
        return false;
    }
    v8::Local<v8::Module> module;
    v8::Local<v8::Promise> evaluation;
    v8::Local<v8::Function> to_namespace;
    v8::Local<v8::Promise> with_namespace;
    return evaluate(self, context, file, &module).ToLocal(&evaluation) &&
           v8::Function::New(context, return_data, module->GetModuleNamespace(), 0,
                             v8::ConstructorBehavior::kThrow)
               .ToLocal(&to_namespace) &&
           evaluation->Then(context, to_namespace).ToLocal(&with_namespace) &&
           resolver->Resolve(context, with_namespace).FromMaybe(false);
}

// Runs one import(), in a microtask of its own.
void run_import(void *data)
{
    struct isolate *self = static_cast<struct isolate *>(data);
    if (self->imports.empty())
        return;
    DynamicImport import = std::move(self->imports.front());
    self->imports.pop_front();
    v8::HandleScope scope(self->v8);
    // Objects that a module makes outlive the request that imports it first: no stores go with it.
    entries_set_frame(self, entries_plain_frame(self->v8, import.request));
    v8::Local<v8::Context> context = self->context.Get(self->v8);
    v8::Context::Scope context_scope(context);
    v8::Local<v8::Promise::Resolver> resolver = import.resolver.Get(self->v8);
    v8::TryCatch try_catch(self->v8);
    if (do_import(self, context, import, resolver))
        return;
    if (try_catch.HasTerminated()) {
        try_catch.ReThrow();
        return;
    }
    if (try_catch.HasCaught()) {
        v8::Local<v8::Value> exception = try_catch.Exception();
        try_catch.Reset();
        // Nothing to do if even this is cut off: the request ends with the terminate.
        (void) resolver->Reject(context, exception).FromMaybe(false);
    }
}

v8::MaybeLocal<v8::Promise> on_dynamic_import(v8::Local<v8::Context> context,
                                              v8::Local<v8::Data> host_defined_options,
                                              v8::Local<v8::Value> resource_name,
                                              v8::Local<v8::String> specifier,
                                              v8::Local<v8::FixedArray> attributes)
{
    (void) host_defined_options;
    v8::Isolate *v8 = context->GetIsolate();
    struct isolate *self = isolate_from(v8);
    v8::Local<v8::Promise::Resolver> resolver;
    if (!v8::Promise::Resolver::New(context).ToLocal(&resolver))
        return {};
    std::string type;
    v8::TryCatch try_catch(v8);
    // The strings of a waiting import are copied out of the heap, where nobody counts them.
    const bool is_short = specifier->Length() <= max_specifier_units;
    const std::string problem = is_short ? read_attributes(v8, context, attributes, 2, &type)
                                         : "The import specifier is too long";
    if (!problem.empty()) {
        throw_type(v8, problem);
        if (try_catch.HasTerminated()) {
            try_catch.ReThrow();
            return {};
        }
        v8::Local<v8::Value> exception = try_catch.Exception();
        try_catch.Reset();
        if (resolver->Reject(context, exception).IsNothing())
            return {};
        return resolver->GetPromise();
    }
    self->imports.push_back({ v8::Global<v8::Promise::Resolver>(v8, resolver),
                              resource_name->IsString() ? to_std_string(v8, resource_name) : "",
                              to_std_string(v8, specifier), type, entries_owner(self) });
    self->microtasks->EnqueueMicrotask(v8, run_import, self);
    return resolver->GetPromise();
}

void on_import_meta(v8::Local<v8::Context> context, v8::Local<v8::Module> module,
                    v8::Local<v8::Object> meta)
{
    v8::Isolate *v8 = context->GetIsolate();
    const File *file = file_of(isolate_from(v8), module);
    if (!file)
        return;
    const std::string url = files_url(*file);
    v8::Local<v8::String> value;
    if (text_decode(v8, reinterpret_cast<const uint8_t *>(url.data()), url.size()).ToLocal(&value))
        (void) meta->CreateDataProperty(context, literal(v8, "url"), value).FromMaybe(false);
}

void fail(struct isolate *self, std::string error)
{
    self->error = std::move(error);
    self->load_state = ISOLATE_LOAD_FAILED;
}

void boot(struct isolate *self, Entry *entry)
{
    v8::Local<v8::Context> context = entry->context();
    v8::Local<v8::Module> module = self->main.Get(self->v8);
    v8::Local<v8::Object> env;
    v8::Local<v8::Array> bindings;
    v8::Local<v8::Value> handler = v8::Undefined(self->v8);
    v8::Local<v8::Value> space = module->GetModuleNamespace();
    v8::Local<v8::String> name = literal(self->v8, "default");
    // A namespace without this export answers undefined, and boot reports what is missing.
    if (!files_env(self, context).ToLocal(&env) || !files_bindings(self).ToLocal(&bindings) ||
        !space.As<v8::Object>()->Get(context, name).ToLocal(&handler)) {
        if (!entry->is_terminated())
            fail(self, error_text(self->v8, context, entry->try_catch()));
        return;
    }
    v8::Local<v8::Value> argv[] = { handler, env, bindings };
    v8::Local<v8::Value> fetch;
    if (entry->call(ENTRY_BOOT, 3, argv, &fetch)) {
        if (fetch->IsFunction())
            self->fetch.Reset(self->v8, fetch.As<v8::Function>());
        self->load_state = ISOLATE_LOADED;
        self->evaluation.Reset();
    } else if (!entry->is_terminated()) {
        self->load_state = ISOLATE_LOAD_FAILED;
    }
}

} // namespace

v8::MaybeLocal<v8::Value> modules_data(struct isolate *self, v8::Local<v8::Context> context,
                                       const File &file)
{
    const std::string &source = file.text();
    const uint8_t *data = reinterpret_cast<const uint8_t *>(source.data());
    if (file.kind == FileKind::builtin) {
        v8::Local<v8::Value> argv[] = { literal(self->v8, files_async_hooks) };
        return self->entries[ENTRY_LOAD].Get(self->v8)->Call(context, v8::Undefined(self->v8), 1,
                                                             argv);
    }
    if (file.kind == FileKind::buffer || file.kind == FileKind::view) {
        v8::Local<v8::Uint8Array> bytes;
        if (!bytes_new(self->v8, data, source.size()).ToLocal(&bytes))
            return {};
        if (file.kind == FileKind::view)
            return bytes.As<v8::Value>();
        return bytes->Buffer().As<v8::Value>();
    }
    if (file.kind == FileKind::wasm) {
        v8::Local<v8::Value> wasm;
        if (!context->Global()->Get(context, literal(self->v8, "WebAssembly")).ToLocal(&wasm))
            return {};
        if (!wasm->IsObject()) {
            throw_type(self->v8, "WebAssembly is not available in this cordon (jit: off)");
            return {};
        }
        v8::Local<v8::WasmModuleObject> module;
        if (!v8::WasmModuleObject::Compile(self->v8, { data, source.size() }).ToLocal(&module))
            return {};
        return module.As<v8::Value>();
    }
    const size_t mark = source.starts_with("\xef\xbb\xbf") ? 3 : 0;
    v8::Local<v8::String> text;
    if (!text_decode(self->v8, data + mark, source.size() - mark).ToLocal(&text))
        return {};
    if (file.kind == FileKind::json)
        return v8::JSON::Parse(context, text);
    return text.As<v8::Value>();
}

v8::MaybeLocal<v8::Module> modules_compile(struct isolate *self, File *file)
{
    v8::Isolate *v8 = self->v8;
    v8::Local<v8::String> name;
    if (!text_decode(v8, reinterpret_cast<const uint8_t *>(file->path.data()), file->path.size())
             .ToLocal(&name))
        return {};
    v8::Local<v8::Module> module;
    if (file->kind != FileKind::script) {
        v8::LocalVector<v8::String> exports(v8);
        exports.push_back(literal(v8, "default"));
        for (const char *text : builtin_exports)
            if (file->kind == FileKind::builtin)
                exports.push_back(literal(v8, text));
        module = v8::Module::CreateSyntheticModule(v8, name, { exports.data(), exports.size() },
                                                   evaluate_synthetic);
    } else {
        v8::Local<v8::String> text;
        std::string_view source_text = file->text();
        if (source_text.starts_with("\xef\xbb\xbf"))
            source_text.remove_prefix(3);
        if (!text_decode(v8, reinterpret_cast<const uint8_t *>(source_text.data()),
                         source_text.size())
                 .ToLocal(&text))
            return {};
        v8::ScriptOrigin origin(name, 0, 0, false, -1, {}, false, false, true);
        v8::ScriptCompiler::Source source(text, origin);
        if (!v8::ScriptCompiler::CompileModule(v8, &source).ToLocal(&module))
            return {};
    }
    file->module.Reset(v8, module);
    self->files_by_module.emplace(module->GetIdentityHash(), file);
    return module;
}

Import modules_import(struct isolate *self, v8::Local<v8::Context> context, const File &from,
                      int number)
{
    v8::Isolate *v8 = self->v8;
    v8::Local<v8::Module> module = from.module.Get(v8);
    v8::Local<v8::ModuleRequest> request =
        module->GetModuleRequests()->Get(context, number).As<v8::ModuleRequest>();
    const std::string specifier = to_std_string(v8, request->GetSpecifier());
    v8::Location at = module->SourceOffsetToLocation(request->GetSourceOffset());
    std::string type;
    Import import;
    import.place = { from.path, at.GetLineNumber() + 1, at.GetColumnNumber() + 1 };
    import.file = files_resolve(self, from.path, specifier);
    import.problem = read_attributes(v8, context, request->GetImportAttributes(), 3, &type);
    if (!import.problem.empty())
        return import;
    import.where = "imported from " + import.place.file + ":" + std::to_string(import.place.line) +
                   ":" + std::to_string(import.place.column);
    if (!import.file) {
        import.problem = "Cannot find module '" + specifier + "'";
        import.where = " " + import.where;
        import.hint = missing_hint(self, from.path, specifier);
        return import;
    }
    import.file = files_typed(self, import.file, type, &import.problem);
    if (!import.file)
        import.where = ", as " + import.where;
    return import;
}

bool modules_link(v8::Local<v8::Context> context, v8::Local<v8::Module> module)
{
    return module->InstantiateModule(context, resolve).FromMaybe(false);
}

void modules_install(v8::Isolate *v8)
{
    v8->SetHostImportModuleDynamicallyCallback(on_dynamic_import);
    v8->SetHostInitializeImportMetaObjectCallback(on_import_meta);
}

void modules_forget_unfinished(struct isolate *self)
{
    v8::HandleScope scope(self->v8);
    for (auto *files : { &self->files, &self->variants }) {
        for (auto &[path, file] : *files)
            if (!file.module.IsEmpty() && is_unfinished(file.module.Get(self->v8)))
                forget(self, &file);
    }
}

void modules_poll(struct isolate *self, Entry *entry)
{
    v8::HandleScope scope(self->v8);
    v8::Local<v8::Promise> promise = self->evaluation.Get(self->v8);
    switch (promise->State()) {
    case v8::Promise::kPending:
        return;
    case v8::Promise::kFulfilled:
        boot(self, entry);
        return;
    case v8::Promise::kRejected:
        break;
    }
    v8::Local<v8::Value> reason = promise->Result();
    v8::Local<v8::Value> text;
    if (entry->call(ENTRY_DESCRIBE, 1, &reason, &text))
        fail(self, to_std_string(self->v8, text));
    else if (!entry->is_terminated())
        self->load_state = ISOLATE_LOAD_FAILED;
}

enum isolate_result isolate_load(struct isolate *self, struct isolate_bytes main_path)
{
    Entry entry(self, 0);
    if (self->load_state != ISOLATE_LOADING || !self->evaluation.IsEmpty()) {
        self->error = "the isolate was loaded before";
        return ISOLATE_EXCEPTION;
    }
    std::string_view path(reinterpret_cast<const char *>(main_path.data), main_path.size);
    File *file = files_find(self, path);
    if (!file || file->kind != FileKind::script) {
        fail(self, "main module '" + std::string(path) +
                       (file ? "' must be a .js or .mjs file" : "' is not among the files"));
        return ISOLATE_EXCEPTION;
    }
    v8::Local<v8::Module> module;
    v8::Local<v8::Promise> promise;
    if (evaluate(self, entry.context(), file, &module).ToLocal(&promise)) {
        promise->MarkAsHandled();
        std::erase_if(self->rejections, [&](const Rejection &r) { return r.promise == promise; });
        self->main.Reset(self->v8, module);
        self->evaluation.Reset(self->v8, promise);
    } else if (!entry.is_terminated()) {
        fail(self, error_text_at(self, error_text(self->v8, entry.context(), entry.try_catch()),
                                 self->bad_import));
    }
    return entry.finish();
}
