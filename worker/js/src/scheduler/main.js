// SPDX-License-Identifier: Apache-2.0
//
// scheduler: postTask and yield (Prioritized Task Scheduling), and wait as Cloudflare Workers have it; TaskController and
// TaskSignal. Evaluated when a tenant first looks at one of them. provide(): build.mjs.
import {
    AbortController, AbortSignal, abortReason, internal, isAbortSignal, isAborted, offAbort, onAbort,
} from "../abort.js";
import { Event, trustedEvents } from "../event.js";
import { defineHandler, dispatch, targetListeners } from "../event_target.js";
import { domException } from "../dom_exception.js";
import { callIn, currentFrame } from "../frame.js";
import { FunctionPrototypeCall, Promise, TypeError, closeClass, isObject, newList } from "../primordials.js";
import { currentTasks, queueTask } from "../tasks.js";
import { startTimer, stopTimer } from "../timers.js";
import {
    defineInterface, illegalInvocation, requireArguments, toDOMString, toDictionary, toUnsignedLongLongEnforced,
} from "../webidl.js";

const RANKS = { __proto__: null, "user-blocking": 0, "user-visible": 1, background: 2 };
const USUAL = "user-visible";

let isTaskSignal;
let priorityOf;
let setPriority;

function toPriority(value, name) {
    const priority = toDOMString(value);
    if (RANKS[priority] === undefined) {
        throw new TypeError(`${name}: '${priority}' is not a priority.`);
    }
    return priority;
}

const TaskPriorityChangeEvent = class extends Event {
    #previousPriority;

    constructor(type, priorityChangeEventInitDict) {
        requireArguments(arguments.length, 2, "TaskPriorityChangeEvent");
        super(type, priorityChangeEventInitDict);
        const init = toDictionary(priorityChangeEventInitDict, "TaskPriorityChangeEvent");
        if (init?.previousPriority === undefined) {
            throw new TypeError("TaskPriorityChangeEvent: required member previousPriority is missing.");
        }
        this.#previousPriority = toPriority(init.previousPriority, "TaskPriorityChangeEvent");
    }
    get previousPriority() {
        return this.#previousPriority;
    }
};
defineInterface(TaskPriorityChangeEvent, "TaskPriorityChangeEvent");

const TaskSignal = class extends AbortSignal {
    #priority;
    #isChanging = false;

    constructor(token = undefined, priority = undefined) {
        super(token);
        this.#priority = priority;
    }
    get priority() {
        return this.#priority;
    }

    static {
        isTaskSignal = (value) => isObject(value) && #priority in value;
        priorityOf = (signal) => signal.#priority;
        setPriority = (signal, priority) => {
            if (signal.#isChanging) {
                throw domException("The priority is being changed.", "NotAllowedError");
            }
            if (signal.#priority === priority) {
                return;
            }
            const previousPriority = signal.#priority;
            signal.#isChanging = true;
            signal.#priority = priority;
            try {
                dispatch(signal, new TaskPriorityChangeEvent(trustedEvents, {
                    __proto__: null, type: "prioritychange", previousPriority,
                }));
            } finally {
                signal.#isChanging = false;
            }
        };
    }
};
defineInterface(TaskSignal, "TaskSignal");
defineHandler(TaskSignal.prototype, "prioritychange", (signal) => {
    if (!isTaskSignal(signal)) {
        throw illegalInvocation();
    }
    return targetListeners(signal);
});

const TaskController = class extends AbortController {
    #signal;

    constructor(init = undefined) {
        const given = toDictionary(init, "TaskController")?.priority;
        const signal = new TaskSignal(internal, given === undefined ? USUAL : toPriority(given, "TaskController"));
        super(internal, signal);
        this.#signal = signal;
    }
    setPriority(priority) {
        const signal = this.#signal;
        requireArguments(arguments.length, 1, "TaskController.setPriority");
        setPriority(signal, toPriority(priority, "TaskController.setPriority"));
    }
};
defineInterface(TaskController, "TaskController");

class Task {
    run;
    frame = currentFrame(); // the task that runs it may have been made by other code
    priority; // undefined: that of the signal
    signal;

    constructor(run, priority, signal) {
        this.run = run;
        this.priority = priority;
        this.signal = signal;
    }
}
closeClass(Task);

