// SPDX-License-Identifier: Apache-2.0
//
// MessagePort (HTML). A port is one end of a channel; a transfer gives the end to another port. A message belongs to the
// request that has posted it, and is handled on its account. Messages that come before the port is started wait with its end; of
// those whose request is over by then the request that starts the port takes care, with the stores that they were posted with.
import { cloneWithTransfer, toTransferList } from "../clone.js";
import { domException } from "../dom_exception.js";
import { createEvent } from "../event.js";
import { EventTarget, defineHandler, dispatch, targetListeners } from "../event_target.js";
import { findCall } from "../current.js";
import { callIn, currentFrame, frameHere, requestOf } from "../frame.js";
import { addClone } from "../platform.js";
import { Symbol, TypeError, closeClass, isObject, newList } from "../primordials.js";
import { queueTask } from "../tasks.js";
import {
    defineInterface, illegalInvocation, iteratorMethod, requireArguments, toDictionary,
} from "../webidl.js";
import { messageEvent } from "./event.js";

export let isPort;
let endOf;

const internal = Symbol("internal");

class End {
    port; // the MessagePort that has the end
    other; // the other end; undefined once one of them is closed
    isStarted = false;
    waiting = newList(); // messages that were not handled yet
    first = 0; // the place of the first of them
}
closeClass(End);

function deliver(end) {
    if (!end.isStarted || end.first === end.waiting.length) {
        return;
    }
    const { data, ports, frame } = end.waiting[end.first];
    end.waiting[end.first++] = undefined;
    if (end.first === end.waiting.length) {
        end.waiting.length = 0;
        end.first = 0;
    } else {
        queueTask(() => deliver(end));
    }
    const isOver = findCall(requestOf(frame)) === undefined;
    callIn(isOver ? frameHere(frame) : frame, () => dispatch(end.port, messageEvent(data, "", ports)));
}

function start(end) {
    if (end !== undefined && !end.isStarted) {
        end.isStarted = true;
        if (end.waiting.length > 0) {
            queueTask(() => deliver(end));
        }
    }
}

function close(end) {
    const { other } = end;
    end.other = undefined;
    if (other !== undefined) {
        other.other = undefined;
        queueTask(() => dispatch(other.port, createEvent("close", false)));
    }
}

function post(port, message, list) {
    const end = endOf(port);
    const other = end?.other;
    let isLost = other === undefined;
    for (let i = 0; list !== undefined && i < list.length; i++) {
        if (list[i] === port) {
            throw domException("A port cannot be sent through itself.", "DataCloneError");
        }
        isLost ||= list[i] === other.port;
    }
    const { value: data, received } = cloneWithTransfer(message, list);
    const ports = newList();
    for (let i = 0; received !== undefined && i < received.length; i++) {
        if (isPort(received[i])) {
            ports[ports.length] = received[i];
        }
    }
    if (!isLost) {
        queueTask(() => {
            other.waiting[other.waiting.length] = { __proto__: null, data, ports, frame: currentFrame() };
            deliver(other);
        });
    }
}

const MessagePort = class extends EventTarget {
    #end; // undefined once the port is closed or transferred

    constructor(token = undefined, end = undefined) {
        if (token !== internal) {
            throw new TypeError("MessagePort: Illegal constructor; use new MessageChannel()");
        }
        super();
        this.#end = end;
        end.port = this;
    }

    postMessage(message, options = undefined) {
        this.#end; // eslint-disable-line no-unused-expressions -- brand check
        requireArguments(arguments.length, 1, "MessagePort.postMessage");
        let transfer = options;
        if (!isObject(options) || iteratorMethod(options) === undefined) {
            transfer = toDictionary(options, "MessagePort.postMessage")?.transfer;
        }
        post(this, message, toTransferList(transfer, "MessagePort.postMessage"));
    }

    start() {
        start(this.#end);
    }

    close() {
        const end = this.#end;
        this.#end = undefined;
        if (end !== undefined) {
            close(end);
        }
    }

    static {
        isPort = (value) => isObject(value) && #end in value;
        endOf = (port) => port.#end;
        addClone({
            __proto__: null, is: isPort,
            transfer(port) {
                const end = port.#end;
                if (end === undefined) {
                    throw domException("A MessagePort that is closed or was transferred cannot be transferred.",
                        "DataCloneError");
                }
                port.#end = undefined;
                end.isStarted = false;
                return new MessagePort(internal, end);
            },
        });
    }
};
defineInterface(MessagePort, "MessagePort");

const check = (port) => {
    if (!isPort(port)) {
        throw illegalInvocation();
    }
    return targetListeners(port);
};
defineHandler(MessagePort.prototype, "message", check, (port) => start(endOf(port)));
defineHandler(MessagePort.prototype, "messageerror", check);
defineHandler(MessagePort.prototype, "close", check);

export { MessagePort };

// Returns two ports of a channel, as a list.
export function newPorts() {
    const one = new End();
    const two = new End();
    one.other = two;
    two.other = one;
    const ports = newList();
    ports[0] = new MessagePort(internal, one);
    ports[1] = new MessagePort(internal, two);
    return ports;
}
