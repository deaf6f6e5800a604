// SPDX-License-Identifier: Apache-2.0
//
// A skepd that serves many scripts, each as a tenant with large limits, in workers inside their jails.
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

const START_MS = 30000;

const limits = {
    cpu_ms: "unlimited", cpu_startup_ms: 60000, wall_ms: 300000, idle_ms: 300000, hung_ms: 300000, grace_ms: 10000,
    heap_mib: 2048, external_mib: 2048, timers: 100000, log_kib: 1024, response_mib: 1024, renewals: 1000,
    subrequests: 10000, calls: 64, call_mib: 1024,
};

// upstream: WPT's server, or undefined
const config = (port, upstream) => ({
    listen: [`127.0.0.1:${port}`], admin_socket: "admin.sock", tenants: "tenants",
    ...upstream === undefined ? {} : { egress: { dns: [upstream.dns], ca: upstream.ca, addresses: ["127.0.0.0/8"] } },
    cordons: [{
        name: "default", workers: 2, solitary: 8, allow_unlimited: "on", rss_mib: 8192, drift_mib: "unlimited",
        strikes: 20, limits: { default: limits },
    }],
});

function findPort() {
    return new Promise((resolve, reject) => {
        const server = net.createServer().once("error", reject).listen(0, "127.0.0.1", () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

function ask(port, name, timeoutMs) {
    return new Promise((resolve, reject) => {
        const options = { host: "127.0.0.1", port, agent: false, timeout: timeoutMs, headers: { host: `${name}.localhost` } };
        const request = http.get(options, (response) => {
            const chunks = [];
            response.on("data", (chunk) => chunks.push(chunk)).on("error", reject)
                .on("end", () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }));
        });
        request.on("error", reject).on("timeout", () => request.destroy(new Error("no answer in time")));
    });
}

// Starts WPT's own server, of the copy in root, with its certificates in folder. Returns {http, https, dns, ca, stop()}.
export function startUpstream(root, folder) {
    const child = spawn("python3", ["-B", fileURLToPath(new URL("served.py", import.meta.url)), path.resolve(root), folder],
        { stdio: ["pipe", "pipe", "inherit"] });
    return new Promise((resolve, reject) => {
        let text = "";
        const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
        child.once("error", reject).once("exit", () => reject(new Error("WPT's own server does not start")));
        child.stdout.on("data", (chunk) => {
            text += chunk;
            if (text.endsWith("\n")) {
                clearTimeout(timer);
                resolve({ ...JSON.parse(text), stop: () => child.stdin.end() });
            }
        });
    });
}

// Starts skepd with a tenant for each script of {name: script}, and a way to WPT's server, if upstream is that. Returns ask(name, timeoutMs), which gives {status, body}, and
// stop().
export async function serve(bin, folder, scripts, upstream) {
    fs.rmSync(folder, { recursive: true, force: true });
    for (const [name, script] of Object.entries(scripts)) {
        const tenant = path.join(folder, "tenants", name);
        fs.mkdirSync(tenant, { recursive: true });
        fs.writeFileSync(path.join(tenant, "worker.js"), script);
        fs.writeFileSync(path.join(tenant, "skep.yaml"), JSON.stringify({ name, main: "worker.js", routes: [`${name}.localhost/*`],
            ...upstream === undefined ? {} : { allowed_hosts: ["*:*", "http://*:*"] } }));
    }
    const port = await findPort();
    fs.writeFileSync(path.join(folder, "skepd.yaml"), JSON.stringify(config(port, upstream)));
    const log = fs.openSync(path.join(folder, "log"), "w");
    const child = spawn(path.join(bin, "skepd"), ["--config", path.join(folder, "skepd.yaml")],
        { stdio: ["ignore", log, log] });
    fs.closeSync(log);
    const ended = new Promise((resolve) => { child.once("exit", resolve); });
    const until = Date.now() + START_MS;
    for (;;) {
        try {
            await ask(port, "nobody", START_MS);
            break;
        } catch (error) {
            if (child.exitCode !== null || Date.now() > until) {
                child.kill("SIGKILL");
                throw new Error(`skepd does not serve: ${fs.readFileSync(path.join(folder, "log"), "utf8").slice(-2000)}`,
                    { cause: error });
            }
            await new Promise((resolve) => { setTimeout(resolve, 20); });
        }
    }
    return {
        ask: (name, timeoutMs) => ask(port, name, timeoutMs),
        stop: async () => {
            child.kill("SIGTERM");
            const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
            await ended;
            clearTimeout(timer);
        },
    };
}
