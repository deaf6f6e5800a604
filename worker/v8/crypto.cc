// SPDX-License-Identifier: Apache-2.0
// See crypto.h. An operation that fails returns undefined, and one for which the CPU time that is
// left is not enough returns null. The JS layer makes a DOMException of that.
#include "worker/v8/crypto.h"

#include "worker/crypto/crypto.h"
#include "worker/v8/internal.h"
#include "worker/v8/natives.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>

namespace
{

using Info = v8::FunctionCallbackInfo<v8::Value>;

constexpr size_t max_random_bytes = 65536;
constexpr size_t max_key_bits = size_t{ 1 } << 32;

void throw_type(v8::Isolate *v8, const char *text)
{
    v8->ThrowException(v8::Exception::TypeError(literal(v8, text)));
}

void throw_memory(v8::Isolate *v8)
{
    v8->ThrowException(v8::Exception::RangeError(literal(v8, "Array buffer allocation failed")));
}

// Numbers that are none count as the largest, which nothing takes.
size_t to_size(v8::Local<v8::Value> value)
{
    const double number = value->IsNumber() ? value.As<v8::Number>()->Value() : -1.0;
    return number >= 0.0 && number < 9007199254740992.0 ? static_cast<size_t>(number) : SIZE_MAX;
}

enum crypto_hash to_hash(v8::Local<v8::Value> value)
{
    return static_cast<enum crypto_hash>(std::min<size_t>(to_size(value), CRYPTO_HASHES));
}

} // namespace

// ---- handles

// The object behind a handle: a key, or a digest in progress.
class Held
{
  public:
    Held(CryptoState *state, struct crypto_key *key, struct crypto_stream *stream)
        : key(key), stream(stream), state_(state)
    {
    }
    ~Held()
    {
        crypto_key_unref(key);
        crypto_stream_free(stream);
    }
    Held(const Held &) = delete;
    void operator=(const Held &) = delete;

    void watch(v8::Isolate *v8, v8::Local<v8::Object> handle);

    struct crypto_key *key;
    struct crypto_stream *stream;

  private:
    CryptoState *state_;
    v8::Global<v8::Object> handle_;
};

// The state of an isolate that has opened its natives.
struct CryptoState {
    v8::Global<v8::FunctionTemplate> kind; // the template of all handles
    std::unordered_map<Held *, std::unique_ptr<Held>> held;
};

// Frees the key or the digest when V8 finds that its handle is garbage.
void Held::watch(v8::Isolate *v8, v8::Local<v8::Object> handle)
{
    handle_.Reset(v8, handle);
    handle_.SetWeak(
        this,
        [](const v8::WeakCallbackInfo<Held> &info) {
            Held *held = info.GetParameter();
            held->handle_.Reset();
            held->state_->held.erase(held);
        },
        v8::WeakCallbackType::kParameter);
}

namespace
{

// Returns a handle of the key or the stream, which owns it from then on. Empty with an exception
// pending.
v8::MaybeLocal<v8::Object> new_handle(struct isolate *self, struct crypto_key *key,
                                      struct crypto_stream *stream)
{
    CryptoState *state = self->crypto.get();
    auto held = std::make_unique<Held>(state, key, stream);
    v8::Local<v8::Object> handle;
    if (!state->kind.Get(self->v8)
             ->InstanceTemplate()
             ->NewInstance(self->v8->GetCurrentContext())
             .ToLocal(&handle))
        return {};
    handle->SetAlignedPointerInInternalField(0, held.get());
    held->watch(self->v8, handle);
    Held *name = held.get();
    state->held.emplace(name, std::move(held));
    return handle;
}

// NULL if the value is no handle.
Held *to_held(struct isolate *self, v8::Local<v8::Value> value)
{
    if (!self->crypto || !value->IsObject() ||
        !self->crypto->kind.Get(self->v8)->HasInstance(value))
        return nullptr;
    return static_cast<Held *>(value.As<v8::Object>()->GetAlignedPointerFromInternalField(0));
}

struct crypto_key *to_key(struct isolate *self, v8::Local<v8::Value> value)
{
    Held *held = to_held(self, value);
    return held ? held->key : nullptr;
}

// ---- arguments and results

// The bytes of a Uint8Array; small ones, which V8 may move, as a copy.
class Bytes
{
  public:
    explicit Bytes(v8::Local<v8::Value> value)
    {
        is_good_ = value->IsUint8Array();
        if (!is_good_)
            return;
        const v8::MemorySpan<uint8_t> span =
            value.As<v8::Uint8Array>()->GetContents({ small_, sizeof(small_) });
        bytes_ = { span.data(), span.size() };
    }
    Bytes(const Bytes &) = delete;
    void operator=(const Bytes &) = delete;

