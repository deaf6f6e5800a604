// SPDX-License-Identifier: Apache-2.0
//
// See platform.h. One thread only: V8 has no helpers here, because a thread that V8 starts would
// be outside the sentry's watch, and no tenant could be charged for its CPU time.
#include "worker/v8/platform.h"

#include "sandbox-policy/v8_flags.h"
#include "worker/v8/allocator.h"
#include "worker/v8/internal.h"

#include <libplatform/libplatform.h>
#include <pthread.h>
#include <sys/random.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

namespace
{

// JavaScript may use this much stack; natives and V8's own C++ have the rest below it.
constexpr size_t js_stack_bytes = 1024 * 1024;
constexpr size_t native_stack_bytes = 256 * 1024;

// V8's own platform, but for the clock that JavaScript reads and the memory that it takes past the
// heap.
class Platform final : public v8::Platform
{
  public:
    explicit Platform(std::unique_ptr<v8::Platform> inner)
        : inner_(std::move(inner)), pages_(inner_->GetPageAllocator())
    {
    }

    v8::Platform *inner()
    {
        return inner_.get();
    }
    void freeze_clock(uint64_t now_ns)
    {
        struct timespec now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        frozen_ms_ = static_cast<double>(now.tv_sec * 1000 + now.tv_nsec / 1000000);
        begun_ns_ = now_ns;
    }
    // Returns the time since the running entry began.
    uint64_t entry_ns() const
    {
        return monotonic_ns() - begun_ns_;
    }
    // Returns the time of a clock that never goes back, as coarse as that of JavaScript.
    double steady_ms() const
    {
        return static_cast<double>((begun_ns_ != 0 ? begun_ns_ : monotonic_ns()) / 1000000);
    }

    v8::PageAllocator *GetPageAllocator() override
    {
        return &pages_;
    }
    v8::ThreadIsolatedAllocator *GetThreadIsolatedAllocator() override
    {
        return inner_->GetThreadIsolatedAllocator();
    }
    void OnCriticalMemoryPressure() override
    {
        inner_->OnCriticalMemoryPressure();
    }
    int NumberOfWorkerThreads() override
    {
        return inner_->NumberOfWorkerThreads();
    }
    std::shared_ptr<v8::TaskRunner> GetForegroundTaskRunner(v8::Isolate *isolate,
                                                            v8::TaskPriority priority) override
    {
        return inner_->GetForegroundTaskRunner(isolate, priority);
    }
    bool IdleTasksEnabled(v8::Isolate *isolate) override
    {
        return inner_->IdleTasksEnabled(isolate);
    }
    std::unique_ptr<v8::ScopedBlockingCall> CreateBlockingScope(v8::BlockingType type) override
    {
        return inner_->CreateBlockingScope(type);
    }
    double MonotonicallyIncreasingTime() override
    {
        return inner_->MonotonicallyIncreasingTime();
    }
    double CurrentClockTimeMillis() override
    {
        return frozen_ms_ != 0.0 ? frozen_ms_ : std::floor(SystemClockTimeMillis());
    }
    int64_t CurrentClockTimeMilliseconds() override
    {
        return static_cast<int64_t>(CurrentClockTimeMillis());
    }
    double CurrentClockTimeMillisecondsHighResolution() override
    {
        return CurrentClockTimeMillis();
    }
    StackTracePrinter GetStackTracePrinter() override
    {
        return nullptr;
    }
    v8::TracingController *GetTracingController() override
    {
        return inner_->GetTracingController();
    }
    v8::HighAllocationThroughputObserver *GetHighAllocationThroughputObserver() override
    {
        return inner_->GetHighAllocationThroughputObserver();
    }

  protected:
    std::unique_ptr<v8::JobHandle> CreateJobImpl(v8::TaskPriority priority,
                                                 std::unique_ptr<v8::JobTask> task,
                                                 const v8::SourceLocation &location) override
    {
        return inner_->CreateJob(priority, std::move(task), location);
    }
    void PostTaskOnWorkerThreadImpl(v8::TaskPriority priority, std::unique_ptr<v8::Task> task,
                                    const v8::SourceLocation &location) override
    {
        inner_->PostTaskOnWorkerThread(priority, std::move(task), location);
    }
    void PostDelayedTaskOnWorkerThreadImpl(v8::TaskPriority priority,
                                           std::unique_ptr<v8::Task> task, double delay_s,
                                           const v8::SourceLocation &location) override
    {
        inner_->PostDelayedTaskOnWorkerThread(priority, std::move(task), delay_s, location);
    }

