// SPDX-License-Identifier: Apache-2.0
//
// EventTarget (DOM): listener lists, dispatch, and event handler attributes (onabort, onerror). The global object is a
// target, too: it inherits from EventTarget, and an object that tenants do not see has its listeners.
import {
    FunctionPrototypeCall, ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, TypeError,
    closeClass, isObject, newList,
} from "./primordials.js";
import { domException } from "./dom_exception.js";
import { cancel, errorDetails, eventState, isErrorEvent, isEvent } from "./event.js";
import { defineInterface, illegalInvocation, requireArguments, toText } from "./webidl.js";

export let targetListeners;
export let isEventTarget;

let hooks = { __proto__: null, reportException() {}, isAbortSignal: () => false, onListeners() {} };
// From abort.js and report.js, which import this file: reportException(error), isAbortSignal(value),
// isAborted(signal), removeOnAbort(signal, listener), onListeners(target).
export function setEventTargetHooks(given) {
    hooks = given;
}

class Listener {
    target;
    type;
    callback;
    capture;
    once;
    passive;
    removed = false;
    isHandler = false;

    constructor(target, type, callback, capture, once, passive) {
        this.target = target;
        this.type = type;
        this.callback = callback;
        this.capture = capture;
        this.once = once;
        this.passive = passive;
    }
}
closeClass(Listener);

let setHandlerOf;

const global = globalThis;
let scope; // has the listeners of the global object

// Functions of the global object are called without an object, too.
const listening = (value) => (value === global || value === undefined || value === null ? scope : value);

export class EventTarget {
    // undefined until the first listener is added; null-prototype list, replaced on each change
    #listeners;

    addEventListener(type, callback, options = undefined) {
        const target = listening(this);
        target.#listeners; // eslint-disable-line no-unused-expressions -- brand check
        requireArguments(arguments.length, 2, "EventTarget.addEventListener");
        type = toText(type);
        callback = toCallback(callback);
        let capture = false;
        let once = false;
        let passive = false;
        let signal;
        if (isObject(options)) {
            capture = !!options.capture;
            once = !!options.once;
            passive = options.passive === undefined ? false : !!options.passive;
            signal = options.signal;
            if (signal !== undefined && !hooks.isAbortSignal(signal)) {
                throw new TypeError("EventTarget.addEventListener: signal is no AbortSignal.");
            }
        } else {
            capture = !!options;
        }
        if (signal !== undefined && hooks.isAborted(signal) || callback === null) {
            return;
        }
        const listeners = target.#listeners ??= newList();
        if (find(listeners, type, callback, capture) !== -1) {
            return;
        }
        const listener = new Listener(target, type, callback, capture, once, passive);
        listeners[listeners.length] = listener;
        hooks.onListeners(target);
        if (signal !== undefined) {
            hooks.removeOnAbort(signal, listener);
        }
    }

    removeEventListener(type, callback, options = undefined) {
        const listeners = listening(this).#listeners;
        requireArguments(arguments.length, 2, "EventTarget.removeEventListener");
        type = toText(type);
        callback = toCallback(callback);
        const capture = isObject(options) ? !!options.capture : !!options;
        if (listeners === undefined) {
            return;
        }
        const index = find(listeners, type, callback, capture);
        if (index !== -1) {
            removeListener(listeners[index]);
        }
    }

    dispatchEvent(event) {
        const target = listening(this);
        target.#listeners; // eslint-disable-line no-unused-expressions -- brand check
        requireArguments(arguments.length, 1, "EventTarget.dispatchEvent");
        return dispatchUntrusted(target, event);
    }

    static {
        targetListeners = (target) => target.#listeners;
        isEventTarget = (value) => isObject(value) && #listeners in listening(value);
        setHandlerOf = (target, type, callback) => {
            const listeners = target.#listeners ??= newList();
            for (let i = 0; i < listeners.length; i++) {
                if (listeners[i].isHandler && listeners[i].type === type) {
                    if (callback === null) {
                        removeListener(listeners[i]);
                    } else {
                        listeners[i].callback = callback;
                    }
                    return;
                }
            }
            if (callback !== null) {
                const listener = new Listener(target, type, callback, false, false, false);
                listener.isHandler = true;
                listeners[listeners.length] = listener;
                hooks.onListeners(target);
            }
        };
    }
}
defineInterface(EventTarget, "EventTarget");
scope = new EventTarget();
export { scope };

const shownOf = (target) => (target === scope ? global : target);

function toCallback(value) {
    if (value === null || value === undefined) {
        return null;
    }
    if (!isObject(value)) {
        throw new TypeError("The event listener is not an object or a function.");
    }
    return value;
}

