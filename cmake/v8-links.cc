// SPDX-License-Identifier: Apache-2.0
// FindV8.cmake links this to see whether this system has all that V8 needs. Nothing runs it.
#include <libplatform/libplatform.h>
#include <v8.h>

#include <memory>

int main()
{
    std::unique_ptr<v8::Platform> platform = v8::platform::NewDefaultPlatform();
    v8::V8::InitializePlatform(platform.get());
    v8::V8::Initialize();
    v8::Isolate::CreateParams params;
    params.array_buffer_allocator = v8::ArrayBuffer::Allocator::NewDefaultAllocator();
    v8::Isolate *isolate = v8::Isolate::New(params);
    {
        v8::Isolate::Scope isolate_scope(isolate);
        v8::HandleScope handle_scope(isolate);
        v8::Local<v8::Context> context = v8::Context::New(isolate);
        v8::Context::Scope context_scope(context);
        v8::Local<v8::String> source = v8::String::NewFromUtf8Literal(isolate, "1");
        v8::Local<v8::Script> script;
        if (v8::Script::Compile(context, source).ToLocal(&script))
            (void) script->Run(context);
    }
    isolate->Dispose();
    v8::V8::Dispose();
    v8::V8::DisposePlatform();
    return 0;
}
