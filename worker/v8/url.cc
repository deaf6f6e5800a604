// SPDX-License-Identifier: Apache-2.0
//
// The natives of URL and URLSearchParams: worker/url does the work, on a copy of the text. Places of components go to the layer through an
// array that it shares with this file, because most callers need them and another array for each URL would cost more than the parser.
#include "worker/url/url.h"
#include "worker/v8/internal.h"
#include "worker/v8/natives.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

namespace
{

using Info = v8::FunctionCallbackInfo<v8::Value>;

constexpr size_t max_units = size_t{ 1 } << 25;
constexpr size_t n_places = sizeof(struct url_places) / sizeof(uint32_t);
constexpr size_t max_same_units =
    1024; // a string this short may be a rope or part of another: what it keeps is little
constexpr uint32_t max_strings = 16 * 1024;

constexpr int exception_pending = -ECANCELED; // beside the errors of worker/url

void throw_type(v8::Isolate *v8, const char *text)
{
    v8->ThrowException(v8::Exception::TypeError(literal(v8, text)));
}

void throw_range(v8::Isolate *v8, const char *text)
{
    v8->ThrowException(v8::Exception::RangeError(literal(v8, text)));
}

// The UTF-8 of a string.
class Utf8
{
  public:
    // False with an exception pending.
    bool read(struct isolate *self, v8::Local<v8::Value> value)
    {
        if (!value->IsString()) {
            throw_type(self->v8, "not a string");
            return false;
        }
        v8::Local<v8::String> string = value.As<v8::String>();
        const size_t length = static_cast<size_t>(string->Length());
        // Copies are up to twelve times as long.
        if (length > std::min(max_units, self->allocator->limit() / 4)) {
            throw_range(self->v8, "The text is too long");
            return false;
        }
        if (length <= sizeof(small_) && string->IsOneByte()) {
            string->WriteOneByteV2(self->v8, 0, static_cast<uint32_t>(length), small_);
            if (text_is_ascii(small_, length)) {
                set(small_, length);
                return true;
            }
        }
        large_.clear();
        text_append_utf8(self->v8, string, &large_);
        set(large_.data(), large_.size());
        return true;
    }
    struct url_span span() const
    {
        return span_;
    }

  private:
    void set(const uint8_t *data, size_t size)
    {
        span_ = { size == 0 ? "" : reinterpret_cast<const char *>(data), size };
    }
    uint8_t small_[512];
    std::vector<uint8_t> large_;
    struct url_span span_ = { "", 0 };
};

// A text of worker/url, in room of its own while it is short.
class Text
{
  public:
    explicit Text(const struct url_caller *caller)
    {
        url_text_init(&url.text, room_, sizeof(room_), caller);
    }
    ~Text()
    {
        url_text_done(&url.text);
    }
    Text(const Text &) = delete;
    void operator=(const Text &) = delete;

    struct url_text *text()
    {
        return &url.text;
    }

    struct url url = {};

  private:
    char room_[1024];
};

bool is_stopped(void *owner)
{
    return static_cast<struct isolate *>(owner)->terminate_requested.load(
        std::memory_order_relaxed);
}

// Has the layer map a domain with characters beyond ASCII, or in Punycode.
int to_ascii(void *owner, struct url_span domain, struct url_text *out)
{
    struct isolate *self = static_cast<struct isolate *>(owner);
    v8::Isolate *v8 = self->v8;
    v8::HandleScope scope(v8);
    v8::Local<v8::String> text;
    v8::Local<v8::Value> got;

    if (!text_decode(v8, reinterpret_cast<const uint8_t *>(domain.data), domain.size)
             .ToLocal(&text))
        return exception_pending;
    v8::Local<v8::Value> argv[] = { text };
    if (!self->entries[ENTRY_TO_ASCII]
             .Get(v8)
             ->Call(v8->GetCurrentContext(), v8::Undefined(v8), 1, argv)
             .ToLocal(&got))
        return exception_pending;
    if (!got->IsString())
        return -EINVAL;
    Utf8 ascii;
    if (!ascii.read(self, got))
        return exception_pending;
    url_text_append(out, ascii.span());
    return out->error;
}

struct url_caller caller_of(struct isolate *self)
{
    return { to_ascii, is_stopped, self };
}

// Throws what an error of worker/url is for JavaScript: nothing for a text that is no URL, and for work that was stopped.
void throw_error(v8::Isolate *v8, int r)
{
    if (r == -EFBIG || r == -ENOMEM)
        throw_range(v8, "The URL is too long");
}

v8::MaybeLocal<v8::String> to_string(v8::Isolate *v8, const struct url_text &text)
{
    return text_from_latin1(v8, { reinterpret_cast<const uint8_t *>(text.data), text.size });
}

// Returns the text to the layer, or given if that is the same, and writes the places.
void return_url(const Info &info, const Text &url, v8::Local<v8::String> given,
                struct url_span bytes)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    const struct url_text &text = url.url.text;
    v8::Local<v8::String> href;