  private:
    static uint64_t monotonic_ns()
    {
        struct timespec now;
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
    }

    std::unique_ptr<v8::Platform> inner_;
    CountingPages pages_;
    double frozen_ms_ = 0.0; // 0: the real time
    uint64_t begun_ns_ = 0;  // start of the running entry, monotonic
};

Platform *platform; // lives as long as the process
uintptr_t stack_limit;
void (*on_fatal)(bool is_oom, const char *location);
void (*on_fatal_heap)(uint64_t heap_used);

bool entropy(unsigned char *buffer, size_t length)
{
    while (length > 0) {
        ssize_t n = getrandom(buffer, length, 0);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        buffer += n;
        length -= static_cast<size_t>(n);
    }
    return true;
}

[[noreturn]] void die(bool is_oom, const char *location)
{
    if (on_fatal)
        on_fatal(is_oom, location ? location : "");
    v8::Isolate *v8 = is_oom && on_fatal_heap ? v8::Isolate::TryGetCurrent() : nullptr;
    if (v8)
        on_fatal_heap(isolate_heap_used(v8)); // reads V8's counters, and allocates nothing
    __builtin_trap();
}

void on_v8_check(const char *file, int line, const char *message)
{
    char text[256];
    (void) snprintf(text, sizeof(text), "%s:%d: %s", file ? file : "?", line,
                    message ? message : "");
    die(false, text);
}

// Finds the stack. The main thread's grows down to its rlimit; ask now, while /proc/self/maps can
// be read.
int find_stack()
{
    pthread_attr_t attr;
    int r = pthread_getattr_np(pthread_self(), &attr);
    if (r != 0)
        return -r;
    void *lowest = nullptr;
    size_t size = 0;
    r = pthread_attr_getstack(&attr, &lowest, &size);
    (void) pthread_attr_destroy(&attr);
    if (r != 0)
        return -r;
    if (size < 2 * native_stack_bytes)
        return -ENOMEM;
    const uintptr_t top = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    const uintptr_t floor = reinterpret_cast<uintptr_t>(lowest) + native_stack_bytes;
    if (top <= floor)
        return -ENOMEM;
    stack_limit = top - floor > js_stack_bytes ? top - js_stack_bytes : floor;
    return 0;
}

int set_flags(const struct isolate_platform_options *options)
{
    char flags[512];
    int r = v8_flags_write(options->jit, options->wasm_max_mem_pages, flags, sizeof(flags));
    if (r == 0)
        v8::V8::SetFlagsFromString(flags);
    return r;
}

} // namespace

int platform_start(const struct isolate_platform_options *options)
{
    if (platform)
        return -EALREADY;
    int r = find_stack();
    if (r < 0)
        return r;
    on_fatal = options->on_fatal;
    on_fatal_heap = options->on_fatal_heap;

    // Every tenant sees UTC, and ICU needs no file for it.
    if (setenv("TZ", "UTC", 1) != 0)
        return -errno;

    v8::V8::SetEntropySource(entropy);
    r = set_flags(options);
    if (r < 0)
        return r;
    platform = new Platform(v8::platform::NewSingleThreadedDefaultPlatform());
    v8::V8::InitializePlatform(platform);
    if (!v8::V8::Initialize())
        return -EIO;
    v8::V8::SetFatalErrorHandler(on_v8_check);
    v8::V8::SetFatalMemoryErrorCallback(platform_on_oom);
    return 0;
}

bool platform_pump(v8::Isolate *isolate)
{
    return v8::platform::PumpMessageLoop(platform->inner(), isolate);
}

void platform_forget(v8::Isolate *isolate)
{
    v8::platform::NotifyIsolateShutdown(platform->inner(), isolate);
}

double platform_now_ms()
{
    return platform->steady_ms();
}

uintptr_t platform_stack_limit()
{
    return stack_limit;
}

void platform_on_oom(const char *location, const v8::OOMDetails &details)
{
    (void) details;
    die(true, location);
}

void platform_on_fatal(const char *location, const char *message)
{
    (void) message;
    die(false, location);
}

const char *isolate_v8_version(void)
{
    return v8::V8::GetVersion();
}

void isolate_freeze_clock(uint64_t now_ns)
{
    platform->freeze_clock(now_ns);
}

uint64_t platform_entry_ns()
{
    return platform->entry_ns();
}
