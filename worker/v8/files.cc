// SPDX-License-Identifier: Apache-2.0
//
// The files of a tenant, kept in memory and found by path or by import specifier, and its env. No
// path reaches outside of them.
#include "worker/v8/internal.h"

#include <algorithm>
#include <cerrno>

static constexpr size_t max_path_bytes = 1024;
static constexpr char url_prefix[] = "file:///";

static FileKind kind_of(std::string_view path)
{
    if (path.ends_with(".js") || path.ends_with(".mjs"))
        return FileKind::script;
    if (path.ends_with(".json"))
        return FileKind::json;
    if (path.ends_with(".wasm"))
        return FileKind::wasm;
    for (const char *suffix :
         { ".txt", ".html", ".css", ".svg", ".md", ".sql", ".graphql", ".xml", ".csv" })
        if (path.ends_with(suffix))
            return FileKind::text;
    return FileKind::buffer;
}

// Sources that a bundler makes modules of. As bytes, they would only surprise.
static bool is_for_bundler(std::string_view path)
{
    for (const char *suffix : { ".cjs", ".cts", ".jsx", ".mts", ".ts", ".tsx" })
        if (path.ends_with(suffix))
            return true;
    return false;
}

static bool is_own_type(FileKind kind, const std::string &type)
{
    return type.empty() || (kind == FileKind::json && type == "json") ||
           (kind == FileKind::text && type == "text") ||
           (kind == FileKind::wasm && type == "webassembly");
}

// Returns the module of its own that a file is with that suffix, or imported as that type.
static File *variant_of(struct isolate *self, const File &file, const std::string &suffix,
                        const std::string &type)
{
    File &variant = self->variants[file.path + '\0' + suffix + '\0' + type];
    variant.path = file.path;
    variant.suffix = suffix;
    variant.kind = file.kind;
    variant.origin = file.origin ? file.origin : &file;
    return &variant;
}

File *files_typed(struct isolate *self, File *file, const std::string &type,
                  std::string *ret_problem)
{
    if (type.empty() && file->kind == FileKind::buffer && is_for_bundler(file->path)) {
        *ret_problem = "'" + file->path +
                       "' is no ES module: bundle it, for instance with esbuild --bundle "
                       "--format=esm";
        return nullptr;
    }
    if (is_own_type(file->kind, type))
        return file;
    if ((type != "text" && type != "bytes") || file->kind == FileKind::builtin) {
        *ret_problem = "'" + file->path + "' is not of type '" + type + "'";
        return nullptr;
    }
    File *variant = variant_of(self, *file, file->suffix, type);
    variant->kind = type == "text" ? FileKind::text : FileKind::view;
    return variant;
}

// Makes "lib/b.js" of "lib/a/../b.js". False if the path leaves the tenant's folder.
static bool normalise(std::string_view path, std::string *ret)
{
    std::vector<std::string_view> parts;
    while (!path.empty()) {
        const size_t slash = path.find('/');
        std::string_view part = path.substr(0, slash);
        path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
        if (part.empty() || part == ".")
            continue;
        if (part != "..") {
            parts.push_back(part);
            continue;
        }
        if (parts.empty())
            return false;
        parts.pop_back();
    }
    ret->clear();
    for (std::string_view part : parts) {
        if (!ret->empty())
            *ret += '/';
        *ret += part;
    }
    return true;
}

File *files_find(struct isolate *self, std::string_view path)
{
    auto it = self->files.find(path);
    return it == self->files.end() ? nullptr : &it->second;
}

// ---- specifiers as URLs

static bool is_escaped(unsigned char c, std::string_view also)
{
    return c <= 0x20 || c >= 0x7f || also.find(static_cast<char>(c)) != std::string_view::npos;
}

static std::string percent_encode(std::string_view text, std::string_view also)
{
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (unsigned char c : text) {
        if (is_escaped(c, also))
            out.append({ '%', digits[c >> 4], digits[c & 15] });
        else
            out += static_cast<char>(c);
    }
    return out;
}

