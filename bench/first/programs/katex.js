// SPDX-License-Identifier: Apache-2.0
import katex from "katex";

export default {
    fetch() {
        return new Response(katex.renderToString("\\int_0^\\infty e^{-x^2} dx = \\frac{\\sqrt{\\pi}}{2}"));
    },
};
