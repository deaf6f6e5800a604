// SPDX-License-Identifier: Apache-2.0
//
// structuredClone(value, buffers, describe, receive, fail) with V8's own serialiser. The JS layer knows which objects are
// platform objects, and clones them; its functions are called while V8 writes, and before it reads, since no JavaScript may
// run while it reads.
#include "worker/v8/internal.h"
#include "worker/v8/natives.h"

#include <cstring>

namespace
{

// Below, a second copy costs less than the rest of the work.
constexpr size_t direct_clone_min = 16 * 1024;

// One call of the native.
struct Operation {
    struct isolate *self;
    v8::Local<v8::Context> context;
    v8::Local<v8::Value> describe;
    v8::Local<v8::Value> receive;
    v8::Local<v8::Value> fail;

    // Platform objects in the order in which they were met: a clone, or the number of an object
    // that receive() returns. V8 has a scope of handles for each object that it writes.
    std::vector<v8::Global<v8::Value>> met;
    std::vector<v8::CompiledWasmModule> modules;
};

// Throws what the layer makes of a message for a value that cannot be cloned.
void throw_failure(const Operation *operation, v8::Local<v8::String> message)
{
    v8::Isolate *v8 = operation->self->v8;
    v8::Local<v8::Value> error;
    v8::Local<v8::Value> argv[] = { message };
    if (!operation->fail->IsFunction())
        v8->ThrowException(v8::Exception::Error(message));
    else if (operation->fail.As<v8::Function>()
                 ->Call(operation->context, v8::Undefined(v8), 1, argv)
                 .ToLocal(&error))
        v8->ThrowException(error);
}

void throw_failure(const Operation *operation, const char *message)
{
    throw_failure(operation, literal(operation->self->v8, message));
}

class SerializerDelegate final : public v8::ValueSerializer::Delegate
{
  public:
    explicit SerializerDelegate(Operation *operation)
        : operation_(operation), self_(operation->self),
          plain_(v8::Object::New(self_->v8)->GetPrototypeV2()), ordinary_(self_->v8, plain_)
    {
    }
    ~SerializerDelegate() override
    {
        if (block_)
            allocator_return_block(block_, taken_);
        self_->allocator->give_back(taken_);
    }

    void ThrowDataCloneError(v8::Local<v8::String> message) override
    {
        throw_failure(operation_, message);
    }

    // The buffer is the tenant's memory like any other, for as long as it lives.
    void *ReallocateBufferMemory(void *old, size_t size, size_t *actual) override
    {
        (void) old; // the block
        if (size <= taken_) {
            *actual = taken_;
            return block_;
        }
        if (!self_->allocator->take(size - taken_, false))
            return nullptr;
        void *larger = allocator_take_block(size);
        if (block_) {
            memcpy(larger, block_, taken_);
            allocator_return_block(block_, taken_);
        }
        block_ = larger;
        taken_ = size;
        *actual = size;
        return larger;
    }

    // The block goes with the delegate, when the clone was read from it.
    void FreeBufferMemory(void *) override
    {
    }

    bool HasCustomHostObject(v8::Isolate *) override
    {
        return true;
    }

    // Asks the layer about each object but plain ones, and those with the prototype of the last
    // one that was an ordinary object: most objects of a large value are of these two kinds.
    v8::Maybe<bool> IsHostObject(v8::Isolate *v8, v8::Local<v8::Object> object) override
    {
        v8::HandleScope scope(v8);
        v8::Local<v8::Value> prototype = object->GetPrototypeV2();
        const bool has_fields = object->InternalFieldCount() > 0;
        if (!has_fields && (prototype == plain_ || prototype == ordinary_.Get(v8)))
            return v8::Just(false);
        v8::Local<v8::Value> result;
        v8::Local<v8::Value> argv[] = { object };
        if (!operation_->describe->IsFunction())
            result = v8::Undefined(v8);
        else if (!operation_->describe.As<v8::Function>()
                      ->Call(operation_->context, v8::Undefined(v8), 1, argv)
                      .ToLocal(&result))
            return v8::Nothing<bool>();
        if (result->IsObject() || result->IsNumber()) {
            operation_->met.emplace_back(v8, result);
            return v8::Just(true);
        }
        if (has_fields) {
            throw_failure(operation_, "An object of this kind could not be cloned.");
            return v8::Nothing<bool>();
        }
        ordinary_.Reset(v8, prototype);
        return v8::Just(false);
    }

    // The object that IsHostObject has just been asked about.
    v8::Maybe<bool> WriteHostObject(v8::Isolate *, v8::Local<v8::Object>) override
    {
        serializer->WriteUint32(static_cast<uint32_t>(operation_->met.size() - 1));
        return v8::Just(true);
    }

