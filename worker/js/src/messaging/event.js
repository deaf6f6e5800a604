// SPDX-License-Identifier: Apache-2.0
//
// MessageEvent (HTML).
import { Event, eventState, initializeEvent, trustedEvents } from "../event.js";
import { ArrayPrototypeSlice, ObjectFreeze, TypeError, isObject, newList } from "../primordials.js";
import {
    defineInterface, forEachOf, iteratorMethod, requireArguments, toDOMString, toText, toUSVString,
} from "../webidl.js";
import { isPort } from "./port.js";

const frozen = (list) => ObjectFreeze(ArrayPrototypeSlice(list));

function toSource(value) {
    if (value !== undefined && value !== null && !isPort(value)) {
        throw new TypeError("MessageEvent: source is not of type 'MessagePort'.");
    }
    return value ?? null;
}

function toPorts(value) {
    const list = newList();
    if (value !== undefined) {
        const method = isObject(value) ? iteratorMethod(value) : undefined;
        if (method === undefined) {
            throw new TypeError("MessageEvent: ports is not a sequence.");
        }
        forEachOf(value, method, (port) => {
            if (!isPort(port)) {
                throw new TypeError("MessageEvent: an item of ports is not of type 'MessagePort'.");
            }
            list[list.length] = port;
        });
    }
    return frozen(list);
}

const MessageEvent = class extends Event {
    #data = null;
    #origin = "";
    #lastEventId = "";
    #source = null;
    #ports;

    constructor(type, init = undefined) {
        requireArguments(arguments.length, 1, "MessageEvent");
        super(type, init);
        if (type === trustedEvents) {
            this.#data = init.data;
            this.#origin = init.origin;
            this.#ports = frozen(init.ports);
            return;
        }
        const { data, lastEventId, origin, ports, source } = init ?? { __proto__: null };
        this.#data = data === undefined ? null : data;
        this.#lastEventId = lastEventId === undefined ? "" : toDOMString(lastEventId);
        this.#origin = origin === undefined ? "" : toUSVString(origin);
        this.#ports = toPorts(ports);
        this.#source = toSource(source);
    }

    get data() {
        return this.#data;
    }
    get origin() {
        return this.#origin;
    }
    get lastEventId() {
        return this.#lastEventId;
    }
    get source() {
        return this.#source;
    }
    get ports() {
        return this.#ports;
    }

    initMessageEvent(type, bubbles = false, cancelable = false, data = null, origin = "", lastEventId = "", source = null,
        ports = undefined) {
        const state = eventState(this);
        this.#data; // eslint-disable-line no-unused-expressions -- brand check
        requireArguments(arguments.length, 1, "MessageEvent.initMessageEvent");
        type = toText(type);
        origin = toUSVString(origin);
        lastEventId = toDOMString(lastEventId);
        source = toSource(source);
        ports = toPorts(ports);
        if (state.dispatching) {
            return;
        }
        initializeEvent(state, type, !!bubbles, !!cancelable);
        this.#data = data;
        this.#origin = origin;
        this.#lastEventId = lastEventId;
        this.#source = source;
        this.#ports = ports;
    }
};
defineInterface(MessageEvent, "MessageEvent");

export { MessageEvent };

// Makes an event of skep's own. ports: a list
export const messageEvent = (data, origin, ports) =>
    new MessageEvent(trustedEvents, { __proto__: null, type: "message", data, origin, ports });