    if (bytes.size == text.size && text.size <= max_same_units &&
        static_cast<size_t>(given->Length()) == text.size &&
        memcmp(bytes.data, text.data, text.size) == 0)
        href = given;
    else if (!to_string(self->v8, text).ToLocal(&href))
        return;
    if (self->url_places)
        memcpy(self->url_places, &url.url.at, sizeof(url.url.at));
    info.GetReturnValue().Set(href);
}

} // namespace

// urlParse(text, base): the serialisation, or undefined for a text that is no URL. base: a text, or undefined.
void native_url_parse(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    const struct url_caller caller = caller_of(self);
    Utf8 input __attribute__((uninitialized));
    Text url __attribute__((uninitialized)) (&caller);
    int r = 0;

    if (!input.read(self, info[0]))
        return;
    if (info[1]->IsUndefined()) {
        r = url_parse(input.span(), nullptr, &url.url);
    } else {
        Utf8 base_input __attribute__((uninitialized));
        Text base __attribute__((uninitialized)) (&caller);
        if (!base_input.read(self, info[1]))
            return;
        r = url_parse(base_input.span(), nullptr, &base.url);
        if (r == 0)
            r = url_parse(input.span(), &base.url, &url.url);
    }
    if (r < 0)
        return throw_error(self->v8, r);
    return_url(info, url, info[0].As<v8::String>(), input.span());
}

bool url_split(struct isolate *self, v8::Local<v8::Value> text, UrlTarget *target)
{
    const struct url_caller caller = caller_of(self);
    Utf8 input __attribute__((uninitialized));
    Text parsed __attribute__((uninitialized)) (&caller);
    const struct url_places &at = parsed.url.at;

    if (!input.read(self, text))
        return false;
    const int r = url_parse(input.span(), nullptr, &parsed.url);
    const std::string_view href =
        r < 0 ? std::string_view() : std::string_view(parsed.text()->data, parsed.text()->size);
    const bool is_https = href.starts_with("https://");
    if (r < 0 && r != -EINVAL) {
        throw_error(self->v8, r);
        return false;
    }
    if ((!is_https && !href.starts_with("http://")) || at.host > at.username_end) {
        throw_type(self->v8, "A call needs a URL of http or https without credentials");
        return false;
    }
    target->scheme = is_https ? "https" : "http";
    target->host = href.substr(at.host, at.host_end - at.host);
    target->path = href.substr(at.pathname, at.hash - at.pathname);
    target->port = is_https ? 443 : 80;
    if (at.pathname > at.host_end) // ":" and digits: the parser leaves out the scheme's own port
        std::from_chars(href.data() + at.host_end + 1, href.data() + at.pathname, target->port);
    return true;
}

