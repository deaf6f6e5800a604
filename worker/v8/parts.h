// SPDX-License-Identifier: Apache-2.0
//
// Parts of the JS layer that are scripts of their own, and evaluated at first use: an isolate has nothing of one until then.
// Their source is behind the main script's in the bundle: a mark, a name, a newline, the text of a function. Main thread.
#pragma once

#include <v8.h>

#include <string_view>

inline constexpr char part_mark = '\x01';

// A source that lasts as long as the process; V8 does not copy it.
class StaticSource final : public v8::String::ExternalOneByteStringResource
{
  public:
    void set(std::string_view source)
    {
        source_ = source;
    }
    const char *data() const override
    {
        return source_.data();
    }
    size_t length() const override
    {
        return source_.size();
    }
    size_t EstimateMemoryUsage() const override
    {
        return 0;
    }

  protected:
    void Dispose() override
    {
    } // static

  private:
    std::string_view source_;
};

// Finds the parts in what follows the main script. Once, before there are isolates.
void parts_set(std::string_view text);

// __skep.part(name): the function that evaluates a part.
void native_part(const v8::FunctionCallbackInfo<v8::Value> &info);