    bool is_good() const
    {
        return is_good_;
    }
    struct crypto_bytes get() const
    {
        return bytes_;
    }

  private:
    uint8_t small_[64];
    struct crypto_bytes bytes_ = { nullptr, 0 };
    bool is_good_;
};

// One operation: on whose behalf it runs, and where its result goes.
class Work
{
  public:
    explicit Work(const Info &info) : info_(info), self_(isolate_from(info.GetIsolate()))
    {
        caller_ = { is_stopped, left_ns, reserve, this };
    }
    Work(const Work &) = delete;
    void operator=(const Work &) = delete;

    struct isolate *self() const
    {
        return self_;
    }
    const struct crypto_caller *caller() const
    {
        return &caller_;
    }
    // True if nothing has failed; else the JavaScript is told.
    bool check(int r)
    {
        v8::Isolate *v8 = self_->v8;
        if (r >= 0)
            return true;
        if (r == -ENOMEM)
            throw_memory(v8);
        else if (r == -ECANCELED) // no JavaScript will see it
            v8->ThrowException(v8::Exception::Error(literal(v8, "stopped")));
        else if (r == -EDQUOT)
            info_.GetReturnValue().SetNull();
        return false;
    }
    // Gives what was reserved to the JavaScript, as an ArrayBuffer.
    void finish(int r)
    {
        if (check(r))
            info_.GetReturnValue().Set(v8::ArrayBuffer::New(self_->v8, std::move(store_)));
    }
    void finish_verify(int r)
    {
        if (check(r))
            info_.GetReturnValue().Set(r == 1);
    }
    void finish_key(int r, struct crypto_key *key)
    {
        v8::Local<v8::Object> handle;
        if (check(r) && new_handle(self_, key, nullptr).ToLocal(&handle))
            info_.GetReturnValue().Set(handle);
    }

  private:
    static bool is_stopped(void *owner)
    {
        return static_cast<Work *>(owner)->self_->terminate_requested.load(
            std::memory_order_relaxed);
    }
    static uint64_t left_ns(void *owner)
    {
        const struct isolate *self = static_cast<Work *>(owner)->self_;
        return self->ops->cpu_left_ns ? self->ops->cpu_left_ns(self->host) : UINT64_MAX;
    }
    static uint8_t *reserve(void *owner, size_t size)
    {
        Work *work = static_cast<Work *>(owner);
        work->store_ = v8::ArrayBuffer::NewBackingStore(
            work->self_->v8, size, v8::BackingStoreInitializationMode::kUninitialized,
            v8::BackingStoreOnFailureMode::kReturnNull);
        return work->store_ ? static_cast<uint8_t *>(work->store_->Data()) : nullptr;
    }

