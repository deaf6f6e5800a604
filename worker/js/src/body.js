// SPDX-License-Identifier: Apache-2.0
//
// The body of a Request or Response (Fetch standard). A body whose bytes are known stays in the
// form in which it was given, and becomes a stream only if the tenant asks for one.
import { dropBytes, nativeCopyBytes, takeText, utf8Decode, utf8Encode } from "./native.js";
import {
    ArrayBufferPrototypeGetByteLength, FunctionPrototypeCall, JSONParse, MapPrototypeGet,
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptors, PromisePrototypeThen, StringPrototypeSlice,
    SymbolAsyncIterator, TypeError, TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteLength, bytesOf, closeClass, copyBytes, isObject, isUint8Array,
} from "./primordials.js";
import { blobBytes, blobOf, blobType, isBlob } from "./blob.js";
import { decodeUtf8 } from "./encoding.js";
import { formLibrary, isFormData } from "./form.js";
import { mimeLibrary } from "./mime.js";
import { waitFor } from "./place.js";
import {
    cancelReader, closeBytes, enqueueBytes, getReader, isDisturbed, isLocked,
    isReadableStream, newReadableStream, newTransformStream, pipeThrough, read, readAll, tee,
} from "./streams.js";
import { searchParamsText } from "./url.js";
import { isBufferSource, toContent } from "./webidl.js";

export class Body {
    constructor(source, incoming, stream) {
        this.source = source; // string or Uint8Array if the whole body is known
        this.incoming = incoming; // IncomingBody: it comes from the client
        this.stream = stream; // ReadableStream, once there is one
        this.used = false; // consumed past the stream, which then is locked if there is one
    }
}
closeClass(Body).isOwn = false; // source is a Uint8Array that nothing else refers to

function ownBody(bytes) {
    const body = new Body(bytes, undefined, undefined);
    body.isOwn = true;
    return body;
}

export function isUsed(body) {
    return body.used || body.stream !== undefined && isDisturbed(body.stream);
}

export function isUnusable(body) {
    return body.used ||
        body.stream !== undefined && (isDisturbed(body.stream) || isLocked(body.stream));
}

// Makes a stream of source's content, and locks source for good.
export function proxyStream(source) {
    const identity = newTransformStream();
    return pipeThrough(source, identity);
}

export const alreadyUsed = () => new TypeError("Body is unusable: it was read or locked before.");

// Returns the Body; sets extractedType, the content type that goes with it or undefined.
export let extractedType;

export function extractBody(object) {
    extractedType = undefined;
    if (typeof object !== "string" && isObject(object)) {
        if (isReadableStream(object)) {
            if (isDisturbed(object) || isLocked(object)) {
                throw new TypeError("The stream given as body is locked or was read before.");
            }
            return new Body(undefined, undefined, object);
        }
        if (isBufferSource(object)) {
            return ownBody(nativeCopyBytes(bytesOf(object)));
        }
        if (isBlob(object)) {
            extractedType = blobType(object) === "" ? undefined : blobType(object);
            return new Body(blobBytes(object), undefined, undefined);
        }
        if (isFormData(object)) {
            const { bytes, type } = formLibrary().encodeMultipart(object);
            extractedType = type;
            return ownBody(bytes);
        }
        const form = searchParamsText(object);
        if (form !== undefined) {
            extractedType = "application/x-www-form-urlencoded;charset=UTF-8";
            return new Body(form, undefined, undefined);
        }
        const iterate = object[SymbolAsyncIterator];
        if (typeof iterate === "function") {
            return new Body(undefined, undefined, iteratorStream(object, iterate));
        }
    }
    extractedType = "text/plain;charset=UTF-8";
    return textBody(object);
}

export const textBody = (value) => new Body(toContent(value), undefined, undefined);

// Returns the stream that the tenant sees as .body.
export function streamOf(body) {
    if (body.stream === undefined) {
        if (body.incoming !== undefined && !body.used) {
            body.stream = body.incoming.toStream();
        } else {
            body.stream = sourceStream(body.used ? undefined : toOwnBytes(body.source, body.isOwn));
            if (body.used) {
                const reader = getReader(body.stream);
                read(reader);
            }
        }
    }
    return body.stream;
}

// Makes a stream of the values of an async generator, bytes or text. When nobody reads on, the
// generator's finally blocks run.
function iteratorStream(object, iterate) {
    const iterator = FunctionPrototypeCall(iterate, object);
    if (!isObject(iterator)) {
        throw new TypeError("The iterator is not an object.");
    }
    const { next } = iterator;
    return newReadableStream({
        __proto__: null,
        type: "bytes",
        async pull(controller) {
            for (;;) {
                const step = await FunctionPrototypeCall(next, iterator);
                if (!isObject(step)) {
                    throw new TypeError("The iterator's result is not an object.");
                }
                if (step.done) {
                    closeBytes(controller);
                    return;
                }
                const { value } = step;
                const chunk = typeof value === "string" ? utf8Encode(value) : value;
                if (!isUint8Array(chunk)) {
                    throw new TypeError("A chunk of the body is neither a Uint8Array nor a string.");
                }
                // The stream takes the memory over; an empty chunk is none to it.
                if (TypedArrayPrototypeGetByteLength(chunk) > 0) {
                    enqueueBytes(controller, copyBytes(chunk));
                    return;
                }
            }
        },
        async cancel(reason) {
            const end = iterator.return;
            if (end !== undefined && end !== null) {
                await FunctionPrototypeCall(end, iterator, reason);
            }
        },
    }, { __proto__: null, highWaterMark: 0 });
}

