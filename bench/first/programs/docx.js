// SPDX-License-Identifier: Apache-2.0
import { Document, Packer, Paragraph, TextRun } from "docx";

export default {
    async fetch() {
        const children = Array.from({ length: 20 }, (_, i) => new Paragraph({ children: [new TextRun("line " + i)] }));
        const blob = await Packer.toBlob(new Document({ sections: [{ children }] }));
        return new Response(String(blob.size));
    },
};
