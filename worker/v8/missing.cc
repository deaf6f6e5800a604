// SPDX-License-Identifier: Apache-2.0
//
// A hint for tenants whose libraries look for a global of another platform, and swallow the
// ReferenceError. V8 asks here for each name that the global object lacks, and for no other; a test by
// typeof is no failure, which only the source at that place tells.
#include "worker/v8/internal.h"

namespace
{

// Looks for an isolate: beyond, all names that are not there are silent, and cost no more than the call.
constexpr unsigned max_looks = 256;
constexpr int max_name_units = 32;
constexpr int max_before_units = 16;
constexpr int max_behind_units = 96;

bool is_name_unit(uint16_t unit)
{
    return unit >= 0x80 || (unit >= '0' && unit <= '9') || (unit >= 'A' && unit <= 'Z') ||
           (unit >= 'a' && unit <= 'z') || unit == '_' || unit == '$';
}

bool is_blank(uint16_t unit)
{
    return unit == ' ' || unit == '\t' || unit == '\n' || unit == '\r';
}

// True if the name stands at `at`, whole.
bool stands_at(const std::vector<uint16_t> &text, size_t at, const std::string &name)
{
    if (at + name.size() > text.size())
        return false;
    for (size_t i = 0; i < name.size(); i++)
        if (text[at + i] != static_cast<unsigned char>(name[i]))
            return false;
    return at + name.size() == text.size() || !is_name_unit(text[at + name.size()]);
}

// True for a unit behind which another statement, function or text may have begun.
bool is_end(uint16_t unit)
{
    return unit == ';' || unit == '{' || unit == '}' || unit == '"' || unit == '\'' || unit == '`';
}

// Returns what stands before `at`, without blanks: its last six units at most.
std::string before(const std::vector<uint16_t> &text, size_t at)
{
    std::string out;
    while (at > 0 && (is_blank(text[at - 1]) || text[at - 1] == '('))
        at--;
    while (at > 0 && out.size() < 6 && text[at - 1] < 0x80 && !is_blank(text[at - 1]))
        out.insert(out.begin(), static_cast<char>(text[--at]));
    return out;
}

// True if the code at that place uses the name, so that its absence throws: `process.env`, `new XMLHttpRequest`, but neither
// `typeof process` nor `globalThis.process`.
bool is_use(v8::Isolate *v8, v8::Local<v8::StackFrame> frame, const std::string &name)
{
    v8::Local<v8::String> source = frame->GetScriptSource();
    const int position = frame->GetSourcePosition();
    if (source.IsEmpty() || position < 0 || position >= source->Length())
        return false;
    const int from = std::max(0, position - max_before_units);
    const int to = std::min(source->Length(), position + max_behind_units);
    std::vector<uint16_t> text(static_cast<size_t>(to - from));
    source->WriteV2(v8, static_cast<uint32_t>(from), static_cast<uint32_t>(to - from), text.data());
    // V8 has the place of the name, or that of the statement that begins with its value.
    const size_t begin = static_cast<size_t>(position - from);
    size_t at = begin;
    while (at < text.size() && !stands_at(text, at, name)) {
        if (stands_at(text, at, "typeof") || is_end(text[at]))
            return false;
        at++;
    }
    if (at == text.size() || (at > begin && is_name_unit(text[at - 1])))
        return false;
    const std::string last = before(text, at);
    return last != "typeof" && !last.ends_with('.');
}

} // namespace

v8::Intercepted missing_look(v8::Local<v8::Name> property,
                             const v8::PropertyCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    struct isolate *self = isolate_from(v8);
    if (!self->in_entry || self->missing_looks >= max_looks)
        return v8::Intercepted::kNo;
    self->missing_looks++;
    v8::HandleScope scope(v8);
    if (!property->IsString() || property.As<v8::String>()->Length() > max_name_units)
        return v8::Intercepted::kNo;
    const std::string name = to_std_string(v8, property);
    v8::Local<v8::StackTrace> trace = v8::StackTrace::CurrentStackTrace(v8, 1);
    if (trace->GetFrameCount() == 0)
        return v8::Intercepted::kNo;
    v8::Local<v8::StackFrame> frame = trace->GetFrame(v8, 0);
    const std::string file = to_std_string(v8, frame->GetScriptName());
    if (!files_find(self, file) || !is_use(v8, frame, name))
        return v8::Intercepted::kNo;
    const std::string place = file + ":" + std::to_string(frame->GetLineNumber()) + ":" +
                              std::to_string(frame->GetColumn());
    v8::Local<v8::Context> context = v8->GetCurrentContext();
    v8::Local<v8::String> where;
    v8::Local<v8::Value> told;
    v8::TryCatch try_catch(v8);
    if (text_decode(v8, reinterpret_cast<const uint8_t *>(place.data()), place.size())
            .ToLocal(&where)) {
        v8::Local<v8::Value> argv[] = { property, where };
        if (self->entries[ENTRY_MISSING]
                .Get(v8)
                ->Call(context, v8::Undefined(v8), 2, argv)
                .ToLocal(&told) &&
            told->IsTrue())
            self->missing_looks = max_looks;
    }
    if (try_catch.HasTerminated())
        try_catch.ReThrow();
    return v8::Intercepted::kNo;
}
