// How many issues opened and were resolved each day, and how long resolving took.

import { get } from "./api.js";
import { h, s } from "./dom.js";
import { count, moment, span } from "./words.js";

const SPANS = [7, 30, 90];
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });
const day = (text) => DAY.format(new Date(`${text}T00:00:00Z`));

/** Shows the charts. */
export async function show(place) {
  const { params, main, signal, title } = place;
  const days = SPANS.find((n) => String(n) === params.get("days")) ?? 30;
  const trend = await get("issues/trend", { days }, { signal });
  if (signal.aborted) return;
  title("Trend");
  const sum = (name) => trend.data.reduce((all, one) => all + one[name], 0);
  const [opened, reopened, resolved] = ["opened", "reopened", "resolved"].map(sum);
  const flow = h("div", { class: "picture" });
  const took = h("div", { class: "picture" });
  main.replaceChildren(h("div", {}, h("h1", {}, resolved ? `Half is mended within ${span(trend.medianSeconds)}` : "Nothing was resolved"),
    h("p", { class: "under" }, `${count(opened + reopened, "failure")} opened an issue, ${reopened ? `${reopened.toLocaleString()} of them again; ` : ""}${count(resolved, "issue was", "issues were")} resolved in ${days} days`),
    h("div", { class: "switch", role: "group", "aria-label": "Days" }, SPANS.map((n) => h("a", { href: `?view=trend&days=${n}`, "aria-current": n === days && "true" }, `${n} days`))),
    h("section", {}, h("h2", {}, "Opened and resolved"), flow, h("p", { class: "key" }, h("span", { class: "bad" }, "up: opened"), h("span", { class: "again" }, "dashed: opened again"), h("span", { class: "good" }, "down: resolved"))),
    resolved > 0 && h("section", {}, h("h2", {}, "Time to resolve"), took, h("p", { class: "key" }, h("span", { class: "good" }, "dot: half took no longer"), h("span", {}, "line: up to the longest"))),
    h("details", {}, h("summary", {}, "The same as a table"), h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, table(trend.data))),
    trend.since && h("p", { class: "hint" }, `Counted from ${moment(trend.since)} on.`)));
  const eye = new ResizeObserver(([{ contentRect: { width } }]) => {
    // Another view has taken its place.
    if (!width) return;
    flow.replaceChildren(flows(trend.data, width));
    if (resolved) took.replaceChildren(times(trend.data, width));
  });
  eye.observe(flow);
  signal.addEventListener("abort", () => eye.disconnect());
}

function frame(data, width, height, label, parts) {
  const step = (width - 44) / data.length;
  const every = Math.ceil(70 / step);
  const dates = data.map((one, n) => (data.length - 1 - n) % every === 0 && s("text", { class: "tickmark", x: 40 + (n + 0.5) * step, y: height - 4, "text-anchor": n === data.length - 1 && step < 30 ? "end" : "middle" }, day(one.day)));
  return s("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, parts(step), dates);
}

/** Opened above the line, resolved below it. */
function flows(data, width) {
  const most = Math.max(1, ...data.map((one) => Math.max(one.opened + one.reopened, one.resolved)));
  const [height, middle, room] = [240, 108, 96];
  const scaled = (n) => (n / most) * room;
  return frame(data, width, height, `Opened and resolved issues of ${data.length} days, at most ${most} a day`, (step) => {
    const thick = Math.max(2, Math.min(22, step - 3));
    const lines = [most, 0, -most].map((n) => [s("line", { class: n ? "grid" : "rule", x1: 36, x2: width, y1: middle - scaled(n), y2: middle - scaled(n) }), s("text", { class: "tickmark", x: 30, y: middle - scaled(n) + 4, "text-anchor": "end" }, String(Math.abs(n)))]);
    const days = data.map((one, n) => {
      const x = 40 + (n + 0.5) * step - thick / 2;
      const [up, again, down] = [scaled(one.opened), scaled(one.reopened), scaled(one.resolved)];
      return s("g", {}, s("title", {}, `${day(one.day)}: ${one.opened} opened, ${one.reopened} again, ${one.resolved} resolved`),
        s("rect", { class: "room", x: 40 + n * step, y: 0, width: step, height: height - 20 }),
        up > 0 && s("rect", { class: "bad", x, y: middle - up - 1, width: thick, height: up, rx: 2 }),
        again > 0 && s("rect", { class: "again", x: x + 0.75, y: middle - up - again - 1, width: thick - 1.5, height: Math.max(1, again - 1.5), rx: 2 }),
        down > 0 && s("rect", { class: "good", x, y: middle + 1, width: thick, height: down, rx: 2 }));
    });
    return [lines, days];
  });
}

const TICKS = [[60, "1 min"], [600, "10 min"], [3600, "1 h"], [21600, "6 h"], [86400, "1 d"], [604800, "1 w"], [2629800, "1 mo"]];

/** A dot where half of them were resolved, a line up to the longest; the scale is one of powers. */
function times(data, width) {
  const some = data.filter((one) => one.resolved);
  const height = 220;
  const low = Math.log(Math.max(1, Math.min(...some.map((one) => Math.max(1, one.medianSeconds)))) * 0.7);
  const high = Math.log(Math.max(...some.map((one) => one.longestSeconds), 60) * 1.2);
  const y = (seconds) => 8 + (1 - (Math.log(Math.max(1, seconds)) - low) / Math.max(0.1, high - low)) * (height - 40);
  return frame(data, width, height, `Time to resolve on ${some.length} days`, (step) => [
    TICKS.filter(([seconds]) => Math.log(seconds) > low && Math.log(seconds) < high).map(([seconds, text]) => [s("line", { class: "grid", x1: 36, x2: width, y1: y(seconds), y2: y(seconds) }), s("text", { class: "tickmark", x: 32, y: y(seconds) + 4, "text-anchor": "end" }, text)]),
    data.map((one, n) => {
      if (!one.resolved) return false;
      const x = 40 + (n + 0.5) * step;
      return s("g", {}, s("title", {}, `${day(one.day)}: half within ${span(one.medianSeconds)}, all within ${span(one.longestSeconds)}`),
        s("line", { class: "reach", x1: x, x2: x, y1: y(one.medianSeconds), y2: y(one.longestSeconds) }), s("circle", { class: "good", cx: x, cy: y(one.medianSeconds), r: Math.min(4.5, Math.max(2.5, step / 3)) }));
    })]);
}

function table(data) {
  const heads = ["Day", "Opened", "Again", "Resolved", "Half within", "All within"];
  return h("table", {}, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, [...data].reverse().map((one) => h("tr", {}, h("th", { scope: "row" }, day(one.day)), [one.opened, one.reopened, one.resolved].map((n) => h("td", {}, n.toLocaleString())), h("td", {}, span(one.medianSeconds)), h("td", {}, span(one.longestSeconds))))));
}
