// SPDX-License-Identifier: Apache-2.0
//
// BroadcastChannel (HTML) within the isolate. A channel that a request has made ends with that request.
import { cloneWithTransfer } from "../clone.js";
import { currentCall } from "../current.js";
import { domException } from "../dom_exception.js";
import { EventTarget, defineHandler, dispatch, targetListeners } from "../event_target.js";
import { isObject, newList } from "../primordials.js";
import { queueTask } from "../tasks.js";
import { defineInterface, illegalInvocation, requireArguments, toDOMString } from "../webidl.js";
import { messageEvent } from "./event.js";

const open = newList(); // channels, in the order of their making

let isOpen;
let isChannel;
let nameOf;

const BroadcastChannel = class extends EventTarget {
    #name;
    #owner = currentCall();
    #isClosed = false;

    constructor(name) {
        requireArguments(arguments.length, 1, "BroadcastChannel");
        super();
        this.#name = toDOMString(name);
        sweep();
        open[open.length] = this;
    }

    get name() {
        return this.#name;
    }

    postMessage(message) {
        const name = this.#name;
        requireArguments(arguments.length, 1, "BroadcastChannel.postMessage");
        if (this.#isClosed) {
            throw domException("The channel is closed.", "InvalidStateError");
        }
        const { value } = cloneWithTransfer(message, undefined);
        sweep();
        for (let i = 0; i < open.length; i++) {
            const channel = open[i];
            if (channel === this || nameOf(channel) !== name) {
                continue;
            }
            const { value: data } = cloneWithTransfer(value, undefined);
            queueTask(() => {
                if (isOpen(channel)) {
                    dispatch(channel, messageEvent(data, "null", newList()));
                }
            });
        }
    }

    close() {
        this.#isClosed = true;
        sweep();
    }

    static {
        isChannel = (value) => isObject(value) && #owner in value;
        isOpen = (channel) => !channel.#isClosed &&
            (channel.#owner === undefined || !channel.#owner.gone || channel.#owner.lingers);
        nameOf = (channel) => channel.#name;
    }
};
defineInterface(BroadcastChannel, "BroadcastChannel");

// Forgets channels that are closed, or whose request is over.
function sweep() {
    let kept = 0;
    for (let i = 0; i < open.length; i++) {
        if (isOpen(open[i])) {
            open[kept++] = open[i];
        }
    }
    open.length = kept;
}

const check = (channel) => {
    if (!isChannel(channel)) {
        throw illegalInvocation();
    }
    return targetListeners(channel);
};
defineHandler(BroadcastChannel.prototype, "message", check);
defineHandler(BroadcastChannel.prototype, "messageerror", check);

export { BroadcastChannel };