    v8::Maybe<uint32_t> GetWasmModuleTransferId(v8::Isolate *,
                                                v8::Local<v8::WasmModuleObject> module) override
    {
        operation_->modules.push_back(module->GetCompiledModule());
        return v8::Just(static_cast<uint32_t>(operation_->modules.size() - 1));
    }

    v8::ValueSerializer *serializer = nullptr; // borrowed

  private:
    Operation *operation_; // borrowed
    struct isolate *self_;
    void *block_ = nullptr;
    size_t taken_ = 0;               // bytes of the block
    v8::Local<v8::Value> plain_;     // Object.prototype
    v8::Global<v8::Value> ordinary_; // prototype of the last object that was an ordinary one
};

class DeserializerDelegate final : public v8::ValueDeserializer::Delegate
{
  public:
    explicit DeserializerDelegate(Operation *operation) : operation_(operation)
    {
    }

    v8::MaybeLocal<v8::Object> ReadHostObject(v8::Isolate *v8) override
    {
        uint32_t number = 0;
        if (!deserializer->ReadUint32(&number) || number >= operation_->met.size())
            return {};
        v8::Local<v8::Value> object = operation_->met[number].Get(v8);
        if (!object->IsObject())
            return {};
        return object.As<v8::Object>();
    }

    v8::MaybeLocal<v8::WasmModuleObject> GetWasmModuleFromId(v8::Isolate *v8, uint32_t id) override
    {
        if (id >= operation_->modules.size())
            return {};
        return v8::WasmModuleObject::FromCompiledModule(v8, operation_->modules[id]);
    }

    v8::ValueDeserializer *deserializer = nullptr; // borrowed

  private:
    Operation *operation_; // borrowed
};

void throw_not_transferable(const Operation *operation)
{
    throw_failure(operation, "An ArrayBuffer is detached and could not be cloned.");
}

// Reads the list of buffers to transfer. False with an exception pending.
bool read_buffers(const Operation *operation, v8::Local<v8::Value> value,
                  v8::LocalVector<v8::ArrayBuffer> *ret)
{
    if (value->IsUndefined())
        return true;
    bool good = value->IsArray();
    const uint32_t length = good ? value.As<v8::Array>()->Length() : 0;
    for (uint32_t i = 0; good && i < length; i++) {
        v8::Local<v8::Value> element;
        if (!value.As<v8::Array>()->Get(operation->context, i).ToLocal(&element))
            return false;
        good = element->IsArrayBuffer() && !element.As<v8::ArrayBuffer>()->WasDetached();
        if (good && !element.As<v8::ArrayBuffer>()->IsDetachable()) {
            operation->self->v8->ThrowException(v8::Exception::TypeError(
                literal(operation->self->v8, "An ArrayBuffer in transfer cannot be detached.")));
            return false;
        }
        if (good)
            ret->push_back(element.As<v8::ArrayBuffer>());
    }
    if (!good)
        throw_not_transferable(operation);
    return good;
}

// Moves the memory of the buffers to new ones; the old ones are detached. False with an exception
// pending.
bool transfer_buffers(const Operation *operation, const v8::LocalVector<v8::ArrayBuffer> &buffers,
                      v8::ValueDeserializer *deserializer)
{
    for (uint32_t i = 0; i < buffers.size(); i++) {
        if (buffers[i]->WasDetached()) { // the buffer is in the list twice, or a getter of the
                                         // value has detached it
            throw_not_transferable(operation);
            return false;
        }
        std::shared_ptr<v8::BackingStore> store = buffers[i]->GetBackingStore();
        if (buffers[i]->Detach(v8::Local<v8::Value>()).IsNothing())
            return false;
        deserializer->TransferArrayBuffer(
            i, v8::ArrayBuffer::New(operation->self->v8, std::move(store)));
    }
    return true;
}

// Returns the buffer of a value that is one, or a view of one, and nothing else that V8 would write; empty if a detour through V8's
// format costs little, or the clone is not simply a copy of the bytes.
v8::MaybeLocal<v8::ArrayBuffer> sole_buffer(v8::Local<v8::Value> value)
{
    v8::Local<v8::ArrayBuffer> buffer;
    if (value->IsArrayBuffer())
        buffer = value.As<v8::ArrayBuffer>();
    else if (value->IsArrayBufferView() && value.As<v8::ArrayBufferView>()->HasBuffer())
        buffer = value.As<v8::ArrayBufferView>()->Buffer();
    // The buffer of a view of shared memory is a SharedArrayBuffer.
    if (buffer.IsEmpty() || !buffer->IsArrayBuffer() || buffer->WasDetached() ||
        buffer->IsResizableByUserJavaScript() || buffer->ByteLength() < direct_clone_min)
        return {};
    return buffer;
}

// Copies the buffer once, into the memory of its clone. False with an exception pending.
bool copy_buffer(const Operation *operation, v8::Local<v8::ArrayBuffer> buffer,
                 v8::ValueDeserializer *deserializer)
{
    std::unique_ptr<v8::BackingStore> store =
        v8::ArrayBuffer::NewBackingStore(operation->self->v8, buffer->ByteLength(),
                                         v8::BackingStoreInitializationMode::kUninitialized,
                                         v8::BackingStoreOnFailureMode::kReturnNull);
    if (!store) {
        throw_failure(operation, "Data could not be cloned, out of memory.");
        return false;
    }
    memcpy(store->Data(), buffer->Data(), buffer->ByteLength());
    deserializer->TransferArrayBuffer(0,
                                      v8::ArrayBuffer::New(operation->self->v8, std::move(store)));
    return true;
}

// Puts what receive() returns in the places of the numbers that describe() gave. False with an
// exception pending.
bool receive_objects(Operation *operation)
{
    v8::Isolate *v8 = operation->self->v8;
    v8::Local<v8::Value> list;
    if (!operation->receive->IsFunction())
        return true;
    if (!operation->receive.As<v8::Function>()
             ->Call(operation->context, v8::Undefined(v8), 0, nullptr)
             .ToLocal(&list))
        return false;
    for (v8::Global<v8::Value> &met : operation->met) {
        v8::HandleScope scope(v8);
        v8::Local<v8::Value> object = met.Get(v8);
        if (!object->IsNumber() || !list->IsArray())
            continue;
        const double number = object.As<v8::Number>()->Value();
        if (!(number >= 0 && number < list.As<v8::Array>()->Length()))
            continue;
        if (!list.As<v8::Array>()
                 ->Get(operation->context, static_cast<uint32_t>(number))
                 .ToLocal(&object))
            return false;
        met.Reset(v8, object);
    }
    return true;
}

// Reads the clone. Empty with an exception pending.
v8::MaybeLocal<v8::Value> read_clone(const Operation *operation,
                                     v8::ValueDeserializer *deserializer)
{
    v8::TryCatch caught(operation->self->v8);
    v8::Local<v8::Value> value;
    if (deserializer->ReadHeader(operation->context).FromMaybe(false) &&
        deserializer->ReadValue(operation->context).ToLocal(&value))
        return value;
    if (caught.HasTerminated()) {
        caught.ReThrow();
        return {};
    }
    // V8 has written the bytes itself: only memory can be missing.
    caught.Reset();
    throw_failure(operation, "Data could not be cloned, out of memory.");
    caught.ReThrow();
    return {};
}

} // namespace

