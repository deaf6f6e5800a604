// SPDX-License-Identifier: Apache-2.0
//
// The functions that the JS layer gets as __skep (worker/js/README.md). Called inside an entry.
#pragma once

#include <v8.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Makes the object __skep. The functions are in the snapshot by their index in the references.
v8::MaybeLocal<v8::Object> natives_new(v8::Isolate *v8, v8::Local<v8::Context> context);
void natives_add_references(std::vector<intptr_t> *references);

struct Native {
    const char *name;
    v8::FunctionCallback callback;
};
// Returns to JavaScript an object of these natives, which a part of the layer opens when it is first needed.
void natives_return(const v8::FunctionCallbackInfo<v8::Value> &info,
                    std::span<const Native> natives);

// encodings.cc
void native_find_encoding(const v8::FunctionCallbackInfo<v8::Value> &info);
void native_decode(const v8::FunctionCallbackInfo<v8::Value> &info);

// url.cc
void native_url_parse(const v8::FunctionCallbackInfo<v8::Value> &info);
void native_open_url(const v8::FunctionCallbackInfo<v8::Value> &info);

// The parts of a URL that a call is made of.
struct UrlTarget {
    std::string scheme;
    std::string host;
    std::string path; // with the query
    uint32_t port;    // or the scheme's own
};
// Splits a text as a URL, by the parser of class URL. May run JavaScript of the layer (toAscii). False with an exception pending: the text is no
// URL, or one of another scheme than http and https, or one with credentials.
bool url_split(struct isolate *self, v8::Local<v8::Value> text, UrlTarget *target);

// serializer.cc
void native_structured_clone(const v8::FunctionCallbackInfo<v8::Value> &info);