    const Info &info_;
    struct isolate *self_;
    struct crypto_caller caller_;
    std::unique_ptr<v8::BackingStore> store_;
};

// ---- random values

// random(u8): fills it.
void native_random(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    if (!info[0]->IsUint8Array())
        return throw_type(v8, "not a Uint8Array");
    v8::Local<v8::Uint8Array> array = info[0].As<v8::Uint8Array>();
    const size_t size = std::min(array->ByteLength(), max_random_bytes);
    uint8_t *to = static_cast<uint8_t *>(array->Buffer()->Data());
    if (to && size != 0 && crypto_random(to + array->ByteOffset(), size) < 0)
        v8->ThrowException(v8::Exception::Error(literal(v8, "no random values")));
}

void native_uuid(const Info &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    char text[CRYPTO_UUID_CHARS];
    v8::Local<v8::String> string;
    if (crypto_uuid(text) < 0)
        return (void) v8->ThrowException(v8::Exception::Error(literal(v8, "no random values")));
    if (v8::String::NewFromOneByte(v8, reinterpret_cast<const uint8_t *>(text),
                                   v8::NewStringType::kNormal, CRYPTO_UUID_CHARS)
            .ToLocal(&string))
        info.GetReturnValue().Set(string);
}

void native_equal(const Info &info)
{
    const Bytes a(info[0]);
    const Bytes b(info[1]);
    if (!a.is_good() || !b.is_good())
        return throw_type(info.GetIsolate(), "not Uint8Arrays");
    info.GetReturnValue().Set(crypto_equal(a.get(), b.get()));
}

// ---- digests

// digest(hash, data)
void native_digest(const Info &info)
{
    Work work(info);
    const Bytes data(info[1]);
    if (!data.is_good())
        return throw_type(info.GetIsolate(), "not a Uint8Array");
    work.finish(crypto_digest(to_hash(info[0]), data.get(), work.caller()));
}

// streamNew(hash)
void native_stream_new(const Info &info)
{
    Work work(info);
    struct crypto_stream *stream;
    v8::Local<v8::Object> handle;
    if (work.check(crypto_stream_new(to_hash(info[0]), &stream)) &&
        new_handle(work.self(), nullptr, stream).ToLocal(&handle))
        info.GetReturnValue().Set(handle);
}

// streamAdd(stream, data)
void native_stream_add(const Info &info)
{
    Work work(info);
    const Held *held = to_held(work.self(), info[0]);
    const Bytes data(info[1]);
    if (!held || !held->stream || !data.is_good())
        return throw_type(info.GetIsolate(), "not a digest and a Uint8Array");
    (void) work.check(crypto_stream_add(held->stream, data.get(), work.caller()));
}

// streamEnd(stream)
void native_stream_end(const Info &info)
{
    Work work(info);
    const Held *held = to_held(work.self(), info[0]);
    if (!held || !held->stream)
        return throw_type(info.GetIsolate(), "not a digest");
    work.finish(crypto_stream_end(held->stream, work.caller()));
}

// ---- keys

// newSecret(bytes)
void native_new_secret(const Info &info)
{
    Work work(info);
    const Bytes bytes(info[0]);
    struct crypto_key *key = nullptr;
    if (!bytes.is_good())
        return throw_type(info.GetIsolate(), "not a Uint8Array");
    const int r = crypto_key_new_secret(bytes.get(), &key);
    work.finish_key(r, key);
}

// generateSecret(bits)
void native_generate_secret(const Info &info)
{
    Work work(info);
    const size_t bits = to_size(info[0]);
    struct crypto_key *key = nullptr;
    if (bits >= max_key_bits || bits / 8 > work.self()->allocator->limit())
        return throw_memory(info.GetIsolate());
    const int r = crypto_key_generate_secret(bits, &key);
    work.finish_key(r, key);
}

// secret(key)
void native_secret(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[0]);
    if (!key)
        return throw_type(info.GetIsolate(), "not a key");
    const struct crypto_bytes secret = crypto_key_secret(key);
    uint8_t *to = work.caller()->reserve(work.caller()->owner, secret.size);
    if (to && secret.size > 0)
        memcpy(to, secret.data, secret.size);
    work.finish(to || secret.size == 0 ? 0 : -ENOMEM);
}

// ---- operations

// hmacSign(hash, key, data)
void native_hmac_sign(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[1]);
    const Bytes data(info[2]);
    if (!key || !data.is_good())
        return throw_type(info.GetIsolate(), "not a key and a Uint8Array");
    work.finish(crypto_hmac_sign(to_hash(info[0]), key, data.get(), work.caller()));
}

// hmacVerify(hash, key, data, signature)
void native_hmac_verify(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[1]);
    const Bytes data(info[2]);
    const Bytes signature(info[3]);
    if (!key || !data.is_good() || !signature.is_good())
        return throw_type(info.GetIsolate(), "not a key and Uint8Arrays");
    work.finish_verify(
        crypto_hmac_verify(to_hash(info[0]), key, signature.get(), data.get(), work.caller()));
}

// cipher(key, cipher, decrypt, data, iv, bits, aad): bits of the tag, or of the counter; iv and aad may be undefined.
void native_cipher(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[0]);
    const Bytes data(info[3]);
    const Bytes iv(info[4]);
    const Bytes aad(info[6]);
    if (!key || !data.is_good())
        return throw_type(info.GetIsolate(), "not a key and a Uint8Array");
    struct crypto_cipher_params params = {};
    params.cipher =
        static_cast<enum crypto_cipher>(std::min<size_t>(to_size(info[1]), CRYPTO_CIPHERS));
    params.decrypt = info[2]->IsTrue();
    params.iv = iv.get();
    params.aad = aad.get();
    params.tag_bits = params.counter_bits = to_size(info[5]);
    work.finish(crypto_cipher(key, &params, data.get(), work.caller()));
}