void native_structured_clone(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    Operation operation = {
        isolate_from(v8), v8->GetCurrentContext(), info[2], info[3], info[4], {}, {}
    };
    v8::LocalVector<v8::ArrayBuffer> buffers(v8);
    if (!read_buffers(&operation, info[1], &buffers))
        return;

    SerializerDelegate delegate(&operation);
    v8::ValueSerializer serializer(v8, &delegate);
    delegate.serializer = &serializer;
    for (uint32_t i = 0; i < buffers.size(); i++)
        serializer.TransferArrayBuffer(i, buffers[i]);
    // V8 then writes no bytes, but that a buffer comes from elsewhere.
    v8::Local<v8::ArrayBuffer> sole;
    const bool is_sole = buffers.empty() && sole_buffer(info[0]).ToLocal(&sole);
    if (is_sole)
        serializer.TransferArrayBuffer(0, sole);
    serializer.WriteHeader();
    // A primitive is its own clone; to write a rope would make it flat.
    const bool is_plain = info[0]->IsString() || info[0]->IsNumber() || info[0]->IsBigInt();
    v8::Local<v8::Value> whole = is_plain ? v8::Undefined(v8).As<v8::Value>() : info[0];
    if (!serializer.WriteValue(operation.context, whole).FromMaybe(false))
        return;
    std::pair<uint8_t *, size_t> released = serializer.Release();

    DeserializerDelegate reader(&operation);
    v8::ValueDeserializer deserializer(v8, released.first, released.second, &reader);
    reader.deserializer = &deserializer;
    v8::Local<v8::Value> value;
    if ((is_sole ? copy_buffer(&operation, sole, &deserializer)
                 : transfer_buffers(&operation, buffers, &deserializer)) &&
        receive_objects(&operation) && read_clone(&operation, &deserializer).ToLocal(&value))
        info.GetReturnValue().Set(is_plain ? info[0] : value);
}
