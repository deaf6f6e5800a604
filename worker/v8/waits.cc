// SPDX-License-Identifier: Apache-2.0
//
// Requests that wait: whose promises are continued in an entry, and where async functions stand.
// Main thread.
#include "worker/v8/internal.h"

#include <v8-profiler.h>

#include <algorithm>
#include <cstdio>

// The few functions of V8's src/debug/debug-interface.h that tell the place of a suspended async
// function. The library has them; the public headers do not.
namespace v8::debug
{
class Location
{
  public:
    int GetLineNumber() const;
    int GetColumnNumber() const;
    bool IsEmpty() const;

  private:
    int line_number_;
    int column_number_;
    bool is_empty_;
};

class Script
{
  public:
    MaybeLocal<String> Name() const;
};

class GeneratorObject
{
  public:
    MaybeLocal<class Script> Script();
    Local<v8::Function> Function();
    Location SuspendedLocation();
    bool IsSuspended();
    static Local<GeneratorObject> Cast(Local<Value> value);
};
} // namespace v8::debug

static constexpr size_t places_max = 3;
static constexpr size_t name_max = 100;

static void on_promise(v8::PromiseHookType type, v8::Local<v8::Promise> promise,
                       v8::Local<v8::Value> parent)
{
    (void) parent;
    if (type != v8::PromiseHookType::kBefore)
        return;
    struct isolate *self = isolate_from(promise->GetIsolate());
    const uint64_t owner = entries_owner(self);
    if (owner != 0 && owner != self->request)
        self->ops->woken(self->host, owner);
}

void isolate_watch(struct isolate *self, bool is_on)
{
    v8::Isolate::Scope scope(self->v8);
    self->v8->SetPromiseHook(is_on ? on_promise : nullptr);
}

namespace
{
class Suspended : public v8::QueryObjectPredicate
{
  public:
    bool Filter(v8::Local<v8::Object> object) override
    {
        return object->IsGeneratorObject() &&
               v8::debug::GeneratorObject::Cast(object)->IsSuspended();
    }
};
} // namespace

// Returns "file:line:column (in name)"; "" for code that is not the tenant's.
static std::string place_of(struct isolate *self, v8::Local<v8::Object> object)
{
    v8::Local<v8::debug::GeneratorObject> generator = v8::debug::GeneratorObject::Cast(object);
    v8::Local<v8::debug::Script> script;
    v8::Local<v8::String> file;
    if (!generator->Script().ToLocal(&script) || !script->Name().ToLocal(&file))
        return "";
    const std::string name = to_std_string(self->v8, file);
    if (name == js_layer_name)
        return "";
    const v8::debug::Location at = generator->SuspendedLocation();
    std::string text = name + ":" + std::to_string(at.GetLineNumber() + 1) + ":" +
                       std::to_string(at.GetColumnNumber() + 1);
    const std::string function =
        to_std_string(self->v8, generator->Function()->GetName()).substr(0, name_max);
    return function.empty() ? text : text + " (in " + function + ")";
}

// Returns the place where the handler begins: nothing is left of the promise that it waits for.
static std::string place_of_handler(struct isolate *self)
{
    if (self->fetch.IsEmpty())
        return "";
    v8::Local<v8::Function> fetch = self->fetch.Get(self->v8);
    v8::Local<v8::Value> file = fetch->GetScriptOrigin().ResourceName();
    if (!file->IsString() || fetch->GetScriptLineNumber() < 0)
        return "";
    return "an await of a promise that nothing refers to, in fetch (" +
           to_std_string(self->v8, file) + ":" + std::to_string(fetch->GetScriptLineNumber() + 1) +
           ":" + std::to_string(fetch->GetScriptColumnNumber() + 1) + ") or what it calls";
}

void isolate_where(struct isolate *self, char *text, size_t size)
{
    v8::Isolate::Scope scope(self->v8);
    v8::HandleScope handles(self->v8);
    v8::Local<v8::Context> context = self->context.Get(self->v8);
    v8::Context::Scope context_scope(context);
    v8::TryCatch try_catch(self->v8);
    Suspended suspended;
    std::vector<v8::Global<v8::Object>> found;
    std::vector<std::string> places;
    std::string all;

    self->v8->GetHeapProfiler()->QueryObjects(context, &suspended, &found);
    for (const v8::Global<v8::Object> &object : found) {
        std::string place = place_of(self, object.Get(self->v8));
        if (place.empty() || std::find(places.begin(), places.end(), place) != places.end())
            continue;
        if (places.size() == places_max)
            break;
        all += (places.empty() ? "" : ", ") + place;
        places.push_back(std::move(place));
    }
    // A promise that nobody can resolve is garbage, and so are the functions that wait for it.
    if (places.empty())
        all = place_of_handler(self);
    (void) snprintf(text, size, "%s", all.c_str());
}
