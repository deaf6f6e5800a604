// SPDX-License-Identifier: Apache-2.0
//
// Keys and digests in progress as JavaScript holds them: handles, objects without properties whose memory is outside V8's heap
// and goes with them, or with their isolate. worker/crypto does the work. Main thread, inside an entry.
#pragma once

#include <v8.h>

struct isolate;

// __skep.openCrypto(): the natives of Web Crypto, made at first use, because most isolates never need them.
void native_open_crypto(const v8::FunctionCallbackInfo<v8::Value> &info);

// Wipes and frees all keys of the isolate. Before it is disposed of.
void crypto_close(struct isolate *self);