namespace
{

// urlSet(href, component, value): href, whose places are in the array, with another value of a component (enum url_component), or undefined if
// it stays as it is. value: a text, or undefined for no query, fragment or port.
void native_set(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    const struct url_caller caller = caller_of(self);
    Utf8 href;
    Utf8 value;
    Text old(&caller);
    Text url(&caller);

    if (!self->url_places || !info[1]->IsUint32() ||
        info[1].As<v8::Uint32>()->Value() > static_cast<uint32_t>(URL_HASH))
        return throw_type(self->v8, "not a component");
    memcpy(&old.url.at, self->url_places, sizeof(old.url.at));
    if (!href.read(self, info[0]) || (!info[2]->IsUndefined() && !value.read(self, info[2])))
        return;
    url_text_append(old.text(), href.span());
    if (!url_places_fit(&old.url.at, old.url.text.size))
        return throw_type(self->v8, "not the places of this URL");
    const int r =
        url_set(&old.url, static_cast<enum url_component>(info[1].As<v8::Uint32>()->Value()),
                info[2]->IsUndefined() ? url_span{ nullptr, 0 } : value.span(), &url.url);
    if (r < 0)
        return throw_error(self->v8, r);
    return_url(info, url, info[0].As<v8::String>(), href.span());
}

// urlOpaquePath(text): the text as an opaque path, up to the first "?" or "#".
void native_opaque_path(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    const struct url_caller caller = caller_of(self);
    Utf8 input;
    Text path(&caller);
    v8::Local<v8::String> text;

    if (!input.read(self, info[0]))
        return;
    url_append_opaque_path(path.text(), input.span());
    if (path.text()->error != 0)
        return throw_error(self->v8, path.text()->error);
    if (to_string(self->v8, *path.text()).ToLocal(&text))
        info.GetReturnValue().Set(text);
}

// Appends a name or a value of a form to the list. False with an exception pending.
bool push_decoded(struct isolate *self, struct url_span span, struct url_text *room,
                  std::vector<v8::Local<v8::Value>> *list)
{
    v8::Local<v8::String> string;

    if (memchr(span.data, '%', span.size) || memchr(span.data, '+', span.size)) {
        room->size = 0;
        url_form_decode(room, span);
        if (room->error != 0) {
            throw_error(self->v8, room->error);
            return false;
        }
        span = { room->data, room->size };
    }
    if (!text_decode(self->v8, reinterpret_cast<const uint8_t *>(span.data), span.size)
             .ToLocal(&string))
        return false;
    list->push_back(string);
    return true;
}

struct url_span part(struct url_span span, size_t from, size_t to)
{
    return { span.data + from, to - from };
}

size_t find(struct url_span span, size_t from, size_t end, char c)
{
    const void *found = memchr(span.data + from, c, end - from);
    return found ? static_cast<size_t>(static_cast<const char *>(found) - span.data) : end;
}

// formParse(text): the names and values of application/x-www-form-urlencoded, in turn, as one array. The caller has cut a long text into pieces.
void native_form_parse(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    std::vector<v8::Local<v8::Value>> list;
    Utf8 input __attribute__((uninitialized));
    Text room __attribute__((uninitialized)) (nullptr);

    if (!input.read(self, info[0]))
        return;
    const struct url_span text = input.span();
    list.reserve(16);
    for (size_t at = 0; at < text.size;) {
        const size_t end = find(text, at, text.size, '&');
        if (end > at) {
            const size_t equals = find(text, at, end, '=');
            if (list.size() >= max_strings)
                return throw_range(self->v8, "The form is too long");
            if (!push_decoded(self, part(text, at, equals), room.text(), &list) ||
                !push_decoded(self, part(text, std::min(equals + 1, end), end), room.text(), &list))
                return;
        }
        at = end + 1;
    }
    info.GetReturnValue().Set(v8::Array::New(self->v8, list.data(), list.size()));
}

// formSerialize(list, from, to): the text of the names and values from one place in such a list to another.
void native_form_serialize(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    const struct url_caller caller = caller_of(self);
    Text out __attribute__((uninitialized)) (&caller);
    Utf8 bytes __attribute__((uninitialized));
    v8::Local<v8::String> text;

    if (!info[0]->IsArray() || !info[1]->IsUint32() || !info[2]->IsUint32())
        return throw_type(self->v8, "not a list and two places");
    v8::Local<v8::Array> list = info[0].As<v8::Array>();
    const uint32_t from = info[1].As<v8::Uint32>()->Value();
    const uint32_t to = std::min(info[2].As<v8::Uint32>()->Value(), list->Length());
    for (uint32_t i = from; i < to; i++) {
        v8::HandleScope scope(self->v8);
        v8::Local<v8::Value> value;
        if (!list->Get(self->v8->GetCurrentContext(), i).ToLocal(&value) ||
            !bytes.read(self, value))
            return;
        if (i > from)
            url_text_append(out.text(), { (i - from) % 2 == 0 ? "&" : "=", 1 });
        url_form_encode(out.text(), bytes.span());
        if (out.text()->error != 0)
            return throw_error(self->v8, out.text()->error);
    }
    if (to_string(self->v8, *out.text()).ToLocal(&text))
        info.GetReturnValue().Set(text);
}

// urlPlaces(): an array of int32: where urlParse and urlSet write the places of components from now on, in the order of struct url_places. The
// caller keeps it.
void native_places(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    std::shared_ptr<v8::BackingStore> store = v8::ArrayBuffer::NewBackingStore(
        v8, n_places * sizeof(int32_t), v8::BackingStoreInitializationMode::kZeroInitialized,
        v8::BackingStoreOnFailureMode::kReturnNull);

    if (!store)
        return throw_range(v8, "Array buffer allocation failed");
    isolate_from(v8)->url_places = static_cast<int32_t *>(store->Data());
    info.GetReturnValue().Set(
        v8::Int32Array::New(v8::ArrayBuffer::New(v8, std::move(store)), 0, n_places));
}

const Native natives[] = {
    { "urlPlaces", native_places },
    { "urlSet", native_set },
    { "urlOpaquePath", native_opaque_path },
    { "formParse", native_form_parse },
    { "formSerialize", native_form_serialize },
};

} // namespace

void native_open_url(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    natives_return(info, natives);
}
