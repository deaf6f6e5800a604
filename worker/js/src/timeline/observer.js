// SPDX-License-Identifier: Apache-2.0
//
// PerformanceObserver (Performance Timeline). The callback runs for the request that has made the entries.
import { domException } from "../dom_exception.js";
import {
    ArrayPrototypeSlice, FunctionPrototypeCall, ObjectDefineProperty, ObjectFreeze, Symbol, TypeError, isObject, newList,
} from "../primordials.js";
import { reportException } from "../report.js";
import { currentTasks, queueTask } from "../tasks.js";
import {
    defineInterface, forEachOf, iteratorMethod, requireArguments, toDOMString, toDictionary,
} from "../webidl.js";
import { buffered, droppedEntries, select } from "./buffer.js";
import { entryType } from "./entries.js";

const internal = Symbol("internal");
const MAX_WAITING = 1000; // entries that an observer keeps for its callback

const supported = newList();
supported[0] = "mark";
supported[1] = "measure";
const supportedEntryTypes = ObjectFreeze(ArrayPrototypeSlice(supported));

const isSupported = (type) => type === "mark" || type === "measure";

const PerformanceObserverEntryList = class {
    #entries;

    constructor(token = undefined, entries = undefined) {
        if (token !== internal) {
            throw new TypeError("PerformanceObserverEntryList: Illegal constructor");
        }
        this.#entries = entries;
    }

    getEntries() {
        return select(this.#entries, undefined, undefined);
    }
    getEntriesByType(type) {
        const entries = this.#entries;
        requireArguments(arguments.length, 1, "PerformanceObserverEntryList.getEntriesByType");
        return select(entries, toDOMString(type), undefined);
    }
    getEntriesByName(name, type = undefined) {
        const entries = this.#entries;
        requireArguments(arguments.length, 1, "PerformanceObserverEntryList.getEntriesByName");
        name = toDOMString(name);
        return select(entries, type === undefined ? undefined : toDOMString(type), name);
    }
};
defineInterface(PerformanceObserverEntryList, "PerformanceObserverEntryList");

let observers = newList(); // those that observe something
let offer; // gives an entry to an observer
let notify; // calls the observer's callback with what it has

function toTypes(value) {
    const method = isObject(value) ? iteratorMethod(value) : undefined;
    if (method === undefined) {
        throw new TypeError("PerformanceObserver.observe: entryTypes is not a sequence.");
    }
    const types = newList();
    forEachOf(value, method, (item) => {
        const type = toDOMString(item);
        if (isSupported(type)) {
            types[types.length] = type;
        }
    });
    return types;
}

function notifyAll() {
    const all = observers;
    for (let i = 0; i < all.length; i++) {
        notify(all[i]);
    }
}

// For each request that makes entries, as a request that ends takes its tasks with it.
function queueNotification() {
    const tasks = currentTasks();
    if (!tasks.isNotifying) {
        queueTask(() => {
            tasks.isNotifying = false;
            notifyAll();
        });
        tasks.isNotifying = true;
    }
}

// Tells the observers of a new entry.
export function announce(entry) {
    for (let i = 0; i < observers.length; i++) {
        offer(observers[i], entry);
    }
}

function without(observer) {
    const kept = newList();
    for (let i = 0; i < observers.length; i++) {
        if (observers[i] !== observer) {
            kept[kept.length] = observers[i];
        }
    }
    return kept;
}

const PerformanceObserver = class {
    #callback;
    #mode; // undefined, "single" (type) or "multiple" (entryTypes)
    #types = newList();
    #entries = newList();
    #needsDropped = true;

    constructor(callback) {
        requireArguments(arguments.length, 1, "PerformanceObserver");
        if (typeof callback !== "function") {
            throw new TypeError("PerformanceObserver: parameter 1 is not a function.");
        }
        this.#callback = callback;
    }

    observe(options = undefined) {
        const mode = this.#mode;
        const { buffered: isBuffered, entryTypes, type } = toDictionary(options, "PerformanceObserver.observe") ?? { __proto__: null };
        if (entryTypes === undefined && type === undefined) {
            throw new TypeError("PerformanceObserver.observe: neither type nor entryTypes is given.");
        }
        if (entryTypes !== undefined && type !== undefined) {
            throw new TypeError("PerformanceObserver.observe: type and entryTypes are given.");
        }
        const wanted = entryTypes === undefined ? "single" : "multiple";
        const types = entryTypes === undefined ? newList() : toTypes(entryTypes);
        if (entryTypes === undefined && isSupported(toDOMString(type))) {
            types[0] = toDOMString(type);
        }
        if (mode !== undefined && mode !== wanted) {
            throw domException("An observer takes either type or entryTypes.", "InvalidModificationError");
        }
        this.#mode = wanted;
        this.#needsDropped = true;
        if (types.length === 0) {
            return;
        }
        if (wanted === "multiple") {
            this.#types = types;
        } else if (!this.#observes(types[0])) {
            this.#types[this.#types.length] = types[0];
        }
        observers = without(this);
        observers[observers.length] = this;
        if (wanted === "single" && isBuffered) {
            const past = buffered(types[0], undefined);
            for (let i = 0; i < past.length; i++) {
                this.#add(past[i]);
            }
        }
    }

    disconnect() {
        this.#types = newList();
        this.#entries = newList();
        this.#mode = undefined;
        observers = without(this);
    }

    takeRecords() {
        const entries = this.#entries;
        this.#entries = newList();
        return ArrayPrototypeSlice(entries);
    }

    static get supportedEntryTypes() {
        return supportedEntryTypes;
    }

    #observes(type) {
        for (let i = 0; i < this.#types.length; i++) {
            if (this.#types[i] === type) {
                return true;
            }
        }
        return false;
    }

    #add(entry) {
        if (this.#entries.length < MAX_WAITING) {
            this.#entries[this.#entries.length] = entry;
        }
        queueNotification();
    }

    static {
        offer = (observer, entry) => {
            if (observer.#observes(entryType(entry))) {
                observer.#add(entry);
            }
        };
        notify = (observer) => {
            const entries = observer.#entries;
            if (entries.length === 0) {
                return;
            }
            observer.#entries = newList();
            const options = {};
            if (observer.#needsDropped) {
                observer.#needsDropped = false;
                ObjectDefineProperty(options, "droppedEntriesCount", {
                    __proto__: null, value: droppedEntries(), writable: true, enumerable: true, configurable: true,
                });
            }
            try {
                FunctionPrototypeCall(observer.#callback, observer, new PerformanceObserverEntryList(internal, entries), observer,
                    options);
            } catch (error) {
                reportException(error);
            }
        };
    }
};
defineInterface(PerformanceObserver, "PerformanceObserver");

export { PerformanceObserver, PerformanceObserverEntryList };
