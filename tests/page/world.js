// What the stories stand on: a real broker, the real binary and a real browser, each started here and gone at the end.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const find = (name, ...places) => {
  const found = [process.env[name], ...places].find((place) => place && existsSync(place));
  if (!found) throw new Error(`set ${name}: none of ${places.join(", ")} is there`);
  return found;
};

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Asks `probe` until it gives something. */
export async function eventually(what, probe) {
  const end = Date.now() + 60_000;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`still not true: ${what}`);
    await pause(25);
  }
}

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** A broker and a service. */
export class World {
  static async start() {
    const world = new World();
    world.binary = find("SHIPWATCH_BIN", here("../../target/release/shipwatch"), here("../../target/debug/shipwatch"));
    world.folder = await mkdtemp(join(tmpdir(), "shipwatch-page-"));
    world.nats = `nats://127.0.0.1:${await freePort()}`;
    const server = find("NATS_SERVER", "/usr/sbin/nats-server", "/usr/local/bin/nats-server", "/opt/homebrew/bin/nats-server");
    world.broker = spawn(server, ["-js", "-a", "127.0.0.1", "-p", new URL(world.nats).port, "-sd", join(world.folder, "nats")], { stdio: "ignore" });
    world.port = await freePort();
    await world.serve();
    return world;
  }

  /** Starts the service, and waits until it reads the stream. */
  async serve() {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SHIPWATCH_")));
    const args = ["serve", "--nats-url", this.nats, "--listen", `127.0.0.1:${this.port}`, "--data-dir", join(this.folder, "data"), "--shipyard-dir", here("shipyard")];
    this.service = spawn(this.binary, args, { stdio: ["ignore", "ignore", "pipe"], env });
    this.log = "";
    this.service.stderr.on("data", (text) => (this.log += text));
    this.url = `http://127.0.0.1:${this.port}/`;
    await eventually("the service is ready", async () => {
      if (this.service.exitCode !== null) throw new Error(`the service ended\n${this.log}`);
      return fetch(`${this.url}readyz`).then((answer) => answer.ok, () => false);
    });
  }

  /** Publishes events on core NATS, as Keptn's tools do, and waits until the last one is folded. */
  async publish(...events) {
    const { port } = new URL(this.nats);
    const wire = connect(Number(port), "127.0.0.1");
    wire.setEncoding("utf8");
    await once(wire, "data");
    wire.write('CONNECT {"verbose":false,"pedantic":false}\r\n');
    for (const event of events) {
      const body = JSON.stringify(event);
      wire.write(`PUB ${event.type} ${Buffer.byteLength(body)}\r\n${body}\r\n`);
    }
    wire.write("PING\r\n");
    for await (const said of wire) {
      if (said.includes("-ERR")) throw new Error(said);
      if (said.includes("PONG")) break;
    }
    const last = encodeURIComponent(events.at(-1).id);
    await eventually(`${last} is folded`, () => fetch(`${this.url}api/v1/events/${last}`).then((answer) => answer.ok, () => false));
  }

  /** JSON of the query endpoint. */
  async get(path) {
    const answer = await fetch(`${this.url}api/v1/${path}`);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  }

  /** Ends the service. */
  async halt() {
    const gone = new Promise((done) => this.service.once("exit", done));
    this.service.kill();
    await gone;
  }

  async stop() {
    if (this.service.exitCode === null) await this.halt();
    const gone = new Promise((done) => this.broker.once("exit", done));
    this.broker.kill();
    await gone;
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A browser that tells nobody that it is there. */
export function browser() {
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu", "--no-first-run", "--no-sandbox"];
  return chromium.launch({ executablePath: find("CHROMIUM", "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"), args: quiet });
}
