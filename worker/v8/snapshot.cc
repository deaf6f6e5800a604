// SPDX-License-Identifier: Apache-2.0
//
// See snapshot.h. Used in skep-mksnapshot, which writes, and in the worker, which reads.
#include "worker/v8/snapshot.h"

#include "worker/v8/internal.h"
#include "worker/v8/natives.h"
#include "worker/v8/parts.h"
#include "worker/v8/rewriter.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace
{

// The one object for all isolates. The list of external references has it, so that the snapshot
// holds its index instead of 300 KiB of source for each isolate.
StaticSource bundle;
v8::StartupData startup_data;

} // namespace

void snapshot_set_bundle(std::string_view source)
{
    const size_t end = std::min(source.find(part_mark), source.size());
    bundle.set(source.substr(0, end));
    parts_set(source.substr(end));
}

v8::MaybeLocal<v8::String> snapshot_bundle_string(v8::Isolate *v8)
{
    return v8::String::NewExternalOneByte(v8, &bundle);
}

int snapshot_open(struct isolate_bytes file)
{
    struct snapshot_header header;
    if (file.size < sizeof(header))
        return -EINVAL;
    memcpy(&header, file.data, sizeof(header));
    const uint64_t rest = file.size - sizeof(header);
    if (header.magic != snapshot_magic || header.v8_size > rest ||
        header.bundle_size > rest - header.v8_size ||
        header.rewriter_size > rest - header.v8_size - header.bundle_size ||
        header.v8_size > INT32_MAX)
        return -EINVAL;
    if (strncmp(header.v8_version, v8::V8::GetVersion(), sizeof(header.v8_version) - 1) != 0)
        return -EINVAL;
    const char *at = reinterpret_cast<const char *>(file.data) + sizeof(header);
    startup_data = { at, static_cast<int>(header.v8_size) };
    snapshot_set_bundle({ at + header.v8_size, static_cast<size_t>(header.bundle_size) });
    rewriter_set_code({ file.data + sizeof(header) + header.v8_size + header.bundle_size,
                        static_cast<size_t>(header.rewriter_size) });
    return startup_data.IsValid() ? 0 : -EINVAL;
}

const v8::StartupData *snapshot_blob()
{
    return startup_data.data ? &startup_data : nullptr;
}

std::string snapshot_write(const v8::StartupData &blob, std::string_view source,
                           std::string_view rewriter)
{
    struct snapshot_header header = {};
    header.magic = snapshot_magic;
    header.v8_size = static_cast<uint64_t>(blob.raw_size);
    header.bundle_size = source.size();
    header.rewriter_size = rewriter.size();
    strncpy(header.v8_version, v8::V8::GetVersion(), sizeof(header.v8_version) - 1);

    std::string file(reinterpret_cast<const char *>(&header), sizeof(header));
    file.append(blob.data, static_cast<size_t>(blob.raw_size));
    file.append(source);
    file.append(rewriter);
    return file;
}

const intptr_t *snapshot_references()
{
    static const std::vector<intptr_t> references = [] {
        std::vector<intptr_t> all;
        all.push_back(reinterpret_cast<intptr_t>(&bundle));
        natives_add_references(&all);
        all.push_back(0);
        return all;
    }();
    return references.data();
}
