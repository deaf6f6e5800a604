// SPDX-License-Identifier: Apache-2.0
//
// Natives for source maps of a tenant's modules: finds the map of a file and looks places up in it. The JS layer parses the JSON,
// inside the isolate, whose CPU time and memory that is.
#include "worker/source_map.h"
#include "worker/v8/internal.h"

#include <algorithm>
#include <cstring>

namespace
{

using Info = v8::FunctionCallbackInfo<v8::Value>;

constexpr int max_url_units = 4096;
constexpr uint32_t max_places = 32;
// CPU time (2 to 4 ns were seen; 9 of mappings of the shortest segments, for the most places) and heap that reading a map takes at most, for each of its bytes.
constexpr uint64_t read_ns_per_byte = 8;
constexpr size_t heap_per_byte = 6;

// A map, or why it cannot be used.
struct Found {
    std::string name; // path of its file; "": within the code
    v8::MaybeLocal<v8::String> text;
    std::string problem;
};

// Returns why a map of that size cannot be read now; "": it can.
std::string refusal(const struct isolate *self, size_t size)
{
    const uint64_t left = self->ops->cpu_left_ns ? self->ops->cpu_left_ns(self->host) : UINT64_MAX;
    const size_t used = isolate_heap_used(self->v8);
    if (size * read_ns_per_byte > left / 2)
        return "to read it may take more CPU time than is left (cpu_ms)";
    if (!self->observe_heap &&
        size * heap_per_byte > self->heap_limit - std::min(self->heap_limit, used))
        return "to read it may take more memory than is left (heap_mib)";
    return "";
}

void read_file(struct isolate *self, const File &map, Found *ret)
{
    const std::string &text = map.text();
    ret->name = map.path;
    ret->problem = refusal(self, text.size());
    if (ret->problem.empty())
        ret->text =
            text_decode(self->v8, reinterpret_cast<const uint8_t *>(text.data()), text.size());
}

// A data: URL as bundlers write it.
void read_inline(struct isolate *self, v8::Local<v8::String> url, Found *ret)
{
    static constexpr std::string_view mark = ";base64,";
    bool is_bad = false;
    v8::Local<v8::String> bytes;
    ret->problem = refusal(self, static_cast<size_t>(url->Length()));
    if (!ret->problem.empty())
        return;
    std::vector<uint8_t> all;
    text_append_utf8(self->v8, url, &all);
    const std::string_view text(reinterpret_cast<const char *>(all.data()), all.size());
    const size_t comma = text.find(',');
    const size_t at = text.substr(0, std::min(comma, text.size() - 1) + 1).rfind(mark);
    if (comma == std::string_view::npos || at == std::string_view::npos) {
        ret->problem = "it is no data: URL in base64";
        return;
    }
    if (!text_from_base64(self->v8, text.data() + comma + 1, text.size() - comma - 1, &is_bad)
             .ToLocal(&bytes)) {
        ret->problem = is_bad ? "its base64 is not valid" : "";
        return;
    }
    all.resize(static_cast<size_t>(bytes->Length()));
    bytes->WriteOneByteV2(self->v8, 0, static_cast<uint32_t>(bytes->Length()), all.data());
    ret->text = text_decode(self->v8, all.data(), all.size());
}

// Returns the text of the module's "//# sourceMappingURL=" comment, or undefined.
v8::Local<v8::Value> comment_of(struct isolate *self, const File &file)
{
    if (file.module.IsEmpty())
        return v8::Undefined(self->v8);
    v8::Local<v8::Module> module = file.module.Get(self->v8);
    if (!module->IsSourceTextModule())
        return v8::Undefined(self->v8);
    return module->GetUnboundModuleScript()->GetSourceMappingURL();
}

// False if the file has no map.
bool find_map(struct isolate *self, const File &file, Found *ret)
{
    v8::Local<v8::Value> comment = comment_of(self, file);
    const File *map = nullptr;
    if (comment->IsString() && comment.As<v8::String>()->Length() > 0) {
        v8::Local<v8::String> url = comment.As<v8::String>();
        std::string text = to_std_string(self->v8, url);
        if (text.starts_with("data:")) {
            read_inline(self, url, ret);
            return true;
        }
        if (url->Length() > max_url_units) {
            ret->problem = "its URL is too long";
            return true;
        }
        const bool is_bare = text.find(':') == std::string::npos && !text.starts_with("/");
        map = files_resolve(self, file.path, is_bare ? "./" + text : text);
        if (!map) {
            ret->name = text;
            ret->problem = "it is not among the files";
            return true;
        }
    } else {
        map = files_find(self, file.path + ".map");
    }
    if (map)
        read_file(self, *map, ret);
    return map != nullptr;
}

v8::Local<v8::Value> text_or_undefined(v8::Isolate *v8, const std::string &text)
{
    v8::Local<v8::String> value;
    if (!text_decode(v8, reinterpret_cast<const uint8_t *>(text.data()), text.size())
             .ToLocal(&value))
        return v8::Undefined(v8);
    return value;
}

} // namespace

