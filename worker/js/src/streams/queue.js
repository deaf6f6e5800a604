// SPDX-License-Identifier: Apache-2.0
//
// Takes the place of the queue of web-streams-polyfill. Nothing of the language that a tenant can replace gets what is in it:
// requests of readers, which may be those of this layer, and chunks.
import { closeClass, newList } from "../primordials.js";

const KEPT = 64; // places that an empty queue keeps

export class Queue {
    #list = newList();
    #head = 0;
    #tail = 0;

    get length() {
        return this.#tail - this.#head;
    }

    push(value) {
        this.#list[this.#tail++] = value;
    }

    peek() {
        return this.#list[this.#head];
    }

    shift() {
        const value = this.#list[this.#head];
        this.#list[this.#head++] = undefined;
        if (this.#head === this.#tail) {
            if (this.#tail > KEPT) {
                this.#list = newList();
            }
            this.#head = 0;
            this.#tail = 0;
        } else if (this.#head > KEPT && this.#head * 2 > this.#tail) {
            this.#compact();
        }
        return value;
    }

    #compact() {
        const list = newList();
        for (let i = this.#head; i < this.#tail; i++) {
            list[list.length] = this.#list[i];
        }
        this.#list = list;
        this.#tail = list.length;
        this.#head = 0;
    }

    forEach(each) {
        for (let i = this.#head; i < this.#tail; i++) {
            each(this.#list[i]);
        }
    }
}
closeClass(Queue);
