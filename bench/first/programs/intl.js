// SPDX-License-Identifier: Apache-2.0
export default {
    fetch() {
        const date = new Intl.DateTimeFormat("de-DE", { dateStyle: "full", timeStyle: "long", timeZone: "Europe/Berlin" });
        const money = new Intl.NumberFormat("ja-JP", { style: "currency", currency: "JPY" });
        const ago = new Intl.RelativeTimeFormat("fr");
        return new Response([date.format(0), money.format(12345), ago.format(-1, "day"), "x".localeCompare("y")].join());
    },
};
