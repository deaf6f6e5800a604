// SPDX-License-Identifier: Apache-2.0
import { PDFDocument, StandardFonts } from "pdf-lib";

export default {
    async fetch() {
        const pdf = await PDFDocument.create();
        const font = await pdf.embedFont(StandardFonts.Helvetica);
        pdf.addPage().drawText("hello", { font, x: 50, y: 50 });
        return new Response(String((await pdf.save()).length));
    },
};