// ---- derivation

// hkdf(hash, key, size, salt, info)
void native_hkdf(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[1]);
    const Bytes salt(info[3]);
    const Bytes context(info[4]);
    if (!key || !salt.is_good() || !context.is_good())
        return throw_type(info.GetIsolate(), "not a key and Uint8Arrays");
    work.finish(crypto_hkdf(to_hash(info[0]), key, salt.get(), context.get(), to_size(info[2]),
                            work.caller()));
}

// pbkdf2(hash, key, size, salt, iterations)
void native_pbkdf2(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[1]);
    const Bytes salt(info[3]);
    const size_t iterations = to_size(info[4]);
    if (!key || !salt.is_good() || iterations > UINT32_MAX)
        return throw_type(info.GetIsolate(), "not a key, a Uint8Array and a number");
    work.finish(crypto_pbkdf2(to_hash(info[0]), key, salt.get(), static_cast<uint32_t>(iterations),
                              to_size(info[2]), work.caller()));
}

// ---- key pairs

enum crypto_kind to_kind(v8::Local<v8::Value> value)
{
    return static_cast<enum crypto_kind>(std::min<size_t>(to_size(value), CRYPTO_KINDS));
}

enum crypto_format to_format(v8::Local<v8::Value> value)
{
    return static_cast<enum crypto_format>(std::min<size_t>(to_size(value), CRYPTO_FORMATS));
}

// pairGenerate(kind, bits, e): [private, public]; bits and e are for RSA.
void native_pair_generate(const Info &info)
{
    Work work(info);
    const Bytes e(info[2]);
    struct crypto_pair pair = {};
    v8::Isolate *v8 = info.GetIsolate();
    if (!work.check(crypto_pair_generate(to_kind(info[0]), to_size(info[1]), e.get(), work.caller(),
                                         &pair)))
        return;
    v8::Local<v8::Object> halves[2];
    const bool is_made = new_handle(work.self(), pair.private_key, nullptr).ToLocal(&halves[0]);
    if (!new_handle(work.self(), pair.public_key, nullptr).ToLocal(&halves[1]) || !is_made)
        return;
    v8::Local<v8::Value> values[] = { halves[0], halves[1] };
    info.GetReturnValue().Set(v8::Array::New(v8, values, 2));
}

// pairImport(kind, format, data)
void native_pair_import(const Info &info)
{
    Work work(info);
    const Bytes data(info[2]);
    struct crypto_key *key = nullptr;
    if (!data.is_good())
        return throw_type(info.GetIsolate(), "not a Uint8Array");
    const int r = crypto_pair_import(to_kind(info[0]), to_format(info[1]), data.get(), &key);
    work.finish_key(r, key);
}

// pairFromParts(kind, part, ...): Uint8Arrays in the order of enum crypto_part, undefined for those that are not there.
void native_pair_from_parts(const Info &info)
{
    Work work(info);
    std::vector<std::unique_ptr<Bytes>> bytes;
    struct crypto_bytes parts[CRYPTO_PARTS];
    for (int i = 0; i < CRYPTO_PARTS; i++) {
        bytes.push_back(std::make_unique<Bytes>(info[i + 1]));
        parts[i] = bytes.back()->get();
    }
    struct crypto_key *key = nullptr;
    const int r = crypto_pair_from_parts(to_kind(info[0]), parts, &key);
    work.finish_key(r, key);
}

// pairExport(key, format)
void native_pair_export(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[0]);
    if (!key)
        return throw_type(info.GetIsolate(), "not a key");
    work.finish(crypto_pair_export(key, to_format(info[1]), work.caller()));
}

// pairPart(key, part)
void native_pair_part(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[0]);
    if (!key)
        return throw_type(info.GetIsolate(), "not a key");
    work.finish(crypto_pair_part(
        key, static_cast<enum crypto_part>(std::min<size_t>(to_size(info[1]), CRYPTO_PARTS)),
        work.caller()));
}

