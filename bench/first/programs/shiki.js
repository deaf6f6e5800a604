// SPDX-License-Identifier: Apache-2.0
import { createHighlighterCore } from "shiki/core";
import { createJavaScriptRegexEngine } from "shiki/engine/javascript";
import typescript from "shiki/langs/typescript.mjs";
import nord from "shiki/themes/nord.mjs";

const source = "export const a: number = 1;\nclass B<T> extends C { async f(x: string) { return x; } }\n".repeat(20);
let ready;

export default {
    async fetch() {
        ready ??= createHighlighterCore({ themes: [nord], langs: [typescript], engine: createJavaScriptRegexEngine() });
        const html = (await ready).codeToHtml(source, { lang: "typescript", theme: "nord" });
        return new Response(String(html.length));
    },
};
