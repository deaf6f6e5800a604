// SPDX-License-Identifier: Apache-2.0
//
// ExtendableEvent and FetchEvent (Service Workers). An event of skep's own belongs to a call of
// calls.js; one that a tenant makes belongs to none, and can neither answer nor extend a request. Evaluated when a tenant first looks at one
// of them, or a listener gets an event: ../fetch_event.js. provide(): build.mjs.
import { TypeError, isObject } from "../primordials.js";
import { domException } from "../dom_exception.js";
import { Event, eventState, trustedEvents } from "../event.js";
import { warnPassThrough } from "../pass_through.js";
import { isRequest } from "../request.js";
import { defineInterface, requireArguments } from "../webidl.js";

// Functions for calls.js, which dispatches events of skep's own.
let createFetchEvent;
let wasAnswered; // respondWith was called
let givenAnswer; // with what: a Response, or a promise of one

const invalidState = (message) => domException(message, "InvalidStateError");

const ExtendableEvent = class extends Event {
    #call; // undefined if a tenant has made the event

    constructor(type, init = undefined) {
        if (type !== trustedEvents) {
            requireArguments(arguments.length, 1, "ExtendableEvent");
        }
        super(type, init);
        this.#call = type === trustedEvents ? init.call : undefined;
    }

    waitUntil(promise) {
        const call = this.#call;
        requireArguments(arguments.length, 1, "ExtendableEvent.waitUntil");
        if (call === undefined) {
            throw invalidState("ExtendableEvent.waitUntil: the event was not dispatched by skep.");
        }
        if (call.gone) {
            throw invalidState("ExtendableEvent.waitUntil: the request is over.");
        }
        call.waitUntil(promise);
    }
};
defineInterface(ExtendableEvent, "ExtendableEvent");

const FetchEvent = class extends ExtendableEvent {
    #request;
    #isTrusted;
    #isAnswered = false;
    #answer;

    constructor(type, init) {
        const isTrusted = type === trustedEvents;
        if (!isTrusted) {
            requireArguments(arguments.length, 2, "FetchEvent");
        }
        super(type, init);
        const request = isObject(init) ? init.request : undefined;
        if (!isRequest(request)) {
            throw new TypeError("FetchEvent: required member request is not a Request.");
        }
        this.#request = request;
        this.#isTrusted = isTrusted;
    }

    get request() {
        return this.#request;
    }

    respondWith(response) {
        const isTrusted = this.#isTrusted;
        requireArguments(arguments.length, 1, "FetchEvent.respondWith");
        const state = eventState(this);
        if (!state.dispatching || !isTrusted) {
            throw invalidState("FetchEvent.respondWith: the event is not being dispatched; call it before " +
                "the listener returns, with a promise if need be.");
        }
        if (this.#isAnswered) {
            throw invalidState("FetchEvent.respondWith was called already.");
        }
        state.stopped = true;
        state.stoppedImmediately = true;
        this.#isAnswered = true;
        this.#answer = response;
    }

    passThroughOnException() {
        this.#isTrusted; // eslint-disable-line no-unused-expressions -- brand check
        warnPassThrough();
    }

    static {
        createFetchEvent = (call) => new FetchEvent(trustedEvents, {
            __proto__: null, type: "fetch", cancelable: true, request: call.request, call,
        });
        wasAnswered = (event) => event.#isAnswered;
        givenAnswer = (event) => event.#answer;
    }
};
defineInterface(FetchEvent, "FetchEvent");

provide({ __proto__: null, ExtendableEvent, FetchEvent, createFetchEvent, givenAnswer, wasAnswered });
