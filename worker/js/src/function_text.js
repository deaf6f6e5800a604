// SPDX-License-Identifier: Apache-2.0
//
// Function.prototype.toString: functions of this layer look like native ones, as those of a browser do.
import { functionText } from "./native.js";
import { Function, ObjectDefineProperty, uncurryThis } from "./primordials.js";

const textOf = uncurryThis(Function.prototype.toString);

const holder = {
    toString() {
        return functionText(this) ?? textOf(this);
    },
};

// Called once, while the snapshot is made.
export function defineFunctionText() {
    ObjectDefineProperty(Function.prototype, "toString", {
        __proto__: null, value: holder.toString, writable: true, configurable: true,
    });
}
