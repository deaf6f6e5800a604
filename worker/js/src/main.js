// SPDX-License-Identifier: Apache-2.0
//
// Puts the Web APIs on the global object and hands the entry points to worker/v8. Evaluated once,
// while the snapshot is made: no native may be called here but lazy and register.
import { ObjectDefineProperty, ObjectKeys } from "./primordials.js";
import { register } from "./native.js";
import {
    AbortController, AbortSignal, isAborted, isAbortSignal, onListeners, removeOnAbort,
} from "./abort.js";
import { base64Functions, prepareBase64 } from "./base64.js";
import { Blob, File } from "./blob.js";
import { onCallBody, onCallCredit, onCallFailed, onCallHead } from "./bindings.js";
import { boot, dispatch, forget, onBody, onCancel, onCredit, onTimer } from "./calls.js";
import { cloneFunctions } from "./clone.js";
import { console } from "./console.js";
import { defineCrypto } from "./crypto.js";
import { TextDecoder, TextEncoder } from "./encoding.js";
import { CustomEvent, ErrorEvent, Event, PromiseRejectionEvent } from "./event.js";
import { EventTarget, setEventTargetHooks } from "./event_target.js";
import { fetchFunctions } from "./fetch.js";
import { defineFunctionText } from "./function_text.js";
import { defineScope } from "./global_scope.js";
import {
    Navigator, Performance, globalFunctions, navigator, performance,
} from "./globals.js";
import { Headers } from "./headers.js";
import { toAscii } from "./idna.js";
import { describeError } from "./inspect.js";
import { defineLazyGlobals, loadLazy } from "./lazy_globals.js";
import { missing } from "./missing.js";
import { onRejection, reportException } from "./report.js";
import { Request } from "./request.js";
import { Response } from "./response.js";
import { timerFunctions } from "./timers.js";
import { prepareWebAssembly } from "./webassembly.js";

function define(values, enumerable) {
    const names = ObjectKeys(values);
    for (let i = 0; i < names.length; i++) {
        ObjectDefineProperty(globalThis, names[i], {
            __proto__: null, value: values[names[i]],
            writable: true, enumerable, configurable: true,
        });
    }
}

setEventTargetHooks({
    __proto__: null, reportException, isAbortSignal, isAborted, onListeners, removeOnAbort,
});

define({
    AbortController, AbortSignal, Blob, CustomEvent, ErrorEvent, Event, EventTarget,
    File, Headers, Navigator, Performance, PromiseRejectionEvent, Request, Response,
    TextDecoder, TextEncoder, console,
}, false);
define({ navigator, performance, self: globalThis }, true);
define(base64Functions, true);
define(cloneFunctions, true);
define(fetchFunctions, true);
define(globalFunctions, true);
define(timerFunctions, true);
defineCrypto();
defineLazyGlobals();
defineScope();
defineFunctionText();

register({
    load: loadLazy, boot, describe: describeError, dispatch, forget, onBody, onCallBody, onCallCredit, onCallFailed,
    missing, onCallHead, onCancel, onCredit, onRejection, onTimer, toAscii, prepare() {
        prepareWebAssembly();
        prepareBase64();
    },
});
