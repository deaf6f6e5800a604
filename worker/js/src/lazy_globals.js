// SPDX-License-Identifier: Apache-2.0
//
// Globals whose code is evaluated when a tenant first looks at one of them: a folder of src/ for each library, which is
// imported as "lazy:" (build.mjs). README.md says how to make a part lazy.
import { base64Library } from "./base64.js";
import { load as loadAsyncHooks } from "lazy:./async_hooks/main.js";
import { load as loadCompression } from "lazy:./compression/main.js";
import { load as loadMessaging } from "lazy:./messaging/main.js";
import { load as loadRewriter } from "lazy:./rewriter/main.js";
import { load as loadScheduler } from "lazy:./scheduler/main.js";
import { load as loadUrlPattern } from "lazy:./url_pattern/main.js";
import { cryptoLibrary, subtleLibrary } from "./crypto.js";
import { domExceptionLibrary } from "./dom_exception.js";
import { encodingStreamLibrary } from "./encoding_streams.js";
import { fetchEventLibrary } from "./fetch_event.js";
import { formLibrary } from "./form.js";
import { timeline } from "./globals.js";
import { lazy } from "./native.js";
import { ObjectKeys } from "./primordials.js";
import { streamLibrary } from "./streams.js";
import { urlLibrary } from "./url.js";

let asyncHooks;
let compression;
let messaging;
let scheduling;
const asyncHooksLibrary = () => (asyncHooks ??= loadAsyncHooks());
const compressionLibrary = () => (compression ??= loadCompression());
const messagingLibrary = () => (messaging ??= loadMessaging());
const schedulerLibrary = () => (scheduling ??= loadScheduler());

// Name of a property that lazy() has made, and the library that has its value.
const libraries = {
    __proto__: null,
    BroadcastChannel: messagingLibrary,
    ByteLengthQueuingStrategy: streamLibrary,
    CompressionStream: compressionLibrary,
    CountQueuingStrategy: streamLibrary,
    Crypto: cryptoLibrary,
    CryptoKey: subtleLibrary,
    DOMException: domExceptionLibrary,
    DecompressionStream: compressionLibrary,
    DigestStream: subtleLibrary, // a property of crypto
    ExtendableEvent: fetchEventLibrary,
    FetchEvent: fetchEventLibrary,
    FormData: formLibrary,
    HTMLRewriter: loadRewriter,
    MessageChannel: messagingLibrary,
    MessageEvent: messagingLibrary,
    MessagePort: messagingLibrary,
    PerformanceEntry: timeline,
    PerformanceMark: timeline,
    PerformanceMeasure: timeline,
    PerformanceObserver: timeline,
    PerformanceObserverEntryList: timeline,
    QuotaExceededError: subtleLibrary,
    ReadableByteStreamController: streamLibrary,
    ReadableStream: streamLibrary,
    ReadableStreamBYOBReader: streamLibrary,
    ReadableStreamBYOBRequest: streamLibrary,
    ReadableStreamDefaultController: streamLibrary,
    ReadableStreamDefaultReader: streamLibrary,
    Scheduler: schedulerLibrary,
    SubtleCrypto: subtleLibrary,
    TaskController: schedulerLibrary,
    TaskPriorityChangeEvent: schedulerLibrary,
    TaskSignal: schedulerLibrary,
    TextDecoderStream: encodingStreamLibrary,
    TextEncoderStream: encodingStreamLibrary,
    TransformStream: streamLibrary,
    TransformStreamDefaultController: streamLibrary,
    URL: urlLibrary,
    URLPattern: loadUrlPattern,
    URLSearchParams: urlLibrary,
    WritableStream: streamLibrary,
    WritableStreamDefaultController: streamLibrary,
    WritableStreamDefaultWriter: streamLibrary,
    setFromBase64: base64Library, // a property of Uint8Array.prototype, as setFromHex
    setFromHex: base64Library,
    "node:async_hooks": asyncHooksLibrary, // a module
    scheduler: schedulerLibrary,
};

// The entry for the properties that lazy() has made.
export const loadLazy = (name) => libraries[name]()[name];

// Called once, while the snapshot is made.
export function defineLazyGlobals() {
    const names = ObjectKeys(libraries);
    for (let i = 0; i < names.length; i++) {
        const library = libraries[names[i]];
        if (names[i] !== "DigestStream" && library !== base64Library && library !== asyncHooksLibrary) {
            lazy(globalThis, names[i]);
        }
    }
}