// rsaBits(key)
void native_rsa_bits(const Info &info)
{
    const struct crypto_key *key = to_key(isolate_from(info.GetIsolate()), info[0]);
    if (!key)
        return throw_type(info.GetIsolate(), "not a key");
    info.GetReturnValue().Set(static_cast<uint32_t>(crypto_rsa_bits(key)));
}

struct crypto_signing to_signing(const Info &info)
{
    const auto scheme =
        static_cast<enum crypto_scheme>(std::min<size_t>(to_size(info[1]), CRYPTO_SCHEMES));
    return { scheme, to_hash(info[2]), to_size(info[3]) };
}

// sign(key, scheme, hash, salt, data): salt is its length, for PSS.
void native_sign(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[0]);
    const Bytes data(info[4]);
    if (!key || !data.is_good())
        return throw_type(info.GetIsolate(), "not a key and a Uint8Array");
    const struct crypto_signing how = to_signing(info);
    work.finish(crypto_sign(key, &how, data.get(), work.caller()));
}

// verify(key, scheme, hash, salt, data, signature)
void native_verify(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[0]);
    const Bytes data(info[4]);
    const Bytes signature(info[5]);
    if (!key || !data.is_good() || !signature.is_good())
        return throw_type(info.GetIsolate(), "not a key and Uint8Arrays");
    const struct crypto_signing how = to_signing(info);
    work.finish_verify(crypto_verify(key, &how, signature.get(), data.get(), work.caller()));
}

// oaep(key, hash, data, label): encrypts with a public key, decrypts with a private one.
void native_oaep(const Info &info)
{
    Work work(info);
    const struct crypto_key *key = to_key(work.self(), info[0]);
    const Bytes data(info[2]);
    const Bytes label(info[3]);
    if (!key || !data.is_good())
        return throw_type(info.GetIsolate(), "not a key and a Uint8Array");
    work.finish(crypto_oaep(key, to_hash(info[1]), label.get(), data.get(), work.caller()));
}

// agree(private, public)
void native_agree(const Info &info)
{
    Work work(info);
    const struct crypto_key *own = to_key(work.self(), info[0]);
    const struct crypto_key *peer = to_key(work.self(), info[1]);
    if (!own || !peer)
        return throw_type(info.GetIsolate(), "not two keys");
    work.finish(crypto_agree(own, peer, work.caller()));
}

// another(key): another handle of the same key
void native_another(const Info &info)
{
    struct isolate *self = isolate_from(info.GetIsolate());
    struct crypto_key *key = to_key(self, info[0]);
    v8::Local<v8::Object> handle;
    if (!key)
        return throw_type(info.GetIsolate(), "not a key");
    if (new_handle(self, crypto_key_ref(key), nullptr).ToLocal(&handle))
        info.GetReturnValue().Set(handle);
}

const Native natives[] = {
    { "random", native_random },
    { "uuid", native_uuid },
    { "equal", native_equal },
    { "digest", native_digest },
    { "streamNew", native_stream_new },
    { "streamAdd", native_stream_add },
    { "streamEnd", native_stream_end },
    { "newSecret", native_new_secret },
    { "generateSecret", native_generate_secret },
    { "secret", native_secret },
    { "hmacSign", native_hmac_sign },
    { "hmacVerify", native_hmac_verify },
    { "cipher", native_cipher },
    { "hkdf", native_hkdf },
    { "pbkdf2", native_pbkdf2 },
    { "pairGenerate", native_pair_generate },
    { "pairImport", native_pair_import },
    { "pairFromParts", native_pair_from_parts },
    { "pairExport", native_pair_export },
    { "pairPart", native_pair_part },
    { "rsaBits", native_rsa_bits },
    { "sign", native_sign },
    { "verify", native_verify },
    { "oaep", native_oaep },
    { "agree", native_agree },
    { "another", native_another },
};

// Makes the state of an isolate that asks for the first time.
void open(struct isolate *self)
{
    if (self->crypto)
        return;
    self->crypto = std::make_shared<CryptoState>();
    v8::Local<v8::FunctionTemplate> kind = v8::FunctionTemplate::New(self->v8);
    kind->InstanceTemplate()->SetInternalFieldCount(1);
    self->crypto->kind.Reset(self->v8, kind);
}

} // namespace

void native_open_crypto(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    open(isolate_from(info.GetIsolate()));
    natives_return(info, natives);
}

void crypto_close(struct isolate *self)
{
    self->crypto.reset();
}
