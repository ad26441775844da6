// What is broken now: all issues of a state, by scope, narrowed down as the reader types. It stays in memory while other views are
// shown, and follows what happens.

import { get } from "./api.js";
import { arrange, h } from "./dom.js";
import { grouped, heading, refresh, row, sign } from "./rows.js";
import { forget } from "./strips.js";
import { SEVERITIES, count } from "./words.js";

/** Rows drawn at first and with each step further down. */
const STEP = 120;
/** Issues held at most; beyond that the search is the service's. */
const MOST = 5_000;
const STATES = { ACTIVE: "Broken", RESOLVED: "Resolved", ALL: "All" };

let filters = { q: "", state: "ACTIVE", severity: new Set() };
let held = new Map();
let asked;
let total = 0;
let shown = STEP;
let loading;
let place;
/** Why the last load failed. */
let trouble;

const rows = new Map();
const groups = new Map();
const texts = new WeakMap();

const title = h("h1", {});
const under = h("p", { class: "under" });
const field = h("input", { type: "search", id: "filter", placeholder: "Filter by anything", autocomplete: "off", spellcheck: "false", "aria-describedby": "found", oninput: () => narrow({ q: field.value }) });
const severities = SEVERITIES.map((word) => {
  const number = h("b", {});
  const button = h("button", { type: "button", class: `chip ${word}`, "aria-pressed": "false", onclick: () => toggle(word) }, sign(word), number, " ", word);
  return { word, number, button };
});
const states = Object.entries(STATES).map(([word, text]) => h("button", { type: "button", "data-state": word, onclick: () => narrow({ state: word }) }, text));
const found = h("p", { id: "found", class: "hint", role: "status" });
const list = h("div", { class: "groups" });
const more = h("button", { type: "button", class: "button quiet more", hidden: true, onclick: () => { shown += STEP; draw(); } });
const root = h("div", { class: "issues" }, title, under,
  h("div", { class: "filters", role: "search" },
    h("div", { class: "field" }, h("label", { for: "filter", class: "unseen" }, "Filter"), field, h("kbd", { "aria-hidden": "true" }, "/")),
    h("div", { class: "chips", role: "group", "aria-label": "Severity" }, severities.map(({ button }) => button)),
    h("div", { class: "switch", role: "group", "aria-label": "State" }, states)),
  found, list, more);

new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting) && !more.hidden) more.click();
}, { rootMargin: "800px" }).observe(more);

setInterval(() => root.isConnected && refresh(list), 20_000);

/** Shows the list, with the filters of the address. */
export async function show(where) {
  place = where;
  const { params, main, signal } = where;
  const state = (params.get("state") ?? "ACTIVE").toUpperCase();
  const severity = (params.get("severity") ?? "").split(",").filter((word) => SEVERITIES.includes(word));
  filters = { q: params.get("q") ?? "", state: Object.hasOwn(STATES, state) ? state : "ACTIVE", severity: new Set(severity) };
  field.value = filters.q;
  signal.addEventListener("abort", () => document.removeEventListener("keydown", keys));
  document.addEventListener("keydown", keys);
  if (asked === question()) draw();
  else await load();
  if (!signal.aborted) main.replaceChildren(root);
}

/** An issue changed. */
export function change(kind, issue) {
  forget(issue.id);
  if (asked === undefined) return;
  const have = held.get(issue.id);
  if (have && have.updatedAt > issue.updatedAt) return;
  const fits = filters.state === "ALL" || issue.state === filters.state;
  if (fits) held.set(issue.id, issue);
  else held.delete(issue.id);
  total += Number(fits && !have) - Number(!fits && Boolean(have));
  drawSoon(kind === "resolved" ? undefined : issue.id);
}

/** Changes may have been missed. */
export function again() {
  if (asked !== undefined) load().catch(() => {});
}

/** What the service is asked for: the state, and the words where there are too many to look through here. */
function question() {
  return JSON.stringify([filters.state, total > MOST ? filters.q : ""]);
}

/** Asks for the worst ones, which are shown at once, and then goes on with the rest. */
async function load() {
  loading?.abort();
  const mine = (loading = new AbortController());
  asked = question();
  const fresh = new Map();
  try {
    const cursor = await page(fresh, undefined, mine.signal);
    if (!cursor || !held.size) held = fresh;
    trouble = undefined;
    draw();
    rest(fresh, cursor, mine.signal);
  } catch (error) {
    failed(error, mine.signal);
  }
}

async function rest(fresh, first, signal) {
  try {
    for (let cursor = first; cursor && fresh.size < MOST; ) cursor = await page(fresh, cursor, signal);
    if (question() !== asked) return await load();
    held = fresh;
    draw();
  } catch (error) {
    failed(error, signal);
  }
}

/** Adds a page of what is asked for; gives the cursor of the next one. */
async function page(into, cursor, signal) {
  const [state, search] = JSON.parse(asked);
  const params = { sort: "-severity", related: false, limit: cursor ? 1000 : 200, cursor, search, ...(state === "ALL" ? {} : { state }) };
  const { data, total: all, nextCursor } = await get("issues", params, { signal });
  for (const issue of data) into.set(issue.id, issue);
  total = all;
  return nextCursor;
}

function failed(error, signal) {
  if (signal.aborted) return;
  if (!held.size) {
    asked = undefined;
    throw error;
  }
  trouble = error;
  draw();
}