const rankOf = (task) => RANKS[task.priority ?? (isTaskSignal(task.signal) ? priorityOf(task.signal) : USUAL)];

// Runs the oldest of the tasks with the highest priority. Tasks that were aborted are passed over.
function runNext(list) {
    let best = -1;
    for (let i = 0; i < list.length && (best < 0 || rankOf(list[best]) > 0); i++) {
        if (best < 0 || rankOf(list[i]) < rankOf(list[best])) {
            best = i;
        }
    }
    if (best < 0) {
        return;
    }
    const task = list[best];
    for (let i = best + 1; i < list.length; i++) {
        list[i - 1] = list[i];
    }
    list.length--;
    callIn(task.frame, task.run);
}

function enqueue(task) {
    const list = currentTasks().prioritised ??= newList();
    queueTask(() => runNext(list));
    list[list.length] = task;
}

function toSignal(value, name) {
    if (value !== undefined && !isAbortSignal(value)) {
        throw new TypeError(`${name}: signal is not of type 'AbortSignal'.`);
    }
    return value;
}

// Begins what may be aborted: steps(finish), where finish() says that it is over. An abort of the signal calls stop(), and
// rejects.
function abortable(signal, reject, steps, stop) {
    if (signal === undefined) {
        steps(() => {});
        return;
    }
    if (isAborted(signal)) {
        reject(abortReason(signal));
        return;
    }
    const onAborted = () => {
        stop();
        reject(abortReason(signal));
    };
    onAbort(signal, onAborted);
    steps(() => offAbort(signal, onAborted));
}

const Scheduler = class {
    #brand;

    constructor(token = undefined) {
        if (token !== internal) {
            throw new TypeError("Scheduler: Illegal constructor");
        }
    }

    postTask(callback, options = undefined) {
        return new Promise((resolve, reject) => {
            this.#brand; // eslint-disable-line no-unused-expressions
            requireArguments(arguments.length, 1, "Scheduler.postTask");
            if (typeof callback !== "function") {
                throw new TypeError("Scheduler.postTask: parameter 1 is not a function.");
            }
            const given = toDictionary(options, "Scheduler.postTask") ?? { __proto__: null };
            const delay = given.delay === undefined ? 0 : toUnsignedLongLongEnforced(given.delay, "Scheduler.postTask: delay");
            const priority = given.priority === undefined ? undefined : toPriority(given.priority, "Scheduler.postTask");
            const signal = toSignal(given.signal, "Scheduler.postTask");
            let isStopped = false;
            let timer;
            abortable(signal, reject, (finish) => {
                const task = new Task(() => {
                    if (isStopped) {
                        return;
                    }
                    finish();
                    try {
                        resolve(FunctionPrototypeCall(callback, undefined));
                    } catch (error) {
                        reject(error);
                    }
                }, priority, signal);
                if (delay === 0) {
                    enqueue(task);
                } else {
                    timer = startTimer(delay, false, () => enqueue(task), undefined);
                }
            }, () => {
                isStopped = true;
                if (timer !== undefined) {
                    stopTimer(timer);
                }
            });
        });
    }

    // As a task of the usual priority.
    yield() {
        return new Promise((resolve) => {
            this.#brand; // eslint-disable-line no-unused-expressions
            enqueue(new Task(() => resolve(), USUAL, undefined));
        });
    }

    wait(delay, options = undefined) {
        return new Promise((resolve, reject) => {
            this.#brand; // eslint-disable-line no-unused-expressions
            requireArguments(arguments.length, 1, "Scheduler.wait");
            const ms = toUnsignedLongLongEnforced(delay, "Scheduler.wait");
            const signal = toSignal(toDictionary(options, "Scheduler.wait")?.signal, "Scheduler.wait");
            let timer;
            abortable(signal, reject, (finish) => {
                timer = startTimer(ms, false, () => {
                    finish();
                    resolve();
                }, undefined);
            }, () => stopTimer(timer));
        });
    }
};
defineInterface(Scheduler, "Scheduler");

provide({
    __proto__: null, Scheduler, TaskController, TaskPriorityChangeEvent, TaskSignal, scheduler: new Scheduler(internal),
});
