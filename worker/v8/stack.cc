// SPDX-License-Identifier: Apache-2.0
//
// The stacks of errors as the tenant sees them: without the frames of the JS layer. V8 asks when
// error.stack is first looked at; the rest is as V8 does it by itself, Error.prepareStackTrace
// included.
#include "worker/v8/internal.h"

namespace
{

// Returns the text of a property that Error.prototype.toString would read. Empty with an exception
// pending.
v8::MaybeLocal<v8::String> text_of(v8::Isolate *v8, v8::Local<v8::Context> context,
                                   v8::Local<v8::Object> error, const char *name,
                                   const char *preset)
{
    v8::Local<v8::Value> value;
    if (!error->Get(context, literal(v8, name)).ToLocal(&value))
        return {};
    return value->IsUndefined() ? literal(v8, preset) : value->ToString(context);
}

// Returns "TypeError: message". The error may have getters that throw. Empty if JavaScript was
// terminated.
v8::MaybeLocal<v8::String> headline(v8::Isolate *v8, v8::Local<v8::Context> context,
                                    v8::Local<v8::Value> error)
{
    v8::TryCatch try_catch(v8);
    v8::Local<v8::String> name;
    v8::Local<v8::String> message;
    if (!error->IsObject() ||
        !text_of(v8, context, error.As<v8::Object>(), "name", "Error").ToLocal(&name) ||
        !text_of(v8, context, error.As<v8::Object>(), "message", "").ToLocal(&message)) {
        if (try_catch.HasTerminated()) {
            try_catch.ReThrow();
            return {};
        }
        return literal(v8, "<error>");
    }
    if (message->Length() == 0)
        return name;
    if (name->Length() == 0)
        return message;
    if (message->Length() > v8::String::kMaxLength / 2 ||
        name->Length() > v8::String::kMaxLength / 4)
        return literal(v8, "<error>");
    return v8::String::Concat(v8, v8::String::Concat(v8, name, literal(v8, ": ")), message);
}

// Keeps the call sites of the tenant's code with their texts, and those of builtins that it has called.
// False with an exception pending.
bool choose(v8::Isolate *v8, v8::Local<v8::Context> context, v8::Local<v8::Array> sites,
            v8::LocalVector<v8::Value> *ret_sites, std::string *ret_lines)
{
    v8::LocalVector<v8::Value> builtins(v8); // whose caller is not known yet
    std::string builtin_lines;
    for (uint32_t i = 0; i < sites->Length(); i++) {
        v8::Local<v8::Value> site;
        v8::Local<v8::Value> text;
        v8::Local<v8::Value> method;
        if (!sites->Get(context, i).ToLocal(&site) || !site->IsObject() ||
            !site.As<v8::Object>()->Get(context, literal(v8, "toString")).ToLocal(&method) ||
            !method->IsFunction() ||
            !method.As<v8::Function>()->Call(context, site, 0, nullptr).ToLocal(&text))
            return false;
        const std::string line = to_std_string(v8, text);
        const bool is_hidden = line.find(js_layer_name) != std::string::npos;
        if (!is_hidden) {
            builtins.push_back(site);
            builtin_lines += "\n    at " + line;
            if (line.ends_with("(<anonymous>)") && i + 1 < sites->Length())
                continue;
            for (v8::Local<v8::Value> kept : builtins)
                ret_sites->push_back(kept);
            *ret_lines += builtin_lines;
        }
        builtins.clear();
        builtin_lines.clear();
    }
    return true;
}

v8::MaybeLocal<v8::Value> on_prepare(v8::Local<v8::Context> context, v8::Local<v8::Value> error,
                                     v8::Local<v8::Array> sites)
{
    v8::Isolate *v8 = context->GetIsolate();
    struct isolate *self = isolate_from(v8);
    v8::LocalVector<v8::Value> kept(v8);
    std::string lines;
    v8::Local<v8::Value> prepare;
    if (!choose(v8, context, sites, &kept, &lines) || self->error_constructor.IsEmpty() ||
        !self->error_constructor.Get(v8)
             ->Get(context, literal(v8, "prepareStackTrace"))
             .ToLocal(&prepare))
        return {};
    if (prepare->IsFunction()) {
        v8::Local<v8::Value> argv[] = { error, v8::Array::New(v8, kept.data(), kept.size()) };
        return prepare.As<v8::Function>()->Call(context, self->error_constructor.Get(v8), 2, argv);
    }
    v8::Local<v8::String> head;
    v8::Local<v8::String> rest;
    if (!headline(v8, context, error).ToLocal(&head) ||
        !text_decode(v8, reinterpret_cast<const uint8_t *>(lines.data()), lines.size())
             .ToLocal(&rest))
        return {};
    return v8::String::Concat(v8, head, rest).As<v8::Value>();
}

} // namespace

bool stack_install(struct isolate *self, v8::Local<v8::Context> context)
{
    v8::Isolate *v8 = self->v8;
    v8::Context::Scope context_scope(context);
    v8::Local<v8::Value> constructor;
    v8::Local<v8::Value> error = v8::Exception::Error(literal(v8, ""));
    if (!error.As<v8::Object>()->Get(context, literal(v8, "constructor")).ToLocal(&constructor) ||
        !constructor->IsObject())
        return false;
    self->error_constructor.Reset(v8, constructor.As<v8::Object>());
    v8->SetPrepareStackTraceCallback(on_prepare);
    return true;
}
