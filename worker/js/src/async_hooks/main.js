// SPDX-License-Identifier: Apache-2.0
//
// node:async_hooks, as far as Cloudflare Workers have it: AsyncLocalStorage and AsyncResource. Evaluated when a tenant imports it.
// provide(): build.mjs.
import { callIn, currentFrame, storeOf, withStore } from "../frame.js";
import { Error, ObjectDefineProperty, TypeError } from "../primordials.js";
import { defineInterface, toDOMString, toDictionary } from "../webidl.js";

function requireFunction(value, number, name) {
    if (typeof value !== "function") {
        throw new TypeError(`${name}: parameter ${number} is not a function.`);
    }
}

// Returns a function that calls the given one in a frame, with a `this` of its own if isFixed.
function bindTo(frame, callback, isFixed, thisArgument) {
    const { bound } = {
        bound(...args) {
            return callIn(frame, callback, isFixed ? thisArgument : this, args);
        },
    };
    ObjectDefineProperty(bound, "length", { __proto__: null, value: callback.length, configurable: true });
    return bound;
}

const notThere = (name, instead) => new Error(`AsyncLocalStorage.${name} is not there: use ${instead}, whose store ends with its function.`);

const AsyncLocalStorage = class {
    #preset;
    #name = "";

    constructor(options = undefined) {
        const given = toDictionary(options, "AsyncLocalStorage");
        this.#preset = given?.defaultValue;
        if (given?.name !== undefined) {
            this.#name = toDOMString(given.name);
        }
    }

    static bind(callback) {
        requireFunction(callback, 1, "AsyncLocalStorage.bind");
        return bindTo(currentFrame(), callback, false, undefined);
    }

    static snapshot() {
        const frame = currentFrame();
        const { snapshot } = {
            snapshot(callback, ...args) {
                requireFunction(callback, 1, "The function of AsyncLocalStorage.snapshot");
                return callIn(frame, callback, undefined, args);
            },
        };
        return snapshot;
    }

    get name() {
        return this.#name;
    }

    getStore() {
        return storeOf(this, this.#preset);
    }

    run(store, callback, ...args) {
        this.#name; // eslint-disable-line no-unused-expressions -- brand check
        requireFunction(callback, 2, "AsyncLocalStorage.run");
        return callIn(withStore(this, store), callback, undefined, args);
    }

    exit(callback, ...args) {
        this.#name; // eslint-disable-line no-unused-expressions
        requireFunction(callback, 1, "AsyncLocalStorage.exit");
        return callIn(withStore(this, undefined), callback, undefined, args);
    }

    enterWith() {
        throw notThere("enterWith", "run(store, callback)");
    }

    disable() {
        throw notThere("disable", "exit(callback)");
    }
};
defineInterface(AsyncLocalStorage, "AsyncLocalStorage");

const AsyncResource = class {
    #frame = currentFrame();

    constructor(type) {
        if (typeof type !== "string") {
            throw new TypeError("AsyncResource: parameter 1 is not a string.");
        }
    }

    static bind(callback, type = undefined, thisArgument = undefined) {
        requireFunction(callback, 1, "AsyncResource.bind");
        return bindTo(currentFrame(), callback, thisArgument !== undefined, thisArgument);
    }

    bind(callback, thisArgument = undefined) {
        requireFunction(callback, 1, "AsyncResource.bind");
        return bindTo(this.#frame, callback, thisArgument !== undefined, thisArgument);
    }

    runInAsyncScope(callback, thisArgument = undefined, ...args) {
        requireFunction(callback, 1, "AsyncResource.runInAsyncScope");
        return callIn(this.#frame, callback, thisArgument, args);
    }
};
defineInterface(AsyncResource, "AsyncResource");

provide({ __proto__: null, "node:async_hooks": { AsyncLocalStorage, AsyncResource } });