std::string files_url(const File &file)
{
    return url_prefix + percent_encode(file.path, "%\"#<>?\\^`{|}") + file.suffix;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// Decodes each "%41"; what is none stays. An encoded slash is left as it is: no file has it in its
// name.
static std::string percent_decode(std::string_view text)
{
    std::string out;
    for (size_t i = 0; i < text.size(); i++) {
        const bool is_code = text[i] == '%' && i + 2 < text.size() && digit_of(text[i + 1]) >= 0 &&
                             digit_of(text[i + 2]) >= 0;
        const char c =
            is_code ? static_cast<char>(digit_of(text[i + 1]) * 16 + digit_of(text[i + 2])) : '\0';
        if (!is_code || c == '/' || c == '\0') {
            out += text[i];
            continue;
        }
        out += c;
        i += 2;
    }
    return out;
}

// Finds the file of a specifier that is a path or a file URL.
static File *find_at(struct isolate *self, std::string_view referrer, std::string_view specifier)
{
    std::string path;
    if (specifier.starts_with(url_prefix))
        return normalise(specifier.substr(sizeof(url_prefix) - 1), &path) ? files_find(self, path)
                                                                          : nullptr;
    if (specifier.starts_with("/"))
        return normalise(specifier, &path) ? files_find(self, path) : nullptr;
    if (specifier.starts_with("./") || specifier.starts_with("../")) {
        const size_t slash = referrer.rfind('/');
        std::string from(slash == std::string_view::npos ? "" : referrer.substr(0, slash + 1));
        return normalise(from.append(specifier), &path) ? files_find(self, path) : nullptr;
    }
    return nullptr;
}

// Returns the module of the JS layer with that name.
static File *builtin(struct isolate *self, std::string_view name)
{
    File &file = self->variants[std::string(name)]; // files have a NUL in their keys there
    file.path = name;
    file.kind = FileKind::builtin;
    return &file;
}

File *files_resolve(struct isolate *self, std::string_view referrer, std::string_view specifier)
{
    if (specifier == files_async_hooks)
        return builtin(self, specifier);
    // As other platforms want it, where "x.wasm" alone may be something else.
    if (specifier.ends_with(".wasm?module"))
        specifier.remove_suffix(sizeof("?module") - 1);
    const size_t end = std::min(specifier.find_first_of("?#"), specifier.size());
    if (File *file = find_at(self, referrer, percent_decode(specifier.substr(0, end)))) {
        const std::string suffix = percent_encode(specifier.substr(end), "\"<>");
        return suffix.empty() ? file : variant_of(self, *file, suffix, "");
    }
    // The name of a file as it is: "./100%.txt", "./a#b.txt".
    if (File *file = find_at(self, referrer, specifier))
        return file;
    for (const char *suffix : { "", ".js", ".mjs" })
        if (File *file = files_find(self, std::string(specifier) + suffix))
            return file;
    return nullptr;
}

v8::MaybeLocal<v8::Object> files_env(struct isolate *self, v8::Local<v8::Context> context)
{
    v8::Local<v8::Object> env = v8::Object::New(self->v8);
    for (const auto &[name, value] : self->env) {
        v8::Local<v8::String> key;
        v8::Local<v8::String> text;
        if (!text_decode(self->v8, reinterpret_cast<const uint8_t *>(name.data()), name.size())
                 .ToLocal(&key) ||
            !text_decode(self->v8, reinterpret_cast<const uint8_t *>(value.data()), value.size())
                 .ToLocal(&text) ||
            env->CreateDataProperty(context, key, text).IsNothing())
            return {};
    }
    return env;
}

v8::MaybeLocal<v8::Array> files_bindings(struct isolate *self)
{
    v8::LocalVector<v8::Value> flat(self->v8);
    for (const auto &[name, kind] : self->bindings) {
        v8::Local<v8::String> key;
        if (!text_decode(self->v8, reinterpret_cast<const uint8_t *>(name.data()), name.size())
                 .ToLocal(&key))
            return {};
        flat.push_back(key);
        flat.push_back(v8::Integer::NewFromUnsigned(self->v8, kind));
    }
    return v8::Array::New(self->v8, flat.data(), flat.size());
}

int isolate_add_file(struct isolate *self, struct isolate_bytes path, struct isolate_bytes source)
{
    Payer payer(self);
    std::string name(reinterpret_cast<const char *>(path.data), path.size);
    std::string normal;
    if (name.empty() || name.size() > max_path_bytes || !normalise(name, &normal) ||
        normal != name || !text_is_utf8(path.data, path.size) || source.size > INT32_MAX)
        return -EINVAL;
    if (self->files.contains(name))
        return -EEXIST;
    File &file = self->files[name];
    file.path = std::move(name);
    file.source.assign(reinterpret_cast<const char *>(source.data), source.size);
    file.kind = kind_of(file.path);
    self->has_source_maps |= source_maps_may_be(file);
    return 0;
}

int isolate_set_env(struct isolate *self, const struct isolate_env *env, size_t n_env)
{
    Payer payer(self);
    self->env.clear();
    for (size_t i = 0; i < n_env; i++)
        self->env.emplace_back(
            std::string(reinterpret_cast<const char *>(env[i].name.data), env[i].name.size),
            std::string(reinterpret_cast<const char *>(env[i].value.data), env[i].value.size));
    return 0;
}

void isolate_set_bindings(struct isolate *self, const struct isolate_binding *bindings, size_t n)
{
    Payer payer(self);
    self->bindings.clear();
    for (size_t i = 0; i < n; i++)
        self->bindings.emplace_back(
            std::string(reinterpret_cast<const char *>(bindings[i].name.data),
                        bindings[i].name.size),
            bindings[i].kind);
}
