// SPDX-License-Identifier: Apache-2.0
//
// The objects that handlers get: Element, EndTag, Text, Comment, Doctype, DocumentEnd. Each is valid until its handler is over.
import { COMMENT, DOCTYPE, DOCUMENT_END, ELEMENT, END_TAG, TEXT } from "./engine.js";
import {
    Error, IteratorPrototype, ObjectDefineProperty, ObjectGetOwnPropertyDescriptors, ObjectSetPrototypeOf,
    StringPrototypeIncludes, SymbolToStringTag, TypeError, closeClass,
} from "../primordials.js";
import { defineInterface, requireArguments, toDictionary, toUSVString } from "../webidl.js";

const internal = Symbol("internal");

const requireInternal = (token) => {
    if (token !== internal) {
        throw new TypeError("Illegal constructor");
    }
};

// Returns the pointer of a token, or throws if its handler is over.
const alive = (handle) => {
    if (handle.pointer === 0) {
        throw new TypeError("This content token is no longer valid. Content tokens are only valid " +
            "during the execution of the relevant content handler.");
    }
    return handle.pointer;
};

const isHtml = (options, name) => {
    const dictionary = toDictionary(options, name);
    return dictionary !== undefined && !!dictionary.html;
};

// Runs a change whose content is a text, or a stream, for which a mark stands until the output comes to it.
function change(handle, name, content, options) {
    alive(handle);
    const html = isHtml(options, "ContentOptions");
    const text = handle.engine.transformation.replaceStream(content, html) ?? toUSVString(content);
    handle.engine.runContent(name, alive(handle), text, html); // toString() may have taken any time
}

// Adds methods that take content and return the object.
function mixInContent(constructor, prefix, handleOf, names) {
    const members = {
        before(content, options = undefined) {
            requireArguments(arguments.length, 1, "before");
            change(handleOf(this), `${prefix}_before`, content, options);
            return this;
        },
        after(content, options = undefined) {
            requireArguments(arguments.length, 1, "after");
            change(handleOf(this), `${prefix}_after`, content, options);
            return this;
        },
        append(content, options = undefined) {
            requireArguments(arguments.length, 1, "append");
            change(handleOf(this), `${prefix}_append`, content, options);
            return this;
        },
        prepend(content, options = undefined) {
            requireArguments(arguments.length, 1, "prepend");
            change(handleOf(this), `${prefix}_prepend`, content, options);
            return this;
        },
        setInnerContent(content, options = undefined) {
            requireArguments(arguments.length, 1, "setInnerContent");
            change(handleOf(this), `${prefix}_setInnerContent`, content, options);
            return this;
        },
        replace(content, options = undefined) {
            requireArguments(arguments.length, 1, "replace");
            change(handleOf(this), `${prefix}_replace`, content, options);
            return this;
        },
        remove() {
            const handle = handleOf(this);
            handle.engine.run(`${prefix}_remove`, alive(handle));
            return this;
        },
        get removed() {
            const handle = handleOf(this);
            return handle.engine.askFlag(`${prefix}_removed`, alive(handle));
        },
    };
    const descriptors = ObjectGetOwnPropertyDescriptors(members);
    for (let i = 0; i < names.length; i++) {
        ObjectDefineProperty(constructor.prototype, names[i], { __proto__: null, ...descriptors[names[i]], enumerable: false });
    }
}

const modified = () => new Error("The attributes of this element have been modified during iteration. " +
    "You must create a new iterator after modifying attributes.");

class AttributesIterator {
    #handle;
    #list;
    #version;
    #next = 0;

    constructor(token, handle) {
        requireInternal(token);
        this.#handle = handle;
        this.#version = handle.version;
        this.#list = handle.engine.askValue("element_attributes", alive(handle));
    }
    next() {
        const handle = this.#handle;
        alive(handle);
        if (this.#next >= this.#list.length) {
            return { value: undefined, done: true };
        }
        if (this.#version !== handle.version) {
            throw modified();
        }
        const { name, value } = this.#list[this.#next++];
        return { value: [name, value], done: false };
    }
}
ObjectSetPrototypeOf(AttributesIterator.prototype, IteratorPrototype);
ObjectDefineProperty(AttributesIterator.prototype, "next", { __proto__: null, enumerable: true });
delete AttributesIterator.prototype.constructor;
ObjectDefineProperty(AttributesIterator.prototype, SymbolToStringTag,
    { __proto__: null, value: "AttributesIterator", configurable: true });