function find(listeners, type, callback, capture) {
    for (let i = 0; i < listeners.length; i++) {
        const listener = listeners[i];
        if (listener.type === type && listener.callback === callback &&
            listener.capture === capture && !listener.isHandler) {
            return i;
        }
    }
    return -1;
}

export function removeListener(listener) {
    const listeners = targetListeners(listener.target);
    listener.removed = true;
    let kept = 0;
    for (let i = 0; i < listeners.length; i++) {
        if (listeners[i] !== listener) {
            listeners[kept++] = listeners[i];
        }
    }
    listeners.length = kept;
    hooks.onListeners(listener.target);
}

function dispatchUntrusted(target, event) {
    if (!isEvent(event)) {
        throw new TypeError("EventTarget.dispatchEvent: parameter 1 is not of type 'Event'.");
    }
    const state = eventState(event);
    if (state.dispatching || !state.initialized) {
        throw domException("The event is already being dispatched.", "InvalidStateError");
    }
    state.trusted = false;
    return dispatch(target, event);
}

// Dispatches an event. Returns false if the event was cancelled. Exceptions of listeners go to
// report(error).
export function dispatch(target, event, report = hooks.reportException) {
    const state = eventState(event);
    const shown = shownOf(target);
    state.dispatching = true;
    state.target = shown;
    const listeners = targetListeners(target);
    if (listeners !== undefined && !state.stopped) {
        state.currentTarget = shown;
        state.phase = 2;
        const copy = newList();
        for (let i = 0; i < listeners.length; i++) {
            if (listeners[i].type === state.type) {
                copy[copy.length] = listeners[i];
            }
        }
        // Capturing listeners come first, also at the target.
        callAll(copy, event, state, report, true);
        if (!state.stopped) {
            callAll(copy, event, state, report, false);
        }
    }
    state.phase = 0;
    state.currentTarget = null;
    state.dispatching = false;
    state.stopped = false;
    state.stoppedImmediately = false;
    return !state.canceled;
}

function callAll(listeners, event, state, report, capture) {
    for (let i = 0; i < listeners.length; i++) {
        const listener = listeners[i];
        if (listener.removed || listener.capture !== capture) {
            continue;
        }
        if (listener.once) {
            removeListener(listener);
        }
        state.passive = listener.passive;
        try {
            invoke(listener, state.currentTarget, event, state);
        } catch (error) {
            report(error);
        }
        state.passive = false;
        if (state.stoppedImmediately) {
            return;
        }
    }
}

function invoke(listener, target, event, state) {
    const { callback } = listener;
    if (listener.isHandler) {
        if (typeof callback === "function" && callHandler(callback, target, event, state)) {
            cancel(state);
        }
    } else if (typeof callback === "function") {
        FunctionPrototypeCall(callback, target, event);
    } else {
        const { handleEvent } = callback;
        if (typeof handleEvent !== "function") {
            throw new TypeError("The event listener's handleEvent is not a function.");
        }
        FunctionPrototypeCall(handleEvent, callback, event);
    }
}

// Calls an event handler. Returns whether its result cancels the event. onerror of the global object is special.
function callHandler(callback, target, event, state) {
    if (target !== global || state.type !== "error" || !isErrorEvent(event)) {
        return FunctionPrototypeCall(callback, target, event) === false;
    }
    const { message, filename, lineno, colno, error } = errorDetails(event);
    return FunctionPrototypeCall(callback, target, message, filename, lineno, colno, error) === true;
}

// Returns whether an event of this type would reach anybody.
export function hasListener(target, type) {
    const listeners = targetListeners(target);
    for (let i = 0; listeners !== undefined && i < listeners.length; i++) {
        if (listeners[i].type === type) {
            return true;
        }
    }
    return false;
}

// The check for an event handler attribute of the global object.
export function requireGlobal(value) {
    if (listening(value) !== scope) {
        throw illegalInvocation();
    }
    return targetListeners(scope);
}

// Defines an event handler attribute, such as onabort for "abort". check(this) returns the listeners, or throws; onSet(this)
// is called after each change.
export function defineHandler(prototype, type, check, onSet = undefined) {
    const accessor = {
        get [`on${type}`]() {
            const listeners = check(this);
            for (let i = 0; listeners !== undefined && i < listeners.length; i++) {
                if (listeners[i].isHandler && listeners[i].type === type) {
                    return listeners[i].callback;
                }
            }
            return null;
        },
        set [`on${type}`](value) {
            check(this);
            setHandlerOf(listening(this), type, isObject(value) ? value : null);
            if (onSet !== undefined) {
                onSet(this);
            }
        },
    };
    const descriptor = ObjectGetOwnPropertyDescriptor(accessor, `on${type}`);
    descriptor.enumerable = true;
    ObjectDefineProperty(prototype, `on${type}`, descriptor);
}
