# SPDX-License-Identifier: Apache-2.0
"""Exceptions of the Web APIs say which argument is wrong and what was expected."""

import pytest

from harness import script

KEYS = """
const key = (name, usages, more) => crypto.subtle.generateKey({ name, length: 128, ...more }, true, usages);
const twelve = new Uint8Array(12), sixteen = new Uint8Array(16), data = new Uint8Array(20);
"""
# Code and its exception; `await` is allowed.
TEXTS = {
    "new Response('x', { status: 99 })": "RangeError: Response: status 99 is not in the range 200 to 599.",
    "new Response('x', 1)": "TypeError: Response: the options are of type number, not an object.",
    "new Response('x', { statusText: 'a€' })": "TypeError: Response: statusText cannot be a ByteString: its character 1 is U+20AC, above U+00FF.",
    "Response()": "TypeError: Class constructor Response cannot be invoked without 'new'",
    "TextDecoder()": "TypeError: Class constructor TextDecoder cannot be invoked without 'new'",
    "AbortController()": "TypeError: Class constructor AbortController cannot be invoked without 'new'",
    "DOMException()": "TypeError: Class constructor DOMException cannot be invoked without 'new'",
    "new Headers([['a']])": "TypeError: Headers: item 0 of the sequence has 1 parts, not a name and a value.",
    "new Headers([['a', 'b'], 1])": "TypeError: Headers: item 1 of the sequence is not a pair of name and value.",
    "new Headers(1)": "TypeError: Headers: parameter 1 is of type number, not an object of names and values or a sequence of pairs.",
    "new Headers(null)": "TypeError: Headers: parameter 1 is of type null, not an object of names and values or a sequence of pairs.",
    "new Headers({ a: 'x€' })": "TypeError: Headers: the value of 'a' cannot be a ByteString: its character 1 is U+20AC, above U+00FF.",
    "new Headers([['a', 'Ā']])": "TypeError: Headers: the value of 'a' cannot be a ByteString: its character 0 is U+0100, above U+00FF.",
    "new Headers({ ['Ā']: '' })": "TypeError: Headers: a name cannot be a ByteString: its character 0 is U+0100, above U+00FF.",
    "new Headers().set('a'.repeat(99), '😀')":
        f"TypeError: Headers.set: the value of '{'a' * 60}' cannot be a ByteString: its character 0 is U+D83D, above U+00FF.",
    "new Headers({ 'a b': 'c' })": "TypeError: Headers: 'a b' is not a valid header name.",
    "new URL('x')": "TypeError: Invalid URL: x",
    "structuredClone(() => 0)": "DataCloneError: () => 0 could not be cloned.",
    "structuredClone(new Headers())": "DataCloneError: Headers object could not be cloned.",
    "setTimeout()": "TypeError: setTimeout: 1 argument required, but only 0 present.",
    "setTimeout('x')": "TypeError: setTimeout: parameter 1 is not a function (text is not run as code).",
    "atob('*')": "InvalidCharacterError: atob: parameter 1 is not base64.",
    "btoa('€')": "InvalidCharacterError: btoa: parameter 1 has a character above U+00FF; encode it first, with TextEncoder.",
    "new TextDecoder('x')": "RangeError: TextDecoder: the encoding label 'x' is not supported.",
    "AbortSignal.timeout(-1)": "TypeError: AbortSignal.timeout: the value is no integer from 0 to 9007199254740991.",
    "new AbortSignal()": "TypeError: AbortSignal: Illegal constructor; use new AbortController().signal, AbortSignal.timeout() or AbortSignal.any()",
    "new MessagePort()": "TypeError: MessagePort: Illegal constructor; use new MessageChannel()",
    "new CryptoKey()": "TypeError: CryptoKey: Illegal constructor; use crypto.subtle.generateKey() or importKey()",
    "new ReadableStream({ type: 'x' })": "TypeError: First parameter has member 'type' that is 'x', not 'bytes'.",
    "new ReadableStream().getReader({ mode: 'x' })": "TypeError: First parameter has member 'mode' that is 'x', not 'byob'.",
    "new ReadableStream({ pull: 1 })": "TypeError: First parameter has member 'pull' that is not a function.",
    "new ReadableStream({}, { highWaterMark: -1 })": "RangeError: highWaterMark is no number from 0 on.",
    "new WritableStream({ type: 1 })": "RangeError: First parameter has a member 'type', which a WritableStream may not have.",
    "new TransformStream({ readableType: 1 })": "RangeError: First parameter has a member 'readableType', which a TransformStream may not have.",
    "await fetch()": "TypeError: fetch: 1 argument required, but only 0 present.",
    "await crypto.subtle.digest('x', data)": "NotSupportedError: x is no algorithm for digest.",
    "await crypto.subtle.encrypt({ name: 'AES-CBC', iv: twelve }, await key('AES-CBC', ['encrypt']), data)":
        "OperationError: AES-CBC: the iv has 12 bytes, not 16.",
    "await crypto.subtle.encrypt({ name: 'AES-CTR', counter: twelve, length: 8 }, await key('AES-CTR', ['encrypt']), data)":
        "OperationError: AES-CTR: the counter has 12 bytes, not 16.",
    "await crypto.subtle.encrypt({ name: 'AES-CTR', counter: sixteen, length: 0 }, await key('AES-CTR', ['encrypt']), data)":
        "OperationError: AES-CTR: length is 0, not 1 to 128.",
    "await crypto.subtle.decrypt({ name: 'AES-GCM', iv: twelve }, await key('AES-GCM', ['decrypt']), data)":
        "OperationError: AES-GCM: the data are not what was encrypted with this key and these parameters.",
}


@pytest.fixture(scope="module")
def texts(start_module):
    steps = "".join(f"async () => {{ {code}; }}," for code in TEXTS)
    body = f"""{KEYS}
        const texts = [];
        for (const step of [{steps}]) await step().then(() => texts.push("none"), (e) => texts.push(`${{e.name}}: ${{e.message}}`));
        return Response.json(texts);"""
    skepd = start_module({"a": {"limits": {"cpu_ms": 1000}, "files": {"worker.js": script(body)}}})
    return dict(zip(TEXTS, skepd.get("a").json()))


@pytest.mark.parametrize("code", TEXTS)
def test_exception_says_what_is_wrong(texts, code):
    assert texts[code] == TEXTS[code]


@pytest.mark.parametrize("code", ["const { text } = request; await text();", "const { uuid } = { uuid: crypto.randomUUID }; uuid();",
                                  "const now = performance.now; now();", "Headers.prototype.get.call({}, 'a');"])
def test_log_says_that_a_method_lost_its_object(start, code):
    skepd = start({"a": script(code)})
    assert skepd.get("a").code == "exception"
    skepd.wait_log(r"call object\.method\(\), not a copy of the method")