export const Element = class {
    #handle;

    constructor(token, handle) {
        requireInternal(token);
        this.#handle = handle;
    }
    get tagName() {
        return this.#handle.engine.askText("element_tag_name", alive(this.#handle));
    }
    set tagName(value) {
        const name = toUSVString(value);
        this.#handle.engine.runText("element_set_tag_name", alive(this.#handle), name);
    }
    get attributes() {
        return new AttributesIterator(internal, this.#handle);
    }
    get namespaceURI() {
        return this.#handle.engine.askValue("element_namespace_uri", alive(this.#handle));
    }
    getAttribute(name) {
        const handle = this.#handle;
        requireArguments(arguments.length, 1, "getAttribute");
        const text = toUSVString(name);
        return handle.engine.askTextOf("element_getAttribute", alive(handle), text) ?? null;
    }
    hasAttribute(name) {
        const handle = this.#handle;
        requireArguments(arguments.length, 1, "hasAttribute");
        const text = toUSVString(name);
        return handle.engine.askFlagOf("element_hasAttribute", alive(handle), text);
    }
    setAttribute(name, value) {
        const handle = this.#handle;
        requireArguments(arguments.length, 2, "setAttribute");
        const key = toUSVString(name);
        const text = toUSVString(value);
        handle.engine.runTexts("element_setAttribute", alive(handle), key, text);
        handle.version++;
        return this;
    }
    removeAttribute(name) {
        const handle = this.#handle;
        requireArguments(arguments.length, 1, "removeAttribute");
        const text = toUSVString(name);
        handle.engine.runText("element_removeAttribute", alive(handle), text);
        handle.version++;
        return this;
    }
    removeAndKeepContent() {
        const handle = this.#handle;
        handle.engine.run("element_removeAndKeepContent", alive(handle));
        return this;
    }
    onEndTag(handler) {
        const handle = this.#handle;
        requireArguments(arguments.length, 1, "onEndTag");
        if (typeof handler !== "function") {
            throw new TypeError("onEndTag: parameter 1 is not a function.");
        }
        handle.engine.runFunction("element_onEndTag", alive(handle), handle.engine.transformation.toCallback(handler, undefined));
    }
    static {
        mixInContent(this, "element", (element) => element.#handle,
            ["before", "after", "append", "prepend", "setInnerContent", "replace", "remove", "removed"]);
    }
};
defineInterface(Element, "Element");

export const Text = class {
    #handle;

    constructor(token, handle) {
        requireInternal(token);
        this.#handle = handle;
    }
    get text() {
        return this.#handle.engine.askText("textchunk_text", alive(this.#handle)) ?? "";
    }
    get lastInTextNode() {
        return this.#handle.engine.askFlag("textchunk_last_in_text_node", alive(this.#handle));
    }
    static {
        mixInContent(this, "textchunk", (text) => text.#handle, ["before", "after", "replace", "remove", "removed"]);
    }
};
defineInterface(Text, "Text");

// Comments and end tags can be given another text, which the package cannot do: that is a replacement of the whole by markup. All
// objects of one token share what it is now.
class Rewritten {
    text; // the new text or name; undefined: as it was
    isRemoved = false; // by the tenant, too
    isReplaced = false; // the new text is what is written

    // Takes the native state over, in which a token with a new text counts as removed.
    rename(handle, name, text, markup) {
        this.text = text;
        if (!this.isRemoved) {
            this.isReplaced = true;
            handle.engine.runContent(name, alive(handle), markup, true);
        }
    }

    // Returns false if the caller has to remove the token itself.
    remove(handle, name) {
        this.isRemoved = true;
        if (this.isReplaced) {
            this.isReplaced = false;
            handle.engine.runContent(name, alive(handle), "", true);
            return true;
        }
        return false;
    }
}
closeClass(Rewritten);

// Returns the state of a token, that of the last object if both are of the same one. last: of the same kind. A token that nobody has
// touched yet cannot have been removed.
function sharedState(handle, prefix) {
    const { engine, kind } = handle;
    const last = kind === COMMENT ? engine.lastComment : engine.lastEndTag;
    const state = last !== undefined && last.isReplaced && engine.askFlag(`${prefix}_removed`, handle.pointer) ? last : new Rewritten();
    if (kind === COMMENT) {
        engine.lastComment = state;
    } else {
        engine.lastEndTag = state;
    }
    return state;
}

export const Comment = class {
    #handle;

    constructor(token, handle) {
        requireInternal(token);
        handle.shared = sharedState(handle, "comment");
        this.#handle = handle;
    }
    get text() {
        const handle = this.#handle;
        alive(handle);
        return handle.shared.text ?? handle.engine.askText("comment_text", handle.pointer) ?? "";
    }
    set text(value) {
        const handle = this.#handle;
        const text = toUSVString(value);
        alive(handle);
        if (StringPrototypeIncludes(text, "-->")) {
            throw new TypeError("Parser error: Comment text shouldn't contain comment closing sequence (`-->`).");
        }
        handle.shared.rename(handle, "comment_replace", text, `<!--${text}-->`);
    }
    replace(content, options = undefined) {
        const handle = this.#handle;
        requireArguments(arguments.length, 1, "replace");
        change(handle, "comment_replace", content, options);
        handle.shared.isRemoved = true;
        handle.shared.isReplaced = false;
        return this;
    }
    remove() {
        const handle = this.#handle;
        alive(handle);
        if (!handle.shared.remove(handle, "comment_replace")) {
            handle.engine.run("comment_remove", handle.pointer);
        }
        return this;
    }
    get removed() {
        const handle = this.#handle;
        alive(handle);
        return handle.shared.isRemoved || !handle.shared.isReplaced && handle.engine.askFlag("comment_removed", handle.pointer);
    }
    static {
        mixInContent(this, "comment", (comment) => comment.#handle, ["before", "after"]);
    }
};
defineInterface(Comment, "Comment");

export const EndTag = class {
    #handle;

    constructor(token, handle) {
        requireInternal(token);
        handle.shared = sharedState(handle, "endtag");
        this.#handle = handle;
    }
    get name() {
        const handle = this.#handle;
        alive(handle);
        return handle.shared.text ?? handle.engine.askText("endtag_name", handle.pointer);
    }
    set name(value) {
        const handle = this.#handle;
        const name = toUSVString(value);
        alive(handle);
        handle.shared.rename(handle, "endtag_replace", name, `</${name}>`);
    }
    remove() {
        const handle = this.#handle;
        alive(handle);
        if (!handle.shared.remove(handle, "endtag_replace")) {
            handle.engine.run("endtag_remove", handle.pointer);
        }
        return this;
    }
    static {
        mixInContent(this, "endtag", (tag) => tag.#handle, ["before", "after"]);
    }
};
defineInterface(EndTag, "EndTag");

export const Doctype = class {
    #handle;

    constructor(token, handle) {
        requireInternal(token);
        this.#handle = handle;
    }
    get name() {
        return this.#handle.engine.askText("doctype_name", alive(this.#handle)) ?? null;
    }
    get publicId() {
        return this.#handle.engine.askText("doctype_public_id", alive(this.#handle)) ?? null;
    }
    get systemId() {
        return this.#handle.engine.askText("doctype_system_id", alive(this.#handle)) ?? null;
    }
};
defineInterface(Doctype, "Doctype");

export const DocumentEnd = class {
    #handle;

    constructor(token, handle) {
        requireInternal(token);
        this.#handle = handle;
    }
    static {
        mixInContent(this, "documentend", (end) => end.#handle, ["append"]);
    }
};
defineInterface(DocumentEnd, "DocumentEnd");

export function createToken(handle) {
    switch (handle.kind) {
    case ELEMENT:
        return new Element(internal, handle);
    case END_TAG:
        return new EndTag(internal, handle);
    case TEXT:
        return new Text(internal, handle);
    case COMMENT:
        return new Comment(internal, handle);
    case DOCTYPE:
        return new Doctype(internal, handle);
    case DOCUMENT_END:
    default:
        return new DocumentEnd(internal, handle);
    }
}
