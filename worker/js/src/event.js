// SPDX-License-Identifier: Apache-2.0
//
// Event, CustomEvent, ErrorEvent and PromiseRejectionEvent (DOM, HTML). There is no tree, so an
// event has one target and its path is that.
import {
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, PromiseResolve, TypeError, closeClass,
    isObject,
} from "./primordials.js";
import { defineInterface, requireArguments, toDOMString, toDictionary, toText } from "./webidl.js";
import { elapsed } from "./clock.js";

// For EventTarget: the state of an event while it is dispatched.
export let eventState;
export let isEvent;
export let createEvent;
export let isErrorEvent;
export let errorDetails; // the members of an ErrorEvent

const NONE = 0;
const AT_TARGET = 2;
// As type: an event of skep's own, whose type is in init.
export const trustedEvents = Symbol("trusted");

class State {
    type;
    bubbles = false;
    cancelable = false;
    composed = false;
    target = null;
    currentTarget = null;
    phase = NONE;
    dispatching = false;
    initialized = true;
    canceled = false;
    stopped = false;
    stoppedImmediately = false;
    passive = false;
    trusted = false;
    timeStamp = 0;
}
closeClass(State);

const isTrustedGetter = ObjectGetOwnPropertyDescriptor({
    get isTrusted() {
        return eventState(this).trusted;
    },
}, "isTrusted").get;

export class Event {
    #state = new State();

    constructor(type, init = undefined) {
        const state = this.#state;
        if (type === trustedEvents) {
            state.trusted = true;
            type = init.type;
            state.cancelable = init.cancelable === true;
        } else {
            requireArguments(arguments.length, 1, "Event");
            type = toText(type);
            init = toDictionary(init, "Event");
            if (init !== undefined) {
                state.bubbles = !!init.bubbles;
                state.cancelable = !!init.cancelable;
                state.composed = !!init.composed;
            }
        }
        state.type = type;
        state.timeStamp = elapsed();
        ObjectDefineProperty(this, "isTrusted", {
            __proto__: null, get: isTrustedGetter, set: undefined,
            enumerable: true, configurable: false,
        });
    }

    get type() {
        return this.#state.type;
    }
    get target() {
        return this.#state.target;
    }
    get srcElement() {
        return this.#state.target;
    }
    get currentTarget() {
        return this.#state.currentTarget;
    }
    composedPath() {
        const { currentTarget } = this.#state;
        return currentTarget === null ? [] : [currentTarget];
    }
    get eventPhase() {
        return this.#state.phase;
    }
    stopPropagation() {
        this.#state.stopped = true;
    }
    get cancelBubble() {
        return this.#state.stopped;
    }
    set cancelBubble(value) {
        const state = this.#state;
        if (value) {
            state.stopped = true;
        }
    }
    stopImmediatePropagation() {
        this.#state.stopped = true;
        this.#state.stoppedImmediately = true;
    }
    get bubbles() {
        return this.#state.bubbles;
    }
    get cancelable() {
        return this.#state.cancelable;
    }
    get returnValue() {
        return !this.#state.canceled;
    }
    set returnValue(value) {
        const state = this.#state;
        if (!value) {
            cancel(state);
        }
    }
    preventDefault() {
        cancel(this.#state);
    }
    get defaultPrevented() {
        return this.#state.canceled;
    }
    get composed() {
        return this.#state.composed;
    }
    get timeStamp() {
        return this.#state.timeStamp;
    }
    initEvent(type, bubbles = false, cancelable = false) {
        const state = this.#state;
        requireArguments(arguments.length, 1, "Event.initEvent");
        type = toText(type);
        if (state.dispatching) {
            return;
        }
        initializeEvent(state, type, !!bubbles, !!cancelable);
    }

    static {
        eventState = (event) => event.#state;
        isEvent = (value) => isObject(value) && #state in value;
        createEvent = (type, cancelable) => new Event(trustedEvents, { type, cancelable });
    }
}

export function cancel(state) {
    if (state.cancelable && !state.passive) {
        state.canceled = true;
    }
}

export function initializeEvent(state, type, bubbles, cancelable) {
    state.initialized = true;
    state.stopped = false;
    state.stoppedImmediately = false;
    state.canceled = false;
    state.trusted = false;
    state.target = null;
    state.type = type;
    state.bubbles = bubbles;
    state.cancelable = cancelable;
}

defineInterface(Event, "Event", {
    NONE, CAPTURING_PHASE: 1, AT_TARGET, BUBBLING_PHASE: 3,
});

export class CustomEvent extends Event {
    #detail = null;

    constructor(type, init = undefined) {
        requireArguments(arguments.length, 1, "CustomEvent");
        super(type, init);
        if (init !== undefined && init !== null && init.detail !== undefined) {
            this.#detail = init.detail;
        }
    }

    get detail() {
        return this.#detail;
    }

    initCustomEvent(type, bubbles = false, cancelable = false, detail = null) {
        const state = eventState(this);
        this.#detail; // eslint-disable-line no-unused-expressions -- brand check
        requireArguments(arguments.length, 1, "CustomEvent.initCustomEvent");
        type = toText(type);
        if (state.dispatching) {
            return;
        }
        initializeEvent(state, type, !!bubbles, !!cancelable);
        this.#detail = detail;
    }
}
defineInterface(CustomEvent, "CustomEvent");

export class ErrorEvent extends Event {
    #message = "";
    #filename = "";
    #lineno = 0;
    #colno = 0;
    #error;

    constructor(type, init = undefined) {
        requireArguments(arguments.length, 1, "ErrorEvent");
        super(type, init);
        if (init !== undefined && init !== null) {
            const { colno, error, filename, lineno, message } = init;
            this.#colno = colno === undefined ? 0 : colno >>> 0;
            this.#error = error;
            this.#filename = filename === undefined ? "" : toDOMString(filename);
            this.#lineno = lineno === undefined ? 0 : lineno >>> 0;
            this.#message = message === undefined ? "" : toDOMString(message);
        }
    }

    get message() {
        return this.#message;
    }
    get filename() {
        return this.#filename;
    }
    get lineno() {
        return this.#lineno;
    }
    get colno() {
        return this.#colno;
    }
    get error() {
        return this.#error;
    }

    static {
        isErrorEvent = (event) => #message in event;
        errorDetails = (event) => ({
            __proto__: null, message: event.#message, filename: event.#filename, lineno: event.#lineno,
            colno: event.#colno, error: event.#error,
        });
    }
}
defineInterface(ErrorEvent, "ErrorEvent");

export class PromiseRejectionEvent extends Event {
    #promise;
    #reason;

    constructor(type, init) {
        requireArguments(arguments.length, 2, "PromiseRejectionEvent");
        super(type, init);
        if (!isObject(init) || init.promise === undefined) {
            throw new TypeError("PromiseRejectionEvent: required member promise is missing.");
        }
        const { promise, reason } = init;
        this.#promise = isObject(promise) ? promise : PromiseResolve(promise);
        this.#reason = reason;
    }

    get promise() {
        return this.#promise;
    }
    get reason() {
        return this.#reason;
    }
}
defineInterface(PromiseRejectionEvent, "PromiseRejectionEvent");
