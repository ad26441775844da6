// The picture of a sequence: time from left to right, stages one below the other, a bar for each sequence and task.

import { s } from "./dom.js";
import { standing } from "./sequences.js";
import { brief, span } from "./words.js";

const LINE = 30;
const BAR = 12;
/** Below this width names stand above their bars. */
const NARROW = 620;
const MARKS = { good: "M-3.500 0 -1 2.800 3.500 -2.800", bad: "M-3-3 3 3M3-3-3 3", fair: "M0-3.500V1M0 3V3.500", plain: "M-3 0H3" };

const at = (time) => (time ? Date.parse(time) : undefined);

/** The bars of a timeline, in the order in which they are drawn. */
function bars({ stages }) {
  const found = [];
  for (const stage of stages) {
    found.push({ kind: "stage", name: stage.name || "no stage" });
    for (const sequence of stage.sequences) {
      found.push({ kind: "sequence", name: sequence.name, of: sequence, from: at(sequence.triggeredAt), to: at(sequence.finishedAt) });
      for (const task of sequence.tasks) found.push(bar(task));
    }
    for (const task of stage.tasks) found.push(bar(task));
  }
  return found;
}

function bar(task) {
  const began = at(task.triggeredAt) ?? at(task.startedAt);
  return { kind: "task", name: task.name, of: task, from: began, started: at(task.startedAt), to: at(task.finishedAt) };
}

/** Draws it `width` pixels wide. */
export function draw(timeline, width, now = Date.now()) {
  const all = bars(timeline);
  const times = all.flatMap(({ from, to }) => [from, to]).filter(Number.isFinite);
  const start = Math.min(...times);
  const open = all.some(({ kind, from, to }) => kind !== "stage" && from !== undefined && to === undefined);
  const end = Math.max(...times, open && timeline.state && !timeline.finishedAt ? now : start, start + 1);
  const narrow = width < NARROW;
  const left = narrow ? 4 : Math.min(220, width * 0.26);
  const right = narrow ? 12 : 84;
  const x = (time) => left + ((time - start) / (end - start)) * (width - left - right);
  const parts = [];
  let y = 26;
  for (const one of all) {
    if (one.kind === "stage") {
      y += 8;
      parts.push(s("line", { class: "rule", x1: 0, x2: width, y1: y, y2: y }), s("text", { class: "stage", x: narrow ? 4 : 0, y: y + 20 }, one.name));
      y += LINE;
      continue;
    }
    const [word, colour] = standing(one.of);
    const indent = one.kind === "task" ? 14 : 0;
    const length = one.to !== undefined && one.from !== undefined ? span(one.of.durationSeconds) : one.from === undefined ? "" : "open";
    if (narrow) {
      parts.push(s("text", { class: one.kind, x: 4 + indent, y: y + 12 }, one.name), s("text", { class: "length", x: width - 4, y: y + 12, "text-anchor": "end" }, `${word} ${length}`));
      y += 11;
    } else {
      const letters = Math.floor((left - indent - 16) / 7.2);
      parts.push(s("text", { class: one.kind, x: indent, y: y + 15 }, one.name.length > letters ? `${one.name.slice(0, letters - 1)}…` : one.name));
    }
    if (one.from !== undefined) parts.push(...body(one, x, y, colour, end, narrow ? undefined : length, word));
    y += narrow ? LINE - 1 : LINE;
  }
  const summary = `${all.filter(({ kind }) => kind === "task").length} tasks in ${timeline.stages.length} stages; the same stands in words below`;
  return s("svg", { class: "timeline", width, height: y + 8, viewBox: `0 0 ${width} ${y + 8}`, role: "img", "aria-label": `Timeline: ${summary}` },
    Number.isFinite(start) ? scale(start, end, x, y, width) : [], parts);
}

function body(one, x, y, colour, end, length, word) {
  const from = x(one.from);
  const to = Math.max(x(one.to ?? end), from + 3);
  const thick = one.kind === "task" ? BAR : 5;
  const top = y + (LINE - thick) / 2 - 4;
  const parts = [s("rect", { class: `bar ${one.kind} ${colour}`, x: from, y: top, width: to - from, height: thick, rx: thick / 2 },
    s("title", {}, `${one.name}: ${word}${one.of.durationSeconds === null ? "" : `, ${span(one.of.durationSeconds)}`}`))];
  // How long it took until somebody took it on.
  if (one.started > one.from) parts.push(s("rect", { class: "waiting", x: from, y: top, width: Math.min(to, x(one.started)) - from, height: thick, rx: thick / 2 }));
  if (one.kind === "task" && MARKS[colour]) {
    parts.push(s("g", { transform: `translate(${to} ${top + thick / 2})` }, s("circle", { class: `dot ${colour}`, r: 8 }), s("path", { class: "glyph", d: MARKS[colour] })));
  }
  if (length) parts.push(s("text", { class: "length", x: to + (one.kind === "task" ? 13 : 8), y: top + thick / 2 + 4 }, length));
  return parts;
}

/** A line here and there, with how long after the beginning that is. */
function scale(start, end, x, height, width) {
  const parts = width < NARROW ? 2 : 5;
  return Array.from({ length: parts }, (_, n) => {
    const time = start + ((end - start) * n) / (parts - 1);
    const anchor = n === 0 ? "start" : n === parts - 1 ? "end" : "middle";
    return [s("line", { class: "grid", x1: x(time), x2: x(time), y1: 22, y2: height }),
      s("text", { class: "tickmark", x: x(time), y: 14, "text-anchor": anchor }, n === 0 ? brief(new Date(start).toISOString()) : `+${span((time - start) / 1000)}`)];
  });
}
