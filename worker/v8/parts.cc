// SPDX-License-Identifier: Apache-2.0
// See parts.h.
#include "worker/v8/parts.h"

#include "worker/v8/internal.h"

#include <deque>

struct Part {
    std::string_view name;
    StaticSource source;
    std::vector<uint8_t> code; // V8's code cache; empty: none yet
};

namespace
{

constexpr int max_name = 64;

std::deque<Part> parts; // V8 holds pointers to the sources

Part *find(std::string_view name)
{
    for (Part &part : parts)
        if (part.name == name)
            return &part;
    return nullptr;
}

// Compiles the part, or takes its code from the cache. Empty with an exception pending.
v8::MaybeLocal<v8::UnboundScript> compile(v8::Isolate *v8, Part *part)
{
    v8::Local<v8::String> text;
    if (!v8::String::NewExternalOneByte(v8, &part->source).ToLocal(&text))
        return {};
    v8::ScriptOrigin origin(literal(v8, js_layer_name));
    if (part->code.empty()) {
        v8::ScriptCompiler::Source source(text, origin);
        return v8::ScriptCompiler::CompileUnboundScript(v8, &source);
    }
    // The source owns the object, which does not own the bytes.
    auto *cached =
        new v8::ScriptCompiler::CachedData(part->code.data(), static_cast<int>(part->code.size()),
                                           v8::ScriptCompiler::CachedData::BufferNotOwned);
    v8::ScriptCompiler::Source source(text, origin, cached);
    return v8::ScriptCompiler::CompileUnboundScript(v8, &source,
                                                    v8::ScriptCompiler::kConsumeCodeCache);
}

} // namespace

void parts_set(std::string_view text)
{
    parts.clear();
    while (!text.empty()) {
        text.remove_prefix(1); // the mark
        const size_t end = std::min(text.find(part_mark), text.size());
        const std::string_view whole = text.substr(0, end);
        const size_t name_end = std::min(whole.find('\n'), whole.size());
        Part &part = parts.emplace_back();
        part.name = whole.substr(0, name_end);
        part.source.set(whole.substr(std::min(name_end + 1, whole.size())));
        text.remove_prefix(end);
    }
}

void native_part(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    struct isolate *self = isolate_from(v8);
    v8::Local<v8::UnboundScript> script;
    v8::Local<v8::Value> function;
    Part *part = nullptr;
    if (info[0]->IsString() && info[0].As<v8::String>()->Length() <= max_name)
        part = find(to_std_string(v8, info[0]));
    if (!part) {
        v8->ThrowException(v8::Exception::TypeError(literal(v8, "not a part")));
        return;
    }
    if (!compile(v8, part).ToLocal(&script) ||
        !script->BindToCurrentContext()->Run(v8->GetCurrentContext()).ToLocal(&function))
        return;
    if (self->keeps_code)
        self->parts.emplace_back(part, v8::Global<v8::UnboundScript>(v8, script));
    info.GetReturnValue().Set(function);
}

void isolate_share_code(struct isolate *self)
{
    v8::Isolate::Scope isolate_scope(self->v8);
    v8::HandleScope handle_scope(self->v8);
    for (auto &[part, script] : self->parts) {
        std::unique_ptr<v8::ScriptCompiler::CachedData> made(
            v8::ScriptCompiler::CreateCodeCache(script.Get(self->v8)));
        // Isolates that are being made out of an older cache do not exist: this is the one thread.
        if (made && part->code.empty())
            part->code.assign(made->data, made->data + made->length);
    }
}
