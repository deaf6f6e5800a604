// SPDX-License-Identifier: Apache-2.0
//
// structuredClone(value, transfer) with V8's own serialiser. For a value that cannot be cloned it
// throws an Error whose text the JS layer puts into a DataCloneError.
#include "worker/v8/crypto.h"
#include "worker/v8/internal.h"
#include "worker/v8/natives.h"

#include <cstdlib>

namespace
{

class SerializerDelegate final : public v8::ValueSerializer::Delegate
{
  public:
    explicit SerializerDelegate(struct isolate *self) : self_(self)
    {
    }
    ~SerializerDelegate() override
    {
        self_->allocator->give_back(taken_);
    }

    void ThrowDataCloneError(v8::Local<v8::String> message) override
    {
        self_->v8->ThrowException(v8::Exception::Error(message));
    }

    // The buffer is the tenant's memory like any other, for as long as it lives.
    void *ReallocateBufferMemory(void *old, size_t size, size_t *actual) override
    {
        if (size > taken_ && !self_->allocator->take(size - taken_, false))
            return nullptr;
        void *p = realloc(old, size);
        if (!p) {
            if (size > taken_)
                self_->allocator->give_back(size - taken_);
            return nullptr;
        }
        if (size > taken_)
            taken_ = size;
        *actual = size;
        return p;
    }

    void FreeBufferMemory(void *buffer) override
    {
        free(buffer);
    }

    // Only keys have fields of this side's own.
    v8::Maybe<bool> WriteHostObject(v8::Isolate *v8, v8::Local<v8::Object> object) override
    {
        if (!crypto_is_key(self_, object)) {
            v8->ThrowException(
                v8::Exception::Error(literal(v8, "An object of this kind cannot be cloned")));
            return v8::Nothing<bool>();
        }
        serializer->WriteUint32(static_cast<uint32_t>(keys.size()));
        keys.emplace_back(v8, object);
        return v8::Just(true);
    }

    v8::ValueSerializer *serializer = nullptr; // borrowed
    std::vector<v8::Global<v8::Object>> keys;  // the keys that were met, by number

  private:
    struct isolate *self_;
    size_t taken_ = 0;
};

// A clone of a key that was met. The JS layer has not seen it yet, since it cannot run while V8
// reads.
struct KeyClone {
    uint32_t of; // number of the key
    v8::Global<v8::Object> handle;
};

class DeserializerDelegate final : public v8::ValueDeserializer::Delegate
{
  public:
    DeserializerDelegate(struct isolate *self, const std::vector<v8::Global<v8::Object>> *keys)
        : self_(self), keys_(keys)
    {
    }

    v8::MaybeLocal<v8::Object> ReadHostObject(v8::Isolate *v8) override
    {
        uint32_t number = 0;
        v8::Local<v8::Object> handle;
        if (!deserializer->ReadUint32(&number) || number >= keys_->size()) {
            v8->ThrowException(v8::Exception::Error(literal(v8, "The value cannot be cloned")));
            return {};
        }
        if (!crypto_new_handle(self_, (*keys_)[number].Get(v8)).ToLocal(&handle))
            return {};
        clones_.push_back({ number, v8::Global<v8::Object>(v8, handle) });
        return handle;
    }

    // Makes keys of the handles, once all is read. False with an exception pending.
    bool finish(v8::Isolate *v8)
    {
        for (const KeyClone &clone : clones_)
            if (!crypto_on_clone(self_, (*keys_)[clone.of].Get(v8), clone.handle.Get(v8)))
                return false;
        return true;
    }

    v8::ValueDeserializer *deserializer = nullptr; // borrowed

  private:
    struct isolate *self_;
    const std::vector<v8::Global<v8::Object>> *keys_;
    std::vector<KeyClone> clones_;
};

struct Free {
    void operator()(uint8_t *p) const
    {
        free(p);
    }
};

void throw_not_transferable(v8::Isolate *v8)
{
    v8->ThrowException(v8::Exception::Error(
        literal(v8, "Value at the transfer list is not a transferable ArrayBuffer")));
}

// Reads the transfer list. False with an exception pending.
bool read_transfer(v8::Isolate *v8, v8::Local<v8::Context> context, v8::Local<v8::Value> value,
                   v8::LocalVector<v8::ArrayBuffer> *ret)
{
    if (value->IsUndefined())
        return true;
    bool good = value->IsArray();
    const uint32_t length = good ? value.As<v8::Array>()->Length() : 0;
    for (uint32_t i = 0; good && i < length; i++) {
        v8::Local<v8::Value> element;
        if (!value.As<v8::Array>()->Get(context, i).ToLocal(&element))
            return false;
        good = element->IsArrayBuffer() && element.As<v8::ArrayBuffer>()->IsDetachable() &&
               !element.As<v8::ArrayBuffer>()->WasDetached();
        if (good)
            ret->push_back(element.As<v8::ArrayBuffer>());
    }
    if (!good)
        throw_not_transferable(v8);
    return good;
}

} // namespace

void native_structured_clone(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    struct isolate *self = isolate_from(v8);
    v8::Local<v8::Context> context = v8->GetCurrentContext();

    v8::LocalVector<v8::ArrayBuffer> transfer(v8);
    if (!read_transfer(v8, context, info[1], &transfer))
        return;

    SerializerDelegate delegate(self);
    v8::ValueSerializer serializer(v8, &delegate);
    delegate.serializer = &serializer;
    for (uint32_t i = 0; i < transfer.size(); i++)
        serializer.TransferArrayBuffer(i, transfer[i]);
    serializer.WriteHeader();
    // A primitive is its own clone; to write a rope would make it flat.
    const bool is_plain = info[0]->IsString() || info[0]->IsNumber() || info[0]->IsBigInt();
    v8::Local<v8::Value> whole = is_plain ? v8::Undefined(v8).As<v8::Value>() : info[0];
    if (!serializer.WriteValue(context, whole).FromMaybe(false))
        return;
    std::pair<uint8_t *, size_t> released = serializer.Release();
    std::unique_ptr<uint8_t, Free> buffer(released.first);

    DeserializerDelegate reader(self, &delegate.keys);
    v8::ValueDeserializer deserializer(v8, buffer.get(), released.second, &reader);
    reader.deserializer = &deserializer;
    for (uint32_t i = 0; i < transfer.size(); i++) {
        // The new buffer takes over the memory; the old one is detached.
        if (transfer[i]->WasDetached()) // the buffer is in the list twice, or a getter of the value
                                        // has detached it
            return throw_not_transferable(v8);
        std::shared_ptr<v8::BackingStore> store = transfer[i]->GetBackingStore();
        if (transfer[i]->Detach(v8::Local<v8::Value>()).IsNothing())
            return;
        deserializer.TransferArrayBuffer(i, v8::ArrayBuffer::New(v8, std::move(store)));
    }
    v8::Local<v8::Value> value;
    if (deserializer.ReadHeader(context).FromMaybe(false) &&
        deserializer.ReadValue(context).ToLocal(&value) && reader.finish(v8))
        info.GetReturnValue().Set(is_plain ? info[0] : value);
}
