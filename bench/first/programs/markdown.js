// SPDX-License-Identifier: Apache-2.0
import { DateTime } from "luxon";
import { marked } from "marked";
import { z } from "zod";

export default {
    fetch() {
        const { text } = z.object({ text: z.string(), other: z.number().optional() }).parse({ text: "# hi\n\n- a\n- b\n" });
        const date = DateTime.fromMillis(0).setLocale("de").toLocaleString(DateTime.DATE_FULL);
        return new Response(marked.parse(text) + date);
    },
};
