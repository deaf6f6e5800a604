// SPDX-License-Identifier: Apache-2.0
//
// Tasks that run soon, each in an entry of its own, with its microtasks behind it: messages and the like. A task belongs to the
// request that has made it, as a timer of 0 ms does, and is one: of all tasks of a request one waits in the worker at a time. Each task has the
// frame of the code that has made it.
import { currentCall } from "./current.js";
import { currentFrame } from "./frame.js";
import { closeClass, newList } from "./primordials.js";
import { startTimer } from "./timers.js";

class Tasks {
    list = newList(); // each task, and its frame behind it
    head = 0;
    isWaiting = false;
    prioritised; // set by scheduler/main.js
    isNotifying = false; // set by timeline/observer.js
}
closeClass(Tasks);

let moduleTasks; // tasks of module code

// Returns the tasks of the request whose code runs.
export function currentTasks() {
    const call = currentCall();
    return call === undefined ? moduleTasks ??= new Tasks() : call.tasks ??= new Tasks();
}

// frame: that of the task which is to run next
function arm(tasks, frame) {
    if (!tasks.isWaiting) {
        startTimer(0, false, () => runNext(tasks), undefined, frame);
        tasks.isWaiting = true;
    }
}

function runNext(tasks) {
    const task = tasks.list[tasks.head];
    tasks.isWaiting = false;
    tasks.list[tasks.head++] = undefined;
    tasks.list[tasks.head++] = undefined;
    if (tasks.head === tasks.list.length) {
        tasks.list.length = 0;
        tasks.head = 0;
    } else {
        arm(tasks, tasks.list[tasks.head + 1]);
    }
    task();
}

// Runs task() later, for the request whose code runs. RangeError if that has as many timers as it may.
export function queueTask(task) {
    const call = currentCall();
    if (call !== undefined && call.gone && !call.lingers) {
        return; // as its timers, it goes with its request
    }
    const tasks = currentTasks();
    const frame = currentFrame();
    arm(tasks, frame);
    tasks.list[tasks.list.length] = task;
    tasks.list[tasks.list.length] = frame;
}
