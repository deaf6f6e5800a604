// SPDX-License-Identifier: Apache-2.0
//
// MessageChannel and its kin (HTML), and BroadcastChannel, all within the isolate: evaluated when a tenant first looks at one of
// them. provide(): build.mjs.
import { defineInterface } from "../webidl.js";
import { BroadcastChannel } from "./broadcast.js";
import { MessageEvent } from "./event.js";
import { MessagePort, newPorts } from "./port.js";

const MessageChannel = class {
    #ports = newPorts();

    get port1() {
        return this.#ports[0];
    }
    get port2() {
        return this.#ports[1];
    }
};
defineInterface(MessageChannel, "MessageChannel");

provide({ __proto__: null, BroadcastChannel, MessageChannel, MessageEvent, MessagePort });
