// SPDX-License-Identifier: Apache-2.0
//
// setTimeout, setInterval, clearTimeout and clearInterval (HTML). A timer belongs to the request
// that started it, and keeps it or is dropped with it; the worker counts timers and keeps the time.
import { clearTimer, keepTimer, setTimer } from "./native.js";
import {
    ArrayPrototypeSlice, FunctionPrototypeApply, Map, MapPrototypeDelete, MapPrototypeForEach,
    MapPrototypeGet, MapPrototypeSet, TypeError, closeClass, newList,
} from "./primordials.js";
import { currentCall } from "./current.js";
import { callIn, currentFrame } from "./frame.js";
import { reportException } from "./report.js";
import { requireArguments, toNumber } from "./webidl.js";

class Timer {
    call;
    callback;
    args;
    repeat;
    frame;

    constructor(call, callback, args, repeat, frame) {
        this.call = call;
        this.callback = callback;
        this.args = args;
        this.repeat = repeat;
        this.frame = frame;
    }
}
closeClass(Timer);

let timers; // id to Timer, for all requests

// Returns the id. args: undefined or a list of arguments for callback. frame: that of the callback.
export function startTimer(delay, repeat, callback, args, frame = currentFrame()) {
    const id = setTimer(delay, repeat);
    const current = currentCall();
    if (current !== undefined && current.gone && !current.lingers) {
        return id; // the timer goes with its request before it is due
    }
    const timer = new Timer(current, callback, args, repeat, frame);
    MapPrototypeSet(timers ??= new Map(), id, timer);
    if (current !== undefined) {
        MapPrototypeSet(current.timers ??= new Map(), id, timer);
    }
    return id;
}

export function stopTimer(id) {
    const timer = timers === undefined ? undefined : MapPrototypeGet(timers, id);
    if (timer !== undefined) {
        drop(id, timer);
        clearTimer(id);
    }
}

function drop(id, timer) {
    MapPrototypeDelete(timers, id);
    if (timer.call?.timers !== undefined) {
        MapPrototypeDelete(timer.call.timers, id);
    }
}

// request: that of the entry.
export function runTimer(id, request) {
    const timer = timers === undefined ? undefined : MapPrototypeGet(timers, id);
    if (timer === undefined) {
        return;
    }
    if (!timer.repeat) {
        drop(id, timer);
    }
    if (timer.frame === request) {
        run(timer);
    } else {
        const args = newList();
        args[0] = timer;
        callIn(timer.frame, run, undefined, args);
    }
}

function run(timer) {
    try {
        if (timer.args === undefined) {
            const { callback } = timer;
            callback();
        } else {
            FunctionPrototypeApply(timer.callback, globalThis, timer.args);
        }
    } catch (error) {
        reportException(error);
    }
}

// Decides about the timers of a request that is over: those that are due soon keep it, the others
// are dropped. Returns whether any keeps it.
export function keepTimers(call) {
    let isKept = false;
    if (call.timers !== undefined) {
        MapPrototypeForEach(call.timers, (timer, id) => {
            if (keepTimer(id) === 0) {
                drop(id, timer);
            } else {
                isKept = true;
            }
        });
    }
    return isKept;
}

// Forgets timers here; the worker forgets the timers of a request by itself.
export function forgetTimers(call) {
    if (call.timers !== undefined) {
        MapPrototypeForEach(call.timers, (timer, id) => MapPrototypeDelete(timers, id));
        call.timers = undefined;
    }
}

function start(name, argumentList, repeat) {
    requireArguments(argumentList.length, 1, name);
    const callback = argumentList[0];
    if (typeof callback !== "function") {
        throw new TypeError(`${name}: parameter 1 is not a function (text is not run as code).`);
    }
    const delay = toNumber(argumentList[1]) | 0; // Web IDL long
    return startTimer(delay < 0 ? 0 : delay, repeat, callback,
        ArrayPrototypeSlice(argumentList, 2));
}

export const timerFunctions = {
    setTimeout(handler) {
        return start("setTimeout", arguments, false);
    },
    setInterval(handler) {
        return start("setInterval", arguments, true);
    },
    clearTimeout(id = undefined) {
        stopTimer(toNumber(id) | 0);
    },
    clearInterval(id = undefined) {
        stopTimer(toNumber(id) | 0);
    },
};
