// SPDX-License-Identifier: Apache-2.0
//
// See lend_natives.h. In test programs only: no isolate that serves has these on its global object.
#include "worker/v8/testing/lend_natives.h"

#include "worker/v8/internal.h"
#include "worker/v8/natives.h"

#include <cerrno>

int isolate_lend_natives(struct isolate *self)
{
    v8::Isolate::Scope isolate_scope(self->v8);
    v8::HandleScope handle_scope(self->v8);
    v8::Local<v8::Context> context = self->context.Get(self->v8);
    v8::Context::Scope context_scope(context);
    v8::Local<v8::Object> natives;
    if (!natives_new(self->v8, context).ToLocal(&natives) ||
        context->Global()
            ->CreateDataProperty(context, literal(self->v8, "__skep"), natives)
            .IsNothing())
        return -ENOMEM;
    return 0;
}
