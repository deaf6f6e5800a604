// SPDX-License-Identifier: Apache-2.0
//
// Faults of a tenant's files that can be told without running them: compiles each file, follows imports, links,
// looks for the default export of the entry module. No code of the tenant's runs.
#include "worker/v8/internal.h"

#include <algorithm>
#include <set>

namespace
{

class Check
{
  public:
    Check(struct isolate *self, const Entry &entry, isolate_problem_fn on_problem, void *owner)
        : self_(self), v8_(self->v8), context_(entry.context()), entry_(entry),
          on_problem_(on_problem), owner_(owner)
    {
    }
    bool may_listen() const;
    void check_main(File *main);
    // Checks the files that no import statement leads to: only import() could.
    void check_rest();
    void tell(const Place &place, const std::string &text);

  private:
    void check_graph(File *root);
    bool compile(File *file);
    void follow(const File &file, std::vector<File *> *todo);
    void tell_caught(const File &file, const v8::TryCatch &try_catch);
    Place place_of(const File &file, v8::Local<v8::Message> message);

    struct isolate *self_;
    v8::Isolate *v8_;
    v8::Local<v8::Context> context_;
    const Entry &entry_;
    isolate_problem_fn on_problem_;
    void *owner_;
    std::set<const File *> seen_;
    size_t told_ = 0;
    bool is_unused_ = false;
};

struct isolate_bytes bytes_of(const std::string &text)
{
    return { reinterpret_cast<const uint8_t *>(text.data()), text.size() };
}

void Check::tell(const Place &place, const std::string &text)
{
    const struct isolate_problem problem = {
        .file = bytes_of(place.file),
        .text = bytes_of(text),
        .line = static_cast<uint32_t>(place.line),
        .column = static_cast<uint32_t>(place.column),
        .is_unused = is_unused_,
    };
    told_++;
    on_problem_(owner_, &problem);
}

// Returns V8's place if that is in a file of the tenant, else the file as a whole.
Place Check::place_of(const File &file, v8::Local<v8::Message> message)
{
    Place place = { file.path, 0, 0 };
    v8::Local<v8::Value> name = message->GetScriptResourceName();
    const std::string path =
        !name.IsEmpty() && name->IsString() ? to_std_string(v8_, name) : std::string();
    const int line = message->GetLineNumber(context_).FromMaybe(0);
    // JSON has no name, and is its own source.
    if (line <= 0 || (file.kind != FileKind::json && !files_find(self_, path)))
        return place;
    if (file.kind != FileKind::json)
        place.file = path;
    place.line = line;
    place.column = std::max(0, message->GetStartColumn(context_).FromMaybe(0)) + 1;
    return place;
}

void Check::tell_caught(const File &file, const v8::TryCatch &try_catch)
{
    static constexpr std::string_view uncaught = "Uncaught ";
    v8::Local<v8::Message> message = try_catch.Message();
    if (entry_.is_terminated() || try_catch.HasTerminated() || message.IsEmpty())
        return;
    std::string text = to_std_string(v8_, message->Get());
    if (text.starts_with(uncaught))
        text.erase(0, uncaught.size());
    tell(place_of(file, message), text);
}

bool Check::compile(File *file)
{
    v8::TryCatch try_catch(v8_);
    v8::Local<v8::Value> value;
    if (!seen_.insert(file).second)
        return false;
    if (!modules_compile(self_, file).IsEmpty() &&
        (file->kind == FileKind::script || file->kind == FileKind::buffer ||
         file->kind == FileKind::view || file->kind == FileKind::builtin ||
         modules_data(self_, context_, *file).ToLocal(&value)))
        return true;
    tell_caught(*file, try_catch);
    return false;
}

void Check::follow(const File &file, std::vector<File *> *todo)
{
    const int n = file.module.Get(v8_)->GetModuleRequests()->Length();
    for (int i = 0; i < n && !entry_.is_terminated(); i++) {
        const Import import = modules_import(self_, context_, file, i);
        if (!import.problem.empty())
            tell(import.place, import.problem + import.hint);
        else if (compile(import.file))
            todo->push_back(import.file);
    }
}

void Check::check_graph(File *root)
{
    const size_t told = told_;
    if (!compile(root))
        return;
    for (std::vector<File *> todo = { root }; !todo.empty() && !entry_.is_terminated();) {
        v8::HandleScope scope(v8_);
        const File *file = todo.back();
        todo.pop_back();
        if (file->kind == FileKind::script)
            follow(*file, &todo);
    }
    // V8 could not link a file that does not compile, or is not there.
    if (told_ > told || root->kind != FileKind::script || entry_.is_terminated())
        return;
    v8::TryCatch try_catch(v8_);
    if (!modules_link(context_, root->module.Get(v8_)))
        tell_caught(*root, try_catch);
}

// True if some module may register a listener for fetch events; only running it would tell.
bool Check::may_listen() const
{
    return std::any_of(seen_.begin(), seen_.end(), [](const File *file) {
        return file->kind == FileKind::script &&
               file->text().find("addEventListener") != std::string::npos;
    });
}

void Check::check_main(File *main)
{
    check_graph(main);
    if (told_ > 0 || entry_.is_terminated())
        return;
    v8::Local<v8::Object> space = main->module.Get(v8_)->GetModuleNamespace().As<v8::Object>();
    if (!space->Has(context_, literal(v8_, "default")).FromMaybe(true) && !may_listen())
        tell({ main->path, 0, 0 },
             "no default export: expected export default { fetch(request, env, ctx) { … } } or "
             "addEventListener(\"fetch\", …)");
}

void Check::check_rest()
{
    const bool is_main_good = told_ == 0;
    is_unused_ = true;
    for (auto &[path, file] : self_->files) {
        v8::HandleScope scope(v8_);
        if (entry_.is_terminated())
            return;
        // With a fault in the main module, nobody knows yet where its imports lead.
        if (is_main_good && !seen_.contains(&file))
            check_graph(&file);
    }
}

} // namespace

enum isolate_result isolate_check(struct isolate *self, struct isolate_bytes main_path,
                                  isolate_problem_fn on_problem, void *owner)
{
    Entry entry(self, 0);
    Check check(self, entry, on_problem, owner);
    const std::string path(reinterpret_cast<const char *>(main_path.data), main_path.size);
    File *main = files_find(self, path);
    if (main && main->kind == FileKind::script) {
        check.check_main(main);
        check.check_rest();
    } else {
        check.tell({ path, 0, 0 }, main ? "the main module must be a .js or .mjs file"
                                        : "the main module is not among the files");
    }
    return entry.finish();
}