function narrow(wish) {
  filters = { ...filters, ...wish };
  shown = STEP;
  const params = new URLSearchParams();
  if (filters.q) params.set("q", filters.q);
  if (filters.state !== "ACTIVE") params.set("state", filters.state);
  if (filters.severity.size) params.set("severity", [...filters.severity].join(","));
  place.go(`?${params}`, { replace: true });
  if (question() === asked) draw();
  else load().catch(() => draw());
}

function toggle(word) {
  const severity = new Set(filters.severity);
  if (!severity.delete(word)) severity.add(word);
  narrow({ severity });
}

function text(issue) {
  let known = texts.get(issue);
  if (known === undefined) {
    const { scope } = issue;
    known = [issue.title, issue.description, issue.check, `#${issue.number}`, issue.issueType, issue.namespace, issue.project, issue.stage, issue.service,
      scope.resourceName, scope.resourceType, scope.resourceNamespace, ...Object.entries(issue.labels).map((pair) => pair.join("="))].join("\n").toLowerCase();
    texts.set(issue, known);
  }
  return known;
}

let drawing;
const touched = new Set();
function drawSoon(id) {
  if (id) touched.add(id);
  drawing ??= setTimeout(draw, 60);
}

function draw() {
  clearTimeout(drawing);
  drawing = undefined;
  const words = filters.q.toLowerCase().split(/\s+/).filter(Boolean);
  const fitting = [...held.values()].filter((issue) => words.every((word) => text(issue).includes(word)));
  for (const { word, number, button } of severities) {
    number.textContent = fitting.filter((issue) => issue.severity === word).length.toLocaleString();
    button.setAttribute("aria-pressed", String(filters.severity.has(word)));
  }
  for (const button of states) button.setAttribute("aria-pressed", String(button.dataset.state === filters.state));
  const wanted = filters.severity.size ? fitting.filter((issue) => filters.severity.has(issue.severity)) : fitting;
  const scopes = grouped(wanted);
  headline();
  drawGroups(scopes);
  more.hidden = wanted.length <= shown;
  more.textContent = `Show more (${(wanted.length - shown).toLocaleString()})`;
  const narrowed = words.length || filters.severity.size;
  found.textContent = trouble ? `${trouble.message}. This is how it was before.`
    : narrowed && held.size ? `${count(wanted.length, "issue fits", "issues fit")}${total > MOST ? ` among the ${MOST.toLocaleString()} worst` : ""}`
      : total > MOST ? `The ${MOST.toLocaleString()} worst of ${total.toLocaleString()}; the filter looks through all.` : "";
  list.classList.toggle("none", !wanted.length);
  if (!wanted.length) list.replaceChildren(narrowed && held.size ? h("p", {}, "No issue fits. ", h("button", { type: "button", class: "button quiet", onclick: clear }, "Clear the filter")) : quiet());
}

function clear() {
  field.value = "";
  narrow({ q: "", severity: new Set() });
  field.focus();
}

function quiet() {
  return h("p", {}, filters.state === "ACTIVE" ? "Every check that failed has passed since. New failures show up here by themselves." : "No issue has been resolved yet.");
}

function headline() {
  const active = filters.state === "ACTIVE";
  const calm = active && !total;
  title.textContent = calm ? "Nothing is broken" : active ? `${count(total, "thing")} ${total === 1 ? "is" : "are"} broken`
    : filters.state === "RESOLVED" ? `${count(total, "issue")} resolved` : `${count(total, "issue")} in all`;
  title.classList.toggle("calm", calm);
  under.textContent = `in ${count(new Set([...held.values()].map((issue) => issue.scopeId)).size, "scope")}`;
  under.hidden = !held.size;
  if (root.isConnected || !document.title.includes("·")) place?.title(active && total ? `(${total}) Broken now` : active ? "Nothing is broken" : title.textContent);
}

function drawGroups(scopes) {
  const sections = [];
  let left = shown;
  const alive = new Set();
  for (const [id, issues] of scopes) {
    if (left <= 0) break;
    let group = groups.get(id);
    if (!group) {
      const name = `scope-${id}`;
      group = { head: heading(issues[0], name), list: h("ul", {}) };
      group.section = h("section", { class: "group", "aria-labelledby": name }, group.head, group.list);
      groups.set(id, group);
    }
    arrange(group.list, issues.slice(0, left).map(line));
    for (const issue of issues.slice(0, left)) alive.add(issue.id);
    left -= issues.length;
    sections.push(group.section);
  }
  arrange(list, sections);
  for (const id of rows.keys()) if (!alive.has(id)) rows.delete(id);
  touched.clear();
}

/** The row of an issue; the one from before where it still holds. */
function line(issue) {
  const before = rows.get(issue.id);
  if (before?.issue === issue) return before.element;
  if (before && JSON.stringify(before.issue) === JSON.stringify(issue)) {
    before.issue = issue;
    return before.element;
  }
  const element = row(issue);
  if (touched.has(issue.id)) element.classList.add("fresh");
  const focused = before?.element.contains(document.activeElement);
  rows.set(issue.id, { issue, element });
  if (focused) queueMicrotask(() => element.querySelector("a").focus({ preventScroll: true }));
  return element;
}

/** `/` goes to the filter, the arrows from row to row. */
function keys(event) {
  if (event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { activeElement } = document;
  if (event.key === "/" && !activeElement?.matches("input, textarea, select")) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const links = [...list.querySelectorAll("a.open")];
    const at = links.indexOf(activeElement);
    if (at < 0 && activeElement !== field) return;
    event.preventDefault();
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (next < 0 ? field : links[Math.min(next, links.length - 1)])?.focus();
  } else if (event.key === "Escape" && activeElement === field && field.value) {
    event.preventDefault();
    clear();
  }
}
