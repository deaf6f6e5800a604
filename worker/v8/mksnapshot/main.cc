// SPDX-License-Identifier: Apache-2.0
//
// skep-mksnapshot BUNDLE.js REWRITER.wasm OUT.blob [V8-FLAG...]: evaluates the JS layer and writes the startup snapshot that
// the worker carries, with the code of HTMLRewriter behind it. Build-time tool; runs no tenant code. V8's flags
// --serialization-statistics and --trace-serializer show what is in the snapshot.
#include "proto/head.h"
#include "worker/v8/internal.h"
#include "worker/v8/natives.h"
#include "worker/v8/platform.h"
#include "worker/v8/snapshot.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace
{

// Script that answers a request in a context that is thrown away. Compiled functions belong to the
// script, not to the context, so the snapshot gets those that it needed.
const char warm_up_source[] = R"js(({
    async fetch(request, env, ctx) {
        const name = env.NAME ?? request.headers.get("accept");
        if (request.method === "POST") {
            const text = await request.text();
            return Response.json({ text, name });
        }
        const headers = new Headers({ "content-type": "text/plain" });
        return new Response("hello " + name, { headers });
    },
}))js";

const char warm_up_url[] = "http://example.com/a/b?c=d";

std::string pack_head(const std::vector<std::string> &texts)
{
    std::string packed(head_table_bytes(texts.size()), '\0');
    for (const std::string &text : texts)
        packed += text;
    uint8_t *table = reinterpret_cast<uint8_t *>(&packed[0]);
    head_put_count(table, static_cast<uint32_t>(texts.size()));
    for (size_t i = 0; i < texts.size(); i++)
        head_put_size(table, i, static_cast<uint32_t>(texts[i].size()));
    return packed;
}

int n_responses;
std::string outcome;

const struct isolate_host host = {
    .log = [](void *, uint64_t, enum isolate_log_level, struct isolate_bytes) {},
    .respond =
        [](void *, uint64_t, uint32_t, struct isolate_bytes, struct isolate_bytes, bool) {
            n_responses++;
            return 0;
        },
    .send_body = [](void *, uint64_t, struct isolate_bytes, bool) { return int64_t{ 1 << 16 }; },
    .consume_body = [](void *, uint64_t, size_t) {},
    .done =
        [](void *, uint64_t, enum isolate_outcome result, struct isolate_bytes message) {
            if (result != ISOLATE_REQUEST_OK)
                outcome.assign(reinterpret_cast<const char *>(message.data), message.size);
        },
    .set_timer = [](void *, uint64_t, uint64_t, bool) { return int64_t{ 1 }; },
    .keep_timer = [](void *, int64_t) { return uint64_t{ 0 }; },
    .clear_timer = [](void *, int64_t) {},
    .call = [](void *, uint64_t, const struct isolate_call *) { return int64_t{ 0 }; },
    .send_call = [](void *, uint64_t, uint32_t, struct isolate_bytes,
                    bool) { return int64_t{ 0 }; },
    .consume_call = [](void *, uint64_t, uint32_t, size_t) {},
    .cancel_call = [](void *, uint64_t, uint32_t) {},
    .cpu_left_ns = nullptr,
    .woken = [](void *, uint64_t) {},
};

[[noreturn]] void die(const std::string &text)
{
    fprintf(stderr, "skep-mksnapshot: %s\n", text.c_str());
    exit(1);
}

void print_fatal(bool is_oom, const char *location)
{
    fprintf(stderr, "skep-mksnapshot: V8 %s: %s\n", is_oom ? "is out of memory" : "failed",
            location);
}

class Builder
{
  public:
    explicit Builder(v8::Isolate *v8) : v8_(v8)
    {
        self_.v8 = v8;
        self_.ops = &host;
        self_.allocator = std::make_shared<Allocator>(size_t{ 64 } << 20, false);
        v8->SetData(0, &self_);
    }

