// SPDX-License-Identifier: Apache-2.0
// See rewriter.h.
#include "worker/v8/rewriter.h"

#include "worker/v8/internal.h"

namespace
{

// Modules between JavaScript and the rewriter. The first calls functions of JavaScript for it, and waits for what they return unless
// that is null: a call that V8 may have to suspend always is.
//   (import "a" "c" (func $call (param externref externref externref) (result externref)))
//   (import "a" "p" (func $wait (param externref) (result externref)))
//   (func (export "c") (param externref externref externref) (result externref) (local externref)
//     (if (result externref) (ref.is_null (local.tee 3 (call $call (local.get 0) (local.get 1) (local.get 2))))
//       (then (ref.null extern))
//       (else (call $wait (local.get 3)))))
const uint8_t caller_code[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,                         // header
    0x01, 0x0d, 0x02,                                                       // types
    0x60, 0x03, 0x6f, 0x6f, 0x6f, 0x01, 0x6f,                               // 0: call
    0x60, 0x01, 0x6f, 0x01, 0x6f,                                           // 1: wait
    0x02, 0x0d, 0x02,                                                       // imports
    0x01, 'a',  0x01, 'c',  0x00, 0x00, 0x01, 'a',  0x01, 'p',  0x00, 0x01, //
    0x03, 0x02, 0x01, 0x00,                                                 // function
    0x07, 0x05, 0x01, 0x01, 'c',  0x00, 0x02,                               // export
    0x0a, 0x1b, 0x01, 0x19, 0x01, 0x01, 0x6f,                               // code
    0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0x10, 0x00, 0x22, 0x03,             //
    0xd1, 0x04, 0x6f, 0xd0, 0x6f, 0x05, 0x20, 0x03, 0x10, 0x01, 0x0b, 0x0b, //
};

// The second calls write() and end(), which give two numbers; a promise of them would be an array, in which V8 looks for a "then" that
// may be the tenant's. Here they go to a function, and the promise is of nothing.
//   (import "a" "w" (func $write (param i32 i32 i32) (result i32 i32)))
//   (import "a" "e" (func $end (param i32) (result i32 i32)))
//   (import "a" "d" (func $done (param i32 i32)))
//   (func (export "w") (param i32 i32 i32) (call $done (call $write (local.get 0) (local.get 1) (local.get 2))))
//   (func (export "e") (param i32) (call $done (call $end (local.get 0))))
const uint8_t bridge_code[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,             // header
    0x01, 0x1e, 0x05,                                           // types
    0x60, 0x03, 0x7f, 0x7f, 0x7f, 0x02, 0x7f, 0x7f,             // 0: write
    0x60, 0x01, 0x7f, 0x02, 0x7f, 0x7f,                         // 1: end
    0x60, 0x02, 0x7f, 0x7f, 0x00,                               // 2: done
    0x60, 0x03, 0x7f, 0x7f, 0x7f, 0x00,                         // 3: w
    0x60, 0x01, 0x7f, 0x00,                                     // 4: e
    0x02, 0x13, 0x03,                                           // imports
    0x01, 'a',  0x01, 'w',  0x00, 0x00,                         // function 0
    0x01, 'a',  0x01, 'e',  0x00, 0x01,                         // 1
    0x01, 'a',  0x01, 'd',  0x00, 0x02,                         // 2
    0x03, 0x03, 0x02, 0x03, 0x04,                               // functions 3, 4
    0x07, 0x09, 0x02,                                           // exports
    0x01, 'w',  0x00, 0x03, 0x01, 'e',  0x00, 0x04,             //
    0x0a, 0x17, 0x02,                                           // code
    0x0c, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0x10, 0x00, // w
    0x10, 0x02, 0x0b,                                           //
    0x08, 0x00, 0x20, 0x00, 0x10, 0x01, 0x10, 0x02, 0x0b,       // e
};

// A module of skep's own. Isolates share what V8 has compiled of it, also the functions that one of them is the first to call.
struct Module {
    std::span<const uint8_t> code;
    v8::CompiledWasmModule *compiled =
        nullptr; // never freed: it may not go before V8's engine, which nobody ends
};

Module modules[] = { {}, { caller_code }, { bridge_code } }; // the first: the rewriter's

v8::MaybeLocal<v8::WasmModuleObject> open_module(v8::Isolate *v8, Module *module)
{
    if (module->compiled)
        return v8::WasmModuleObject::FromCompiledModule(v8, *module->compiled);
    // The tenant that comes first pays with its CPU time; the memory outlives its isolate and is nobody's.
    const NobodysPages nobody;
    const uint32_t before = memory_enter(MEMORY_OWN);
    v8::MaybeLocal<v8::WasmModuleObject> made =
        v8::WasmModuleObject::Compile(v8, { module->code.data(), module->code.size() });
    v8::Local<v8::WasmModuleObject> object;
    if (made.ToLocal(&object))
        module->compiled = new v8::CompiledWasmModule(object->GetCompiledModule());
    memory_leave(before);
    return made;
}

} // namespace

void rewriter_set_code(std::span<const uint8_t> code)
{
    modules[0].code = code;
}

void native_open_rewriter(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    v8::Local<v8::Value> values[std::size(modules)];
    for (size_t i = 0; i < std::size(modules); i++) {
        v8::Local<v8::WasmModuleObject> module;
        if (!open_module(v8, &modules[i]).ToLocal(&module))
            return;
        values[i] = module;
    }
    info.GetReturnValue().Set(v8::Array::New(v8, values, std::size(values)));
}

void native_lend_stacks(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    v8->SetWasmJSPIEnabledCallback([](v8::Local<v8::Context>) { return true; });
    v8->InstallConditionalFeatures(v8->GetCurrentContext());
    v8->SetWasmJSPIEnabledCallback([](v8::Local<v8::Context>) { return false; });
}
