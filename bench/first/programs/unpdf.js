// SPDX-License-Identifier: Apache-2.0
import { extractText, getDocumentProxy } from "unpdf";

function makePdf() {
    const text = "BT /F1 12 Tf 72 720 Td (Hello) Tj ET";
    const objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        `<</Length ${text.length}>>stream\n${text}\nendstream`,
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ];
    let pdf = "%PDF-1.4\n", table = "0000000000 65535 f \n";
    objects.forEach((object, i) => {
        table += String(pdf.length).padStart(10, "0") + " 00000 n \n";
        pdf += `${i + 1} 0 obj\n${object}\nendobj\n`;
    });
    const at = pdf.length;
    pdf += `xref\n0 6\n${table}trailer<</Size 6/Root 1 0 R>>\nstartxref\n${at}\n%%EOF\n`;
    return new TextEncoder().encode(pdf);
}

export default {
    async fetch() {
        const { text } = await extractText(await getDocumentProxy(makePdf()), { mergePages: true });
        return new Response(text);
    },
};
