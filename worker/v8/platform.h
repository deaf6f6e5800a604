// SPDX-License-Identifier: Apache-2.0
//
// V8 in this process: platform, flags, clock, fatal errors, stack. Shared by the worker and by
// skep-mksnapshot. Main thread; before the jail, except for platform_pump and platform_now_ms.
#pragma once

#include "worker/isolate.h"

#include <v8.h>

#include <cstdint>

// Sets V8's flags and starts it. 0 or -errno. Only once for each process.
int platform_start(const struct isolate_platform_options *options);

// Runs one task that V8 has posted for the isolate (asynchronous WebAssembly compilation, garbage
// collection). False if there was none. Inside the isolate.
bool platform_pump(v8::Isolate *isolate);
// Drops the tasks of an isolate that is about to be disposed of.
void platform_forget(v8::Isolate *isolate);

// Returns milliseconds of a clock that never goes back; as Date.now(), it stands still while JavaScript runs.
double platform_now_ms();

// Returns the nanoseconds since the last isolate_freeze_clock.
uint64_t platform_entry_ns();

// Returns the lowest address that JavaScript's stack may reach on the main thread.
uintptr_t platform_stack_limit();

void platform_on_oom(const char *location, const v8::OOMDetails &details);
void platform_on_fatal(const char *location, const char *message);
