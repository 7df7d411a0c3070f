// A running `app up` in a folder of its own, and a browser whose every complaint is a failure.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const binary = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, "target"), process.env.PROFILE ?? "debug", "app");
export const artefacts = process.env.ARTEFACTS ?? path.join(root, "target", "e2e");
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/// What axe-core finds wrong with a page for people who cannot see it, or not well.
export const violations = async (page) => {
  // Added by the debugger, past the policy that holds for pages.
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run());
  return found.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html).join(" | ")}`);
};

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
};

/// Asks again until there is an answer that counts.
export const until = async (what, ask, ms = 20_000) => {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};

/// Once the page keeps itself up to date.
export const connected = (page) => page.locator("body[data-live=connected]").waitFor();

/// The platform as a newcomer starts it.
export class App {
  static async start() {
    const app = new App();
    app.dir = await mkdtemp(path.join(tmpdir(), "console-e2e-"));
    [app.port, app.simulatorPort] = [await freePort(), await freePort()];
    app.url = `http://127.0.0.1:${app.port}`;
    app.simulatorUrl = `http://127.0.0.1:${app.simulatorPort}`;
    await app.run();
    return app;
  }

  /// Starts it, or starts it again where it was.
  async run() {
    const env = { ...process.env, APP_LISTEN: `127.0.0.1:${this.port}`, SIMULATOR_LISTEN: `127.0.0.1:${this.simulatorPort}` };
    delete env.DATABASE_URL;
    this.process = spawn(binary, ["up", "--json"], { cwd: this.dir, env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    this.process.stderr.on("data", (data) => { said += data; });
    const ready = new Promise((resolve, reject) => {
      createInterface({ input: this.process.stdout }).on("line", (line) => {
        if (line.includes('"running"')) resolve();
      });
      this.process.once("exit", (code) => reject(new Error(`app up ended with ${code}: ${said}`)));
      this.process.once("error", reject);
    });
    await ready;
  }

  async kill() {
    const ended = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await ended;
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, "exit");
      this.process.kill("SIGTERM");
      await ended;
    }
    await rm(this.dir, { recursive: true, force: true });
  }

  async call(method, at, body) {
    const base = at.startsWith("/") ? this.url : "";
    const headers = { ...(body && { "content-type": "application/json" }), ...(this.key && { authorization: `Bearer ${this.key}` }) };
    const answer = await fetch(base + at, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${at}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  get(at) { return this.call("GET", at); }

  sms(body, more = {}) {
    return this.call("POST", "/api/messages/sms", { from: "+12025550100", to: "+12025550199", body, ...more });
  }

  /// Somebody writes to us, by the generic webhook.
  received(body, id, more = {}) {
    const message = { from: "+12025550177", to: "+12025550100", body, messaging_provider_id: id, ...more };
    return this.call("POST", "/api/webhooks/sms", message);
  }

  fault(rule) { return this.call("POST", `${this.simulatorUrl}/faults`, rule); }

  noFaults() { return this.call("DELETE", `${this.simulatorUrl}/faults`); }

  /// The message, once `is` holds for it.
  settled(id, is) {
    return until(`message ${id}`, async () => {
      const message = await this.get(`/api/messages/${id}`);
      return is(message) && message;
    });
  }
}

/// A browser; its pages may neither complain nor call anybody else.
export class Browser {
  static async start() {
    const browser = new Browser();
    await mkdir(artefacts, { recursive: true });
    browser.chromium = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
    return browser;
  }

  async page(app, options = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const page = await context.newPage();
    page.complaints = [];
    const complain = (what) => page.complaints.push(what);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complain(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => complain(`error: ${error.message}`));
    page.on("dialog", (dialog) => { complain(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== app.url) complain(`request to ${request.url()}`);
    });
    page.setDefaultTimeout(15_000);
    return page;
  }

  stop() { return this.chromium.close(); }
}
