// SPDX-License-Identifier: Apache-2.0
//
// Frames: what goes with code through promises, timers and tasks. A frame is the number of its request, or a Frame that has stores
// of AsyncLocalStorage besides. Frames are never changed. V8 keeps the present one with each promise that is waited for; what waits in this
// layer keeps it itself. A frame with stores lives as long as what keeps it: at most as long as its request, unless the tenant keeps it.
import { frame, setFrame } from "./native.js";
import { FunctionPrototypeApply, closeClass, newList } from "./primordials.js";

class Frame {
    request; // worker/v8 reads it
    stores; // list of an AsyncLocalStorage and its store, in turn

    constructor(request, stores) {
        this.request = request;
        this.stores = stores;
    }
}
closeClass(Frame);

// Returns the frame of the code that runs.
export const currentFrame = () => frame();

export const requestOf = (given) => (typeof given === "number" ? given : given.request);
const storesOf = (given) => (typeof given === "number" ? undefined : given.stores);

const newFrame = (request, stores) => (stores === undefined ? request : new Frame(request, stores));

// Returns a frame with the stores of the given one, for the request whose code runs.
export const frameHere = (given) => newFrame(requestOf(frame()), storesOf(given));

// Returns the present frame with another store of the AsyncLocalStorage.
export function withStore(storage, store) {
    const now = frame();
    const stores = storesOf(now);
    const list = newList();
    for (let i = 0; stores !== undefined && i < stores.length; i += 2) {
        if (stores[i] !== storage) {
            list[list.length] = stores[i];
            list[list.length] = stores[i + 1];
        }
    }
    list[list.length] = storage;
    list[list.length] = store;
    return newFrame(requestOf(now), list);
}

// Returns the store that the present frame has for the AsyncLocalStorage, preset if there is none.
export function storeOf(storage, preset) {
    const stores = storesOf(frame());
    for (let i = 0; stores !== undefined && i < stores.length; i += 2) {
        if (stores[i] === storage) {
            return stores[i + 1];
        }
    }
    return preset;
}

// Calls a function in a frame. One that module code has kept is for any request: only its stores count.
export function callIn(given, callback, thisArgument = undefined, args = newList()) {
    const before = frame();
    if (given === before) {
        return FunctionPrototypeApply(callback, thisArgument, args);
    }
    setFrame(requestOf(given) === 0 ? newFrame(requestOf(before), storesOf(given)) : given);
    try {
        return FunctionPrototypeApply(callback, thisArgument, args);
    } finally {
        setFrame(before);
    }
}
