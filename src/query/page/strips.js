// How checks went lately: a small mark for each run. Asked for in bunches, and only for what comes into sight.

import { get } from "./api.js";
import { h, s } from "./dom.js";
import { count, moment } from "./words.js";

const BUNCH = 60;
const RUNS = 14;
const known = new Map();
const slots = new WeakMap();
const wanted = new Set();
let soon;

const eye = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    eye.unobserve(target);
    want(target);
  }
}, { rootMargin: "300px" });

/** Room for the marks of an issue's check; they come when it is looked at. */
export function slot(id) {
  const element = h("span", { class: "strip" });
  slots.set(element, id);
  if (known.has(id)) element.append(picture(known.get(id)));
  else eye.observe(element);
  return element;
}

/** There has been another run. */
export const forget = (id) => known.delete(id);

function want(element) {
  wanted.add(element);
  soon ??= setTimeout(fetchAll, 40);
}

async function fetchAll() {
  soon = undefined;
  const elements = [...wanted].slice(0, BUNCH);
  for (const element of elements) wanted.delete(element);
  if (wanted.size) soon = setTimeout(fetchAll, 40);
  const ids = [...new Set(elements.map((element) => slots.get(element)))];
  try {
    const { data } = await get("issues/runs", { id: ids.join(","), limit: RUNS });
    for (const { id, runs } of data) known.set(id, runs);
    for (const element of elements) {
      const runs = known.get(slots.get(element));
      if (runs) element.replaceChildren(picture(runs));
    }
  } catch {
    // The list is fine without its marks, and the next look asks again.
    for (const element of elements) eye.observe(element);
  }
}

const WORDS = { success: "passed", warning: "with a warning", failure: "failed" };
/** Top and height: whoever cannot tell the colours sees the heights. */
const SIZES = { success: [12, 6], warning: [7, 11], failure: [0, 18] };

/** The runs as marks, oldest first. */
export function picture(runs, { width = 5, gap = 3 } = {}) {
  const tally = Object.keys(WORDS).map((word) => [runs.filter((run) => run.outcome === word && !run.late).length, WORDS[word]]);
  const late = runs.filter((run) => run.late).length;
  const parts = [...tally, [late, "late"]].filter(([n]) => n).map(([n, word]) => `${n} ${word}`);
  const step = width + gap;
  return s("svg", { class: "runs", width: Math.max(step, runs.length * step - gap), height: 18, role: "img", "aria-label": runs.length ? `Last ${count(runs.length, "run")}: ${parts.join(", ")}` : "No runs" },
    runs.map((run, at) => {
      const [y, height] = SIZES[run.outcome] ?? SIZES.success;
      const inset = run.late ? 0.75 : 0;
      return s("rect", { class: run.late ? "late" : run.outcome, x: at * step + inset, y: y + inset, width: width - 2 * inset, height: height - 2 * inset, rx: 1.5 },
        s("title", {}, `${moment(run.at)}: ${WORDS[run.outcome] ?? run.outcome}${run.late ? ", too late to count" : ""}`));
    }));
}
