// SPDX-License-Identifier: Apache-2.0
//
// See lend_natives.h. In test programs only: no isolate that serves has these on its global object.
#include "worker/v8/testing/lend_natives.h"

#include "worker/v8/internal.h"
#include "worker/v8/natives.h"

#include <cerrno>

// The natives of openCrypto() or openCompress() beside the others.
static bool add_opened(struct isolate *self, v8::Local<v8::Context> context,
                       v8::Local<v8::Object> natives, const char *opener)
{
    v8::Local<v8::Value> open;
    v8::Local<v8::Value> made;
    v8::Local<v8::Array> names;
    if (!natives->Get(context, literal(self->v8, opener)).ToLocal(&open) ||
        !open.As<v8::Function>()->Call(context, natives, 0, nullptr).ToLocal(&made) ||
        !made.As<v8::Object>()->GetOwnPropertyNames(context).ToLocal(&names))
        return false;
    for (uint32_t i = 0; i < names->Length(); i++) {
        v8::Local<v8::Value> name;
        v8::Local<v8::Value> native;
        if (!names->Get(context, i).ToLocal(&name) ||
            !made.As<v8::Object>()->Get(context, name).ToLocal(&native) ||
            !natives->CreateDataProperty(context, name.As<v8::Name>(), native).FromMaybe(false))
            return false;
    }
    return true;
}

int isolate_lend_natives(struct isolate *self)
{
    v8::Isolate::Scope isolate_scope(self->v8);
    v8::HandleScope handle_scope(self->v8);
    v8::Local<v8::Context> context = self->context.Get(self->v8);
    v8::Context::Scope context_scope(context);
    v8::Local<v8::Object> natives;
    if (!natives_new(self->v8, context).ToLocal(&natives) ||
        !add_opened(self, context, natives, "openCrypto") ||
        !add_opened(self, context, natives, "openCompress") ||
        context->Global()
            ->CreateDataProperty(context, literal(self->v8, "__skep"), natives)
            .IsNothing())
        return -ENOMEM;
    return 0;
}
