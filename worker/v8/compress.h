// SPDX-License-Identifier: Apache-2.0
//
// Compressors and decompressors as the JS layer holds them: handles, objects without properties whose memory is outside V8's
// heap and goes with them, or with their isolate. worker/compress does the work. Main thread, inside an entry.
#pragma once

#include <v8.h>

struct isolate;

// __skep.openCompress(): the natives of CompressionStream, made at first use, because most isolates never need them.
void native_open_compress(const v8::FunctionCallbackInfo<v8::Value> &info);

// Frees all streams of the isolate. Before it is disposed of.
void compress_close(struct isolate *self);