    // Makes a context in which the JS layer has run; its entries in *ret_entries.
    v8::Local<v8::Context> evaluate(v8::Local<v8::Object> *ret_entries)
    {
        v8::Local<v8::ObjectTemplate> global = v8::ObjectTemplate::New(v8_);
        global->SetHandler(v8::NamedPropertyHandlerConfiguration(
            missing_look, nullptr, nullptr, nullptr, nullptr, {},
            static_cast<v8::PropertyHandlerFlags>(
                static_cast<int>(v8::PropertyHandlerFlags::kNonMasking) |
                static_cast<int>(v8::PropertyHandlerFlags::kOnlyInterceptStrings))));
        v8::Local<v8::Context> context = v8::Context::New(v8_, nullptr, global);
        v8::Context::Scope scope(context);
        v8::TryCatch try_catch(v8_);
        v8::Local<v8::Object> natives;
        if (!natives_new(v8_, context).ToLocal(&natives) ||
            context->Global()->Set(context, literal(v8_, "__skep"), natives).IsNothing() ||
            !lend_shared_array_buffer(context))
            fail(context, try_catch);
        if (script_.IsEmpty()) {
            v8::Local<v8::String> text;
            if (!snapshot_bundle_string(v8_).ToLocal(&text))
                die("the bundle is too long");
            v8::ScriptOrigin origin(literal(v8_, js_layer_name));
            v8::ScriptCompiler::Source source(text, origin);
            v8::Local<v8::UnboundScript> compiled;
            if (!v8::ScriptCompiler::CompileUnboundScript(v8_, &source).ToLocal(&compiled))
                fail(context, try_catch);
            script_.Reset(v8_, compiled);
        }
        v8::Local<v8::Value> result;
        if (!script_.Get(v8_)->BindToCurrentContext()->Run(context).ToLocal(&result))
            fail(context, try_catch);
        v8_->PerformMicrotaskCheckpoint();
        if (self_.registered.IsEmpty())
            die("the bundle did not call __skep.register");
        *ret_entries = self_.registered.Get(v8_);
        self_.registered.Reset();
        remove(context, "__skep");
        // Threads and collection times are nothing that a tenant should see.
        remove(context, "SharedArrayBuffer");
        remove(context, "FinalizationRegistry");
        remove(context, "WeakRef");
        return context;
    }

    v8::Local<v8::Function> entry(v8::Local<v8::Context> context, v8::Local<v8::Object> entries,
                                  const char *name)
    {
        v8::Local<v8::Value> value;
        if (!entries->Get(context, literal(v8_, name)).ToLocal(&value) || !value->IsFunction())
            die(std::string("the bundle registered no function ") + name);
        return value.As<v8::Function>();
    }

    // Compiles the functions that requests need, no more: each isolate has a copy of them.
    void warm_up()
    {
        v8::HandleScope scope(v8_);
        v8::Local<v8::Object> entries;
        v8::Local<v8::Context> context = evaluate(&entries);
        v8::Context::Scope context_scope(context);
        boot(context, entries);
        for (int i = 0; i < 4; i++)
            serve(context, entries);
    }

    [[noreturn]] void fail(v8::Local<v8::Context> context, v8::TryCatch &try_catch)
    {
        die("the bundle failed: " + error_text(v8_, context, try_catch));
    }

  private:
    void boot(v8::Local<v8::Context> context, v8::Local<v8::Object> entries)
    {
        v8::TryCatch try_catch(v8_);
        v8::Local<v8::Script> script;
        v8::Local<v8::Value> handler;
        if (!v8::Script::Compile(context, literal(v8_, warm_up_source)).ToLocal(&script) ||
            !script->Run(context).ToLocal(&handler))
            fail(context, try_catch);
        v8::Local<v8::Value> boot_args[] = { handler, v8::Object::New(v8_) };
        call(context, entries, "boot", 2, boot_args);
    }

    void serve(v8::Local<v8::Context> context, v8::Local<v8::Object> entries)
    {
        v8::HandleScope scope(v8_);
        n_responses = 0;
        for (bool post : { false, true }) {
            const char *const method = post ? "POST" : "GET";
            const std::string head = pack_head({ method, warm_up_url, "accept", "*/*" });
            v8::Local<v8::String> packed;
            v8::Local<v8::Uint8Array> body;
            if (!bytes_new(v8_, reinterpret_cast<const uint8_t *>("text"), 4).ToLocal(&body) ||
                !v8::String::NewFromOneByte(v8_, reinterpret_cast<const uint8_t *>(head.data()),
                                            v8::NewStringType::kNormal,
                                            static_cast<int>(head.size()))
                     .ToLocal(&packed))
                die("out of memory");
            v8::Local<v8::Value> argv[] = { v8::Number::New(v8_, ++n_requests_),
                                            literal(v8_, method),
                                            literal(v8_, warm_up_url),
                                            packed,
                                            v8::Undefined(v8_),
                                            v8::Boolean::New(v8_, true),
                                            v8::Boolean::New(v8_, post) };
            if (post)
                argv[4] = body;
            call(context, entries, "dispatch", 7, argv);
        }
        if (n_responses != 2)
            die("the bundle answered " + std::to_string(n_responses) +
                " of 2 warm-up requests: " + outcome);
    }

