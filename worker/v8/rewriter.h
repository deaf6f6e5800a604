// SPDX-License-Identifier: Apache-2.0
//
// The WebAssembly behind HTMLRewriter (worker/js/src/rewriter/): compiled once in the process, instantiated in the isolates of the
// tenants that use it, so that its memory and its CPU time are theirs. Main thread.
#pragma once

#include <v8.h>

#include <cstdint>
#include <span>

// Sets the code, which must outlive V8. Once, before there are isolates.
void rewriter_set_code(std::span<const uint8_t> code);

// __skep.openRewriter(): [the module, two that are between it and JavaScript].
void native_open_rewriter(const v8::FunctionCallbackInfo<v8::Value> &info);

// __skep.lendStacks(): has V8 add JavaScript Promise Integration to the context's WebAssembly, if that can be changed. The JS layer takes
// it away before the tenant runs.
void native_lend_stacks(const v8::FunctionCallbackInfo<v8::Value> &info);
