// SPDX-License-Identifier: Apache-2.0
//
// A list that does not keep its items alive. Tenants have no WeakRef, and cannot see when a
// collection was: an item that is gone does nothing, and would have done nothing that they see.
import { WeakReference, WeakRefPrototypeDeref, closeClass, newList } from "./primordials.js";

const LEAST = 16;

export class WeakList {
    #references = newList();
    #sweepAt = LEAST;

    // Adds an item. Removes items that are gone each time that there are twice as many as were
    // left. A static function: no tenant can change what it finds.
    static add(list, value) {
        const references = list.#references;
        if (references.length >= list.#sweepAt) {
            list.#sweep();
        }
        references[references.length] = new WeakReference(value);
    }

    #sweep() {
        const references = this.#references;
        let kept = 0;
        for (let i = 0; i < references.length; i++) {
            if (WeakRefPrototypeDeref(references[i]) !== undefined) {
                references[kept++] = references[i];
            }
        }
        references.length = kept;
        this.#sweepAt = kept * 2 < LEAST ? LEAST : kept * 2;
    }

    // Returns the items that are there, in the order in which they were added.
    static all(list) {
        const references = list.#references;
        const values = newList();
        for (let i = 0; i < references.length; i++) {
            const value = WeakRefPrototypeDeref(references[i]);
            if (value !== undefined) {
                values[values.length] = value;
            }
        }
        return values;
    }
}
closeClass(WeakList);