function sourceStream(bytes) {
    return newReadableStream({
        __proto__: null,
        type: "bytes",
        pull(controller) {
            if (bytes !== undefined && TypedArrayPrototypeGetByteLength(bytes) > 0) {
                const chunk = bytes;
                bytes = undefined;
                enqueueBytes(controller, chunk);
            }
            closeBytes(controller);
        },
    }, { __proto__: null, highWaterMark: 0 });
}

// Ends a body that nobody reads: a stream's source hears of it.
export function cancelBody(body, reason) {
    if (body !== null && body.stream !== undefined && !isLocked(body.stream)) {
        PromisePrototypeThen(cancelReader(getReader(body.stream), reason), undefined, () => {});
    }
}

// Makes a second body with the same content, for clone().
export function cloneBody(body) {
    if (body.stream === undefined && body.incoming === undefined) {
        body.isOwn = false;
        return new Body(body.source, undefined, undefined);
    }
    const branches = tee(streamOf(body));
    body.source = undefined;
    body.incoming = undefined;
    body.stream = branches[0];
    return new Body(undefined, undefined, branches[1]);
}

// Calls onContent with the whole body, or onError. Marks the body as used. The content is a string or Uint8Array; only with
// isOwn, the second argument, may it be changed or shown to a tenant.
export function consume(body, onContent, onError) {
    if (body === null) {
        onContent("", true);
        return;
    }
    if (isUnusable(body)) {
        onError(alreadyUsed());
        return;
    }
    if (body.stream !== undefined) {
        const reader = getReader(body.stream);
        if (body.incoming === undefined && body.source === undefined) {
            readAll(reader, onContent, onError);
            return;
        }
        // Nobody has read the stream, and now it is locked for ever: go past it.
    }
    body.used = true;
    if (body.incoming !== undefined) {
        body.incoming.collect(onContent, onError);
        return;
    }
    const { source, isOwn } = body;
    body.source = undefined;
    onContent(source, isOwn);
}

export const toBytes = (content) => (typeof content === "string" ? utf8Encode(content) : content);

const toOwnBytes = (content, isOwn) => (isOwn || typeof content === "string" ? toBytes(content) : nativeCopyBytes(content));

function toText(content, isOwn) {
    if (typeof content === "string") {
        return content[0] === "\ufeff" ? StringPrototypeSlice(content, 1) : content;
    }
    const taken = isOwn ? takeText(content) : undefined;
    if (taken !== undefined) {
        return taken;
    }
    const text = decodeUtf8(content);
    if (isOwn) {
        dropBytes(content);
    }
    return text;
}

function toBuffer(content, isOwn) {
    const bytes = toOwnBytes(content, isOwn);
    const buffer = TypedArrayPrototypeGetBuffer(bytes);
    return ArrayBufferPrototypeGetByteLength(buffer) === TypedArrayPrototypeGetByteLength(bytes) ? buffer :
        TypedArrayPrototypeGetBuffer(nativeCopyBytes(bytes));
}

function toForm(content, mime) {
    if (mime !== null && mime.essence === "multipart/form-data") {
        const boundary = MapPrototypeGet(mime.parameters, "boundary");
        if (boundary !== undefined) {
            return formLibrary().parseMultipart(toBytes(content), boundary);
        }
    } else if (mime !== null && mime.essence === "application/x-www-form-urlencoded") {
        return formLibrary().parseUrlEncoded(typeof content === "string" ? content : utf8Decode(content, false));
    }
    throw new TypeError("The content-type of the body is no form type.");
}

// Adds body, bodyUsed, text() and so on. bodyOf(object) is a brand check that returns the Body or
// null; listOf(object) its header list.
export function mixInBody(constructor, bodyOf, listOf) {
    // Returns a promise of what convert makes of the body's content. No promise is resolved with the content itself: that would look
    // up its "then", which may be the tenant's.
    const consumeAs = (object, convert) => waitFor((take, fail) =>
        consume(bodyOf(object), (content, isOwn) => take(() => convert(content, isOwn)), fail));
    const members = {
        get body() {
            const body = bodyOf(this);
            return body === null ? null : streamOf(body);
        },
        get bodyUsed() {
            const body = bodyOf(this);
            return body !== null && isUsed(body);
        },
        arrayBuffer() {
            return consumeAs(this, toBuffer);
        },
        blob() {
            return consumeAs(this, (content) => {
                const { mimeOfList, serializeMime } = mimeLibrary();
                const mime = mimeOfList(listOf(this));
                return blobOf(toBytes(content), mime === null ? "" : serializeMime(mime));
            });
        },
        bytes() {
            return consumeAs(this, toOwnBytes);
        },
        formData() {
            return consumeAs(this, (content) => toForm(content, mimeLibrary().mimeOfList(listOf(this))));
        },
        json() {
            return consumeAs(this, (content, isOwn) => JSONParse(toText(content, isOwn)));
        },
        text() {
            return consumeAs(this, toText);
        },
    };
    const descriptors = ObjectGetOwnPropertyDescriptors(members);
    for (const name in descriptors) {
        ObjectDefineProperty(constructor.prototype, name, descriptors[name]);
    }
}
