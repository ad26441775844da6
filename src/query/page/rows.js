// How an issue looks in a list: a sign for how bad it is, what it is, how it went lately, and since when.

import { h, s } from "./dom.js";
import { slot } from "./strips.js";
import { SEVERITIES, age, count, moment } from "./words.js";

/** Each severity has a shape of its own, so that colour is not needed to tell them apart. */
const SHAPES = {
  critical: "M5.200 1h5.600L15 5.200v5.600L10.800 15H5.200L1 10.800V5.200z",
  major: "M8 1.300 15.400 14.400H.600z",
  minor: "M8 1 15 8 8 15 1 8z",
  info: "M8 1.500a6.500 6.500 0 1 1 0 13 6.500 6.500 0 0 1 0-13z",
};
const TICK = "M2.500 8.500 6.500 12.500 13.500 4";

/** The shape of a severity, or a tick. */
export function sign(word) {
  const path = SHAPES[word];
  return s("svg", { class: `sign ${path ? word : "done"}`, viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    s("path", path ? { d: path } : { d: TICK, class: "tick" }));
}

/** A time that is kept up to date by [`refresh`]. */
export function since(time, text = age(time)) {
  return h("time", { datetime: time, title: moment(time), "data-age": true }, text);
}

/** Brings all ages below `root` up to date. */
export function refresh(root) {
  const now = Date.now();
  for (const element of root.querySelectorAll("time[data-age]")) {
    const text = age(element.getAttribute("datetime"), now);
    if (element.textContent !== text) element.textContent = text;
  }
}

const resolved = (issue) => issue.state === "RESOLVED";

/** The line of an issue. */
export function row(issue) {
  const over = resolved(issue);
  const often = [
    issue.occurrences > 1 && count(issue.occurrences, "failure"),
    issue.episodes > 1 && count(issue.episodes, "episode"),
  ].filter(Boolean).join(", ");
  return h("li", { class: `row${over ? " over" : ""}`, id: `row-${issue.number}` },
    sign(over ? "done" : issue.severity),
    h("div", { class: "what" },
      h("a", { href: `?issue=${issue.number}`, class: "open" }, issue.title || `${issue.check} of ${issue.scope.resourceName}`),
      h("p", { class: "meta" },
        h("span", { class: over ? "word" : `word ${issue.severity}` }, over ? `resolved, was ${issue.severity}` : issue.severity),
        h("span", {}, issue.check), h("span", { class: "number" }, `#${issue.number}`), often && h("span", {}, often))),
    slot(issue.id),
    h("span", { class: "age" }, h("span", { class: "unseen" }, over ? "resolved " : "broken for "), since(over ? issue.resolvedAt : issue.detectedAt)));
}

const rank = (issue) => (resolved(issue) ? SEVERITIES.length : SEVERITIES.indexOf(issue.severity));
const when = (issue) => issue.resolvedAt ?? issue.detectedAt;
const order = (a, b) => rank(a) - rank(b) || (when(a) < when(b) ? 1 : when(a) > when(b) ? -1 : a.number - b.number);

/** Issues by scope: the scope with the worst and newest one first, and so within it. */
export function grouped(list) {
  const groups = new Map();
  for (const issue of list.sort(order)) {
    const group = groups.get(issue.scopeId);
    if (group) group.push(issue);
    else groups.set(issue.scopeId, [issue]);
  }
  return groups;
}

/** The heading of a scope. */
export function heading({ scope }, id) {
  return h("h2", { id }, h("span", { class: "name" }, scope.resourceName || "(unnamed)"),
    h("small", {}, [scope.resourceType, scope.resourceNamespace].filter(Boolean).join(" · ")));
}
