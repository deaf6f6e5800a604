// SPDX-License-Identifier: Apache-2.0
//
// What went wrong, as text for the tenant: message, file:line:column, the source line with a caret
// under the column, stack. Runs inside an entry, because a thrown value may have a toString or a
// stack getter of the tenant's own.
#include "worker/v8/internal.h"

#include <algorithm>

namespace
{

constexpr size_t line_window = 120; // of a minified line, show this much around the caret
constexpr size_t max_text_bytes = 16 * 1024;

std::string latin_or_utf8(v8::Isolate *v8, v8::Local<v8::String> string)
{
    std::vector<uint8_t> bytes;
    text_append_utf8(v8, string, &bytes);
    return std::string(bytes.begin(), bytes.end());
}

// Frames of the JS layer tell a tenant nothing. skep-mksnapshot, which has no host, needs them.
bool is_hidden(v8::Isolate *v8, std::string_view place)
{
    return isolate_from(v8)->ops && place.find(js_layer_name) != std::string_view::npos;
}

// Columns are UTF-16 units: cut the line there before it becomes UTF-8.
std::string slice(v8::Isolate *v8, v8::Local<v8::String> line, size_t from, size_t to)
{
    std::vector<uint16_t> units(to - from);
    line->WriteV2(v8, static_cast<uint32_t>(from), static_cast<uint32_t>(to - from), units.data());
    v8::Local<v8::String> part;
    if (!v8::String::NewFromTwoByte(v8, units.data(), v8::NewStringType::kNormal,
                                    static_cast<int>(units.size()))
             .ToLocal(&part))
        return {};
    return latin_or_utf8(v8, part);
}

void append_location(v8::Isolate *v8, v8::Local<v8::Context> context,
                     v8::Local<v8::Message> message, std::string *out)
{
    v8::Local<v8::Value> name = message->GetScriptResourceName();
    const int line_number = message->GetLineNumber(context).FromMaybe(0);
    if (line_number <= 0 || name.IsEmpty() || !name->IsString())
        return;
    const std::string place = latin_or_utf8(v8, name.As<v8::String>());
    if (is_hidden(v8, place))
        return;
    const int column = std::max(0, message->GetStartColumn(context).FromMaybe(0));
    *out += "\n" + place + ":" + std::to_string(line_number) + ":" + std::to_string(column + 1);

    v8::Local<v8::String> line;
    if (!message->GetSourceLine(context).ToLocal(&line))
        return;
    const size_t length = static_cast<size_t>(line->Length());
    const size_t at = std::min(static_cast<size_t>(column), length);
    const size_t from = at > line_window / 2 ? at - line_window / 2 : 0;
    const size_t to = std::min(length, from + line_window);
    std::string before = slice(v8, line, from, at);
    *out += "\n    " + before + slice(v8, line, at, to) + "\n    ";
    // Tabs stay tabs, and a character is one column however many bytes it has.
    for (char c : before)
        if ((static_cast<unsigned char>(c) & 0xc0) != 0x80)
            *out += c == '\t' ? '\t' : ' ';
    *out += '^';
}

// The "    at …" lines of error.stack; its first lines repeat the message.
void append_stack(v8::Isolate *v8, v8::Local<v8::Context> context, v8::Local<v8::Value> exception,
                  std::string *out)
{
    if (!exception->IsNativeError())
        return;
    v8::Local<v8::Value> stack;
    if (!exception.As<v8::Object>()->Get(context, literal(v8, "stack")).ToLocal(&stack) ||
        !stack->IsString())
        return;
    const std::string text = to_std_string(v8, stack);
    size_t at = text.find("\n    at ");
    while (at != std::string::npos) {
        const size_t next = text.find('\n', at + 1);
        const std::string_view line = std::string_view(text).substr(at, next - at);
        if (!is_hidden(v8, line))
            *out += line;
        at = next;
    }
}

} // namespace

std::string error_text(v8::Isolate *v8, v8::Local<v8::Context> context,
                       v8::Local<v8::Value> exception, v8::Local<v8::Message> message)
{
    // What the tenant's own toString or getters throw is not the error to report.
    v8::TryCatch inner(v8);
    std::string out;
    if (!message.IsEmpty())
        out = latin_or_utf8(v8, message->Get());
    else if (!exception.IsEmpty())
        out = to_std_string(v8, exception);
    if (out.starts_with("Uncaught "))
        out.erase(0, sizeof("Uncaught ") - 1);
    if (out.empty())
        out = "unknown error";
    if (!message.IsEmpty())
        append_location(v8, context, message, &out);
    if (!exception.IsEmpty())
        append_stack(v8, context, exception, &out);
    if (out.size() > max_text_bytes)
        out.resize(max_text_bytes);
    return out;
}

std::string error_text(v8::Isolate *v8, v8::Local<v8::Context> context, v8::TryCatch &try_catch)
{
    if (try_catch.HasTerminated())
        return "terminated";
    v8::Local<v8::Value> exception = try_catch.Exception();
    v8::Local<v8::Message> message = try_catch.Message();
    try_catch.Reset();
    return error_text(v8, context, exception, message);
}
