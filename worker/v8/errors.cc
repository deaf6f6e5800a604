// SPDX-License-Identifier: Apache-2.0
//
// Errors as text for the tenant: message, file:line:column, the source line with a caret
// under the column, stack. Runs inside an entry, because a thrown value may have a toString or a
// stack getter of the tenant's own.
#include "worker/v8/internal.h"

#include <algorithm>
#include <charconv>

namespace
{

constexpr size_t line_window = 120; // part of a minified line that is shown around the caret
constexpr size_t max_text_bytes = 16 * 1024;

// Returns the text, cut: a tenant may throw a string of half a gigabyte.
std::string latin_or_utf8(v8::Isolate *v8, v8::Local<v8::String> string)
{
    std::vector<uint8_t> bytes;
    text_append_head(v8, string, max_text_units, &bytes);
    return std::string(bytes.begin(), bytes.end());
}

// True for frames of the JS layer, which tell a tenant nothing. skep-mksnapshot, which has no host,
// needs them.
bool is_hidden(v8::Isolate *v8, std::string_view place)
{
    return isolate_from(v8)->ops && place.find(js_layer_name) != std::string_view::npos;
}

// Cuts a line. Columns are UTF-16 units: the cut comes before the line becomes UTF-8.
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

bool is_continuation(char c)
{
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Appends the place, the line of the source and a caret. Tabs stay tabs, other control characters
// become blanks, and a character is one column however many bytes it has.
void append_excerpt(const Place &place, std::string before, std::string after, std::string *out)
{
    *out += "\n" + place.file + ":" + std::to_string(place.line) + ":" +
            std::to_string(place.column) + "\n    ";
    for (std::string *part : { &before, &after })
        for (char &c : *part)
            if (static_cast<unsigned char>(c) < 0x20 && c != '\t')
                c = ' ';
    *out += before + after + "\n    ";
    for (char c : before)
        if (!is_continuation(c))
            *out += c == '\t' ? '\t' : ' ';
    *out += '^';
}

// Appends the place that V8 gives. False if that is not a place in the tenant's source.
bool append_location(v8::Isolate *v8, v8::Local<v8::Context> context,
                     v8::Local<v8::Message> message, std::string *out)
{
    v8::Local<v8::Value> name = message->GetScriptResourceName();
    Place place;
    place.line = message->GetLineNumber(context).FromMaybe(0);
    if (place.line <= 0 || name.IsEmpty() || !name->IsString())
        return false;
    place.file = latin_or_utf8(v8, name.As<v8::String>());
    v8::Local<v8::String> line;
    if (is_hidden(v8, place.file) || !message->GetSourceLine(context).ToLocal(&line))
        return false;
    place.column = std::max(0, message->GetStartColumn(context).FromMaybe(0)) + 1;
    *out += error_excerpt(v8, place, line);
    return true;
}

// ---- by file, line and column

// Returns the bytes of the line terminator at text[at], 0 if there is none.
size_t line_end_at(std::string_view text, size_t at)
{
    if (text[at] == '\r')
        return at + 1 < text.size() && text[at + 1] == '\n' ? 2 : 1;
    if (text[at] == '\n')
        return 1;
    const std::string_view three = text.substr(at, 3);
    return three == "\xe2\x80\xa8" || three == "\xe2\x80\xa9" ? 3 : 0;
}

std::string_view find_line(std::string_view source, int line)
{
    size_t start = 0;
    for (size_t at = 0; at < source.size();) {
        const size_t end = line_end_at(source, at);
        if (end == 0) {
            at++;
            continue;
        }
        if (--line == 0)
            return source.substr(start, at - start);
        at += end;
        start = at;
    }
    return line == 1 ? source.substr(start) : std::string_view();
}

// Returns the bytes before a column that is counted in UTF-16 units.
size_t offset_of(std::string_view line, int column)
{
    size_t at = 0;
    for (int unit = 1; unit < column && at < line.size(); unit++) {
        if (static_cast<unsigned char>(line[at]) >= 0xf0)
            unit++;
        do
            at++;
        while (at < line.size() && is_continuation(line[at]));
    }
    return at;
}

bool append_place(struct isolate *self, const Place &place, std::string *out)
{
    const File *file = files_find(self, place.file);
    if (!file || file->kind != FileKind::script)
        return false;
    std::string_view source = file->source;
    if (source.starts_with("\xef\xbb\xbf"))
        source.remove_prefix(3);
    const std::string_view line = find_line(source, place.line);
    const size_t at = offset_of(line, place.column);
    size_t from = at > line_window / 2 ? at - line_window / 2 : 0;
    size_t to = std::min(line.size(), from + line_window);
    while (from < at && is_continuation(line[from]))
        from++;
    while (to < line.size() && is_continuation(line[to]))
        to++;
    append_excerpt(place, std::string(line.substr(from, at - from)),
                   std::string(line.substr(at, to - at)), out);
    return true;
}

// Cuts the number after the last colon off. Returns 0 if there is none.
int take_number(std::string_view *text)
{
    const size_t colon = text->rfind(':');
    int number = 0;
    if (colon == std::string_view::npos)
        return 0;
    const std::string_view digits = text->substr(colon + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || end != digits.data() + digits.size())
        return 0;
    *text = text->substr(0, colon);
    return number;
}

// Parses "    at name (file:line:column)" or "    at file:line:column".
Place parse_frame(std::string_view line)
{
    Place place;
    if (line.ends_with(')')) {
        line.remove_suffix(1);
        line = line.substr(line.rfind('(') + 1);
    } else {
        line = line.substr(line.rfind(' ') + 1);
    }
    place.column = take_number(&line);
    place.line = take_number(&line);
    place.file = line;
    return place;
}

// Appends the "    at …" lines of error.stack; its first lines repeat the message.
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

std::string error_excerpt(v8::Isolate *v8, const Place &place, v8::Local<v8::String> line)
{
    std::string out;
    const size_t length = static_cast<size_t>(line->Length());
    const size_t at = std::min(static_cast<size_t>(std::max(1, place.column)) - 1, length);
    const size_t from = at > line_window / 2 ? at - line_window / 2 : 0;
    const size_t to = std::min(length, from + line_window);
    append_excerpt(place, slice(v8, line, from, at), slice(v8, line, at, to), &out);
    return out;
}

std::string error_text(v8::Isolate *v8, v8::Local<v8::Context> context,
                       v8::Local<v8::Value> exception, v8::Local<v8::Message> message)
{
    // Exceptions of the tenant's own toString or getters are not the error to report.
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
        (void) append_location(v8, context, message, &out);
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

std::string error_place(struct isolate *self, v8::Local<v8::Context> context,
                        v8::Local<v8::Value> exception, std::string_view frames)
{
    std::string out;
    // For any other value V8 would name the present place.
    if (exception->IsNativeError() &&
        append_location(self->v8, context, v8::Exception::CreateMessage(self->v8, exception), &out))
        return out;
    // The JS layer threw it: the place is the tenant's code that called the layer.
    while (!frames.empty()) {
        const size_t end = frames.find('\n');
        const Place place = parse_frame(frames.substr(0, end));
        if (place.line > 0 && place.column > 0 && append_place(self, place, &out))
            return out;
        frames = end == std::string_view::npos ? std::string_view() : frames.substr(end + 1);
    }
    return out;
}

std::string error_text_at(struct isolate *self, std::string text, const Place &place)
{
    (void) append_place(self, place, &text);
    return text;
}
