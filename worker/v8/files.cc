// SPDX-License-Identifier: Apache-2.0
//
// The files of a tenant, kept in memory and found by path or by import specifier, and its env. No
// path reaches outside of them.
#include "worker/v8/internal.h"

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
    if (type != "text" && type != "bytes") {
        *ret_problem = "'" + file->path + "' is not of type '" + type + "'";
        return nullptr;
    }
    File &variant = self->variants[file->path + '\0' + type];
    variant.path = file->path;
    variant.kind = type == "text" ? FileKind::text : FileKind::view;
    variant.origin = file;
    return &variant;
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

File *files_resolve(struct isolate *self, std::string_view referrer, std::string_view specifier)
{
    std::string path;
    // As other platforms want it, where "x.wasm" alone may be something else.
    if (specifier.ends_with(".wasm?module"))
        specifier.remove_suffix(sizeof("?module") - 1);
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