    void call(v8::Local<v8::Context> context, v8::Local<v8::Object> entries, const char *name,
              int argc, v8::Local<v8::Value> argv[])
    {
        v8::TryCatch try_catch(v8_);
        v8::Local<v8::Value> result;
        if (!entry(context, entries, name)
                 ->Call(context, v8::Undefined(v8_), argc, argv)
                 .ToLocal(&result))
            fail(context, try_catch);
        v8_->PerformMicrotaskCheckpoint();
    }

    // The flags take this global away, but libraries read its prototype when they start.
    bool lend_shared_array_buffer(v8::Local<v8::Context> context)
    {
        v8::Local<v8::Value> constructor;
        return v8::SharedArrayBuffer::New(v8_, 0)
                   ->Get(context, literal(v8_, "constructor"))
                   .ToLocal(&constructor) &&
               context->Global()
                   ->CreateDataProperty(context, literal(v8_, "SharedArrayBuffer"), constructor)
                   .FromMaybe(false);
    }

    void remove(v8::Local<v8::Context> context, const char *name)
    {
        if (!context->Global()->Delete(context, literal(v8_, name)).FromMaybe(false))
            die(std::string("cannot remove the global ") + name);
    }

    v8::Isolate *v8_;
    struct isolate self_;
    int n_requests_ = 0;
    v8::Global<v8::UnboundScript> script_; // shared, with its compiled functions, by all contexts
};

v8::StartupData build()
{
    v8::Isolate::CreateParams params;
    std::shared_ptr<Allocator> allocator = std::make_shared<Allocator>(size_t{ 64 } << 20, false);
    params.external_references = snapshot_references();
    params.array_buffer_allocator_shared = allocator;
    v8::SnapshotCreator creator(params);
    v8::Isolate *v8 = creator.GetIsolate();
    v8->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
    {
        v8::HandleScope scope(v8);
        Builder builder(v8);
        builder.warm_up();
        v8::Local<v8::Object> entries;
        v8::Local<v8::Context> context = builder.evaluate(&entries);
        {
            v8::Context::Scope context_scope(context);
            for (size_t i = 0; i < ENTRY_COUNT; i++)
                if (creator.AddData(context, builder.entry(context, entries, entry_names[i])) != i)
                    die("V8 numbers the entries differently");
        }
        creator.SetDefaultContext(context);
        v8->SetData(0, nullptr);
    }
    return creator.CreateBlob(v8::SnapshotCreator::FunctionCodeHandling::kKeep);
}

std::string read_file(const char *path)
{
    std::ifstream in(path, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    if (!in)
        die(std::string("cannot read ") + path + ": " + strerror(errno));
    return text.str();
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: skep-mksnapshot BUNDLE.js REWRITER.wasm OUT.blob [V8-FLAG...]\n");
        return 2;
    }
    static std::string bundle = read_file(argv[1]);
    const std::string rewriter = read_file(argv[2]);
    if (!text_is_ascii(reinterpret_cast<const uint8_t *>(bundle.data()), bundle.size()))
        die("the bundle must be ASCII (esbuild's default charset)");
    snapshot_set_bundle(bundle);

    const struct isolate_platform_options options = {
        .argv0 = argv[0],
        .jit = JIT_ON,
        .wasm_max_mem_pages = 1024,
        .blank_heap_mib = 0, // an isolate is not made ahead
        .snapshot = {},
        .on_fatal = print_fatal,
        .on_fatal_heap = nullptr,
    };
    v8::V8::SetFlagsFromString("--no-flush-bytecode");
    for (int i = 4; i < argc; i++)
        v8::V8::SetFlagsFromString(argv[i]);
    int r = platform_start(&options);
    if (r < 0)
        die(std::string("cannot start V8: ") + strerror(-r));
    v8::StartupData blob = build();
    if (!blob.data)
        die("V8 made no snapshot");
    if (!blob.CanBeRehashed())
        fprintf(stderr, "skep-mksnapshot: warning: the snapshot fixes the hash seed\n");
    std::string file = snapshot_write(blob, bundle, rewriter);
    std::ofstream out(argv[3], std::ios::binary | std::ios::trunc);
    out.write(file.data(), static_cast<std::streamsize>(file.size()));
    out.close();
    if (!out)
        die(std::string("cannot write ") + argv[3] + ": " + strerror(errno));
    delete[] blob.data;
    return 0;
}