bool source_maps_may_be(const File &file)
{
    static constexpr std::string_view mark = "sourceMappingURL=";
    return file.path.ends_with(".map") ||
           (file.kind == FileKind::script &&
            memmem(file.source.data(), file.source.size(), mark.data(), mark.size()));
}

void native_has_source_maps(const Info &info)
{
    info.GetReturnValue().Set(isolate_from(info.GetIsolate())->has_source_maps);
}

void native_source_map(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    struct isolate *self = isolate_from(v8);
    const File *file = files_find(self, to_std_string(v8, info[0]));
    Found found;
    if (!file || file->kind != FileKind::script || !find_map(self, *file, &found))
        return;
    v8::Local<v8::String> text;
    v8::Local<v8::Value> value = v8::Undefined(v8);
    if (found.problem.empty()) {
        if (!found.text.ToLocal(&text))
            return; // an exception is pending
        value = text;
    }
    v8::Local<v8::Value> parts[] = { text_or_undefined(v8, found.name), value,
                                     text_or_undefined(v8, found.problem) };
    info.GetReturnValue().Set(v8::Array::New(v8, parts, std::size(parts)));
}

void native_find_origins(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    v8::Local<v8::Context> context = v8->GetCurrentContext();
    if (!info[0]->IsString() || !info[1]->IsArray())
        return;
    v8::Local<v8::Array> wanted = info[1].As<v8::Array>();
    std::vector<struct source_map_place> places(std::min(wanted->Length() / 2, max_places));
    for (uint32_t i = 0; i < places.size(); i++) {
        v8::Local<v8::Value> line;
        v8::Local<v8::Value> column;
        if (!wanted->Get(context, 2 * i).ToLocal(&line) ||
            !wanted->Get(context, 2 * i + 1).ToLocal(&column))
            return;
        places[i].line = line->IsUint32() ? line.As<v8::Uint32>()->Value() : 0;
        places[i].column = column->IsUint32() ? column.As<v8::Uint32>()->Value() : 0;
    }
    {
        v8::String::ValueView view(v8, info[0].As<v8::String>()); // flat: JSON.parse has made it
        if (!view.is_one_byte() ||
            source_map_find(reinterpret_cast<const char *>(view.data8()),
                            static_cast<size_t>(view.length()), places.data(), places.size()) < 0)
            return;
    }
    v8::LocalVector<v8::Value> flat(v8);
    for (const struct source_map_place &place : places) {
        flat.push_back(place.is_known ? v8::Integer::NewFromUnsigned(v8, place.source)
                                      : v8::Integer::New(v8, -1));
        flat.push_back(v8::Integer::NewFromUnsigned(v8, place.source_line));
        flat.push_back(v8::Integer::NewFromUnsigned(v8, place.source_column));
    }
    info.GetReturnValue().Set(v8::Array::New(v8, flat.data(), flat.size()));
}

void native_excerpt(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[1]->IsUint32() || !info[2]->IsUint32() || !info[3]->IsString())
        return;
    const Place place = {
        to_std_string(v8, info[0]),
        static_cast<int>(std::min<uint32_t>(info[1].As<v8::Uint32>()->Value(), INT32_MAX)),
        static_cast<int>(std::min<uint32_t>(info[2].As<v8::Uint32>()->Value(), INT32_MAX))
    };
    info.GetReturnValue().Set(
        text_or_undefined(v8, error_excerpt(v8, place, info[3].As<v8::String>())));
}
