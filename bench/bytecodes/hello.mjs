// SPDX-License-Identifier: Apache-2.0
//
// Runs a hello in the bundle of the JavaScript layer under node, once warm, and writes its block coverage to descriptor 3. run.py
// starts it with the flags that print the bytecode.
import { writeSync } from "node:fs";
import inspector from "node:inspector";
import { Host } from "../../tests/js/host.mjs";

const session = new inspector.Session();
session.connect();
const post = (method, params) => {
    let result;
    session.post(method, params, (error, value) => {
        if (error) {
            throw error;
        }
        result = value;
    });
    return result;
};
post("Profiler.enable");
post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });

const [, , handler, path = "/"] = process.argv;
const host = new Host();
host.boot(handler);
const request = { url: `http://hello.test${path}`, headers: ["host", "hello.test", "user-agent", "bench", "accept", "*/*"] };
for (let i = 0; i < 3; i++) {
    host.fetch(request);
}
post("Profiler.takePreciseCoverage");
const answer = host.fetch(request);
const { result } = post("Profiler.takePreciseCoverage");
if (answer.outcome !== 0) {
    throw new Error(`outcome ${answer.outcome}: ${answer.message}`);
}
const own = result.filter((script) => script.url === "skep:bundle.js");
writeSync(3, JSON.stringify(own.flatMap((script) => script.functions)));
