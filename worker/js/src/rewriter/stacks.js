// SPDX-License-Identifier: Apache-2.0
//
// JavaScript Promise Integration for the layer alone. V8 adds it to the WebAssembly object of the context, and some reflection with it; all
// of that goes away again before the tenant runs, and what it has put there itself comes back.
import { lendStacks } from "../native.js";
import { ObjectDefineProperty, ReflectGetOwnPropertyDescriptor, TypeError, newList } from "../primordials.js";
import { webAssembly } from "../webassembly.js";

const { Global, Memory, Table, Tag, WebAssembly } = webAssembly;

const PLACES = [
    [WebAssembly, "Suspending"], [WebAssembly, "promising"], [WebAssembly, "SuspendError"], [WebAssembly, "Function"],
    [Global.prototype, "type"], [Memory.prototype, "type"], [Table.prototype, "type"], [Tag.prototype, "type"],
];

// Takes the properties of these places away, and returns their descriptors.
function take() {
    const taken = newList();
    for (let i = 0; i < PLACES.length; i++) {
        const object = PLACES[i][0];
        const name = PLACES[i][1];
        taken[i] = ReflectGetOwnPropertyDescriptor(object, name);
        delete object[name];
    }
    return taken;
}

function putBack(taken) {
    for (let i = 0; i < PLACES.length; i++) {
        if (taken[i] !== undefined) {
            ObjectDefineProperty(PLACES[i][0], PLACES[i][1], { __proto__: null, ...taken[i] });
        }
    }
}

function takeStacks() {
    let given;
    try {
        const own = take();
        lendStacks();
        given = take();
        putBack(own);
    } catch {
        given = undefined;
    }
    if (given?.[0] === undefined || given[1] === undefined) {
        throw new TypeError("HTMLRewriter needs WebAssembly as it was: use HTMLRewriter before you freeze it");
    }
    return { __proto__: null, Suspending: given[0].value, promising: given[1].value };
}

export const { Suspending, promising } = takeStacks();
