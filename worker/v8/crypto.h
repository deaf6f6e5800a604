// SPDX-License-Identifier: Apache-2.0
//
// Keys and digests in progress as JavaScript holds them: handles, objects without properties whose memory is outside V8's heap
// and goes with them, or with their isolate. worker/crypto does the work. Main thread, inside an entry.
#pragma once

#include <v8.h>

struct isolate;

// __skep.openCrypto(clone): the natives of Web Crypto, made at first use, because most isolates never need them.
// clone(from, to) is called when a key was cloned: both are handles of the same key.
void native_open_crypto(const v8::FunctionCallbackInfo<v8::Value> &info);

// True for the handle of a key.
bool crypto_is_key(struct isolate *self, v8::Local<v8::Value> value);
// Another handle of the same key, which the JS layer does not know yet. Empty with an exception pending.
v8::MaybeLocal<v8::Object> crypto_new_handle(struct isolate *self, v8::Local<v8::Object> key);
// Has the JS layer make a CryptoKey of that handle. False with an exception pending.
bool crypto_on_clone(struct isolate *self, v8::Local<v8::Object> key, v8::Local<v8::Object> clone);
// Wipes and frees all keys of the isolate. Before it is disposed of.
void crypto_close(struct isolate *self);
