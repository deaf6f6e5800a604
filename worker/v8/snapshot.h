// SPDX-License-Identifier: Apache-2.0
//
// The file that skep-mksnapshot writes and the worker carries: V8's startup snapshot and, behind
// it, the source of the JS layer, which the snapshot refers to and does not contain, and the code of
// HTMLRewriter.
#pragma once

#include "worker/isolate.h"

#include <v8.h>

#include <string>
#include <string_view>

constexpr uint64_t snapshot_magic = 0x32706e7370656b73; // "skepsnp2"
constexpr size_t snapshot_align = 64;

struct snapshot_header {
    uint64_t magic;
    uint64_t v8_size;       // bytes of V8's blob, which starts at snapshot_align
    uint64_t bundle_size;   // bytes of the JS layer's source, next after it
    uint64_t rewriter_size; // bytes of the WebAssembly of HTMLRewriter, next after that
    char v8_version[32];
};
static_assert(sizeof(struct snapshot_header) == snapshot_align);

// Sets the source that external strings refer to; must outlive V8. ASCII.
void snapshot_set_bundle(std::string_view source);
// The source of the JS layer as an external string: no isolate has a copy of it.
v8::MaybeLocal<v8::String> snapshot_bundle_string(v8::Isolate *v8);

// Reads the file's parts. 0, or -EINVAL if the file is not skep's or not for this V8.
int snapshot_open(struct isolate_bytes file);
// Returns V8's part of the file; NULL before snapshot_open.
const v8::StartupData *snapshot_blob();

// Writes the file. Registered entries are kept as data of the context, at the index of enum entry.
std::string snapshot_write(const v8::StartupData &blob, std::string_view bundle,
                           std::string_view rewriter);
