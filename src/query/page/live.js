// Changes of issues as they happen: from the stream at `issues/watch`, and by asking every few seconds while there is none.

import { address, get, request } from "./api.js";
import { events } from "./sse.js";

const ASK = 5_000;
const LONGEST = 30_000;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Watches for ever. `hears.change(kind, issue)` for each change, `hears.again()` where some may have been missed, and
 * `hears.state(word)` with `live`, `asking` or `away`.
 */
export function watch(hears) {
  let streaming = false;
  let missed = false;
  let opened;
  const first = new Promise((done) => (opened = done));
  stream();
  ask();
  return first;

  async function stream() {
    let last;
    for (let tries = 0; ; tries += 1) {
      try {
        const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
        const response = await request(address("issues/watch"), { headers });
        // Too far back to go on from: begin anew with what is now.
        if (response.status === 410) last = undefined;
        if (response.ok && response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
          if (!last && tries) hears.again();
          tries = 0;
          streaming = missed = true;
          hears.state("live");
          opened(true);
          for await (const { event, data, id } of events(response.body)) {
            last = id ?? last;
            if (event !== "message") hears.change(event, JSON.parse(data));
          }
        } else {
          await response.body?.cancel();
        }
      } catch {
        // The connection broke, or there is none: the loop below asks meanwhile.
      }
      streaming = false;
      opened(false);
      await pause(Math.min(LONGEST, 1000 * 2 ** Math.min(tries, 5)));
    }
  }

  /** Asks for what changed last, and compares it with the answer before. */
  async function ask() {
    let before;
    await first;
    for (;;) {
      if (streaming || document.hidden) {
        if (streaming) before = undefined;
      } else {
        try {
          const { data } = await get("issues", { sort: "-updatedAt", limit: 50, related: false });
          hears.state("asking");
          const now = new Map(data.map((issue) => [issue.id, fingerprint(issue)]));
          const changed = before ? data.filter((issue) => before.get(issue.id) !== now.get(issue.id)) : [];
          if ((!before && missed) || (changed.length === data.length && data.length === 50)) hears.again();
          else for (const issue of changed.reverse()) hears.change(kindOf(issue, before.has(issue.id)), issue);
          before = now;
          missed = false;
        } catch {
          hears.state("away");
        }
      }
      await pause(ASK);
    }
  }
}

const fingerprint = (issue) => `${issue.state} ${issue.occurrences} ${issue.episodes} ${issue.updatedAt} ${issue.severity} ${issue.title}`;

function kindOf(issue, known) {
  if (issue.state === "RESOLVED") return "resolved";
  if (known) return "updated";
  return issue.episodes > 1 ? "reopened" : "opened";
}
