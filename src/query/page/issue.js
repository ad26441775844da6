// One issue: what it says, how it came about, and what else is broken near it.

import { get, segment } from "./api.js";
import { facts, h, outward } from "./dom.js";
import { eventLink, why } from "./event.js";
import { sign, since } from "./rows.js";
import { picture } from "./strips.js";
import { age, brief, count, moment, span, tone } from "./words.js";

/** Changes shown, the newest ones. */
const CHANGES = 100;

/** Shows the issue of `?issue=`. */
export async function show(place) {
  const { params, main, signal, title } = place;
  const path = `issues/${segment(params.get("issue"))}`;
  const more = params.get("namespace") ? { namespace: params.get("namespace") } : {};
  let id;
  async function draw() {
    const issue = await get(path, more, { signal });
    id = issue.id;
    const [history, runs] = await Promise.all([changes(path, more, signal), get("issues/runs", { id, limit: 50 }, { signal })]);
    if (signal.aborted) return;
    title(`#${issue.number} ${issue.title}`);
    const opened = h("div", { class: "why" });
    const parts = [h("nav", { class: "crumbs", "aria-label": "Way back" }, h("a", { href: "?" }, "Now"), " / ", `#${issue.number}`),
      head(issue), h("div", { class: "columns" }, h("div", {}, told(issue), lately(runs.data[0]?.runs ?? []), timeline(history), related(issue)), h("aside", { "aria-label": "Details" }, details(issue), opened))];
    main.replaceChildren(h("article", { class: "issue" }, parts));
    explain(issue, opened, signal);
  }
  await draw();
  const redraw = () => draw().catch(() => {});
  place.change = (_, issue) => issue.id === id && redraw();
  place.again = redraw;
}

/** The newest changes: the list has the oldest first, so its end is asked for where it is long. */
async function changes(path, more, signal) {
  const page = await get(`${path}/history`, { ...more, limit: CHANGES }, { signal });
  if (page.total <= CHANGES) return page;
  return get(`${path}/history`, { ...more, limit: CHANGES, offset: page.total - CHANGES }, { signal });
}

function head(issue) {
  const over = issue.state === "RESOLVED";
  const took = over ? (Date.parse(issue.resolvedAt) - Date.parse(issue.detectedAt)) / 1000 : 0;
  return h("header", { class: "head" },
    h("p", { class: `state ${over ? "good" : issue.severity}` }, sign(over ? "done" : issue.severity),
      over ? h("span", {}, "Resolved ", since(issue.resolvedAt, `${age(issue.resolvedAt)} ago`.replace("now ago", "just now")), `, it took ${span(took)}`)
        : h("span", {}, h("strong", {}, issue.severity), " for ", since(issue.detectedAt))),
    h("h1", {}, issue.title || `${issue.check} of ${issue.scope.resourceName}`),
    h("p", { class: "under" }, [issue.scope.resourceName, issue.scope.resourceType, issue.scope.resourceNamespace, issue.check].filter(Boolean).join(" · ")));
}

function told(issue) {
  return [issue.description && issue.description !== issue.title && h("p", { class: "text" }, issue.description),
    issue.links.length > 0 && h("ul", { class: "links" }, issue.links.map((link) => h("li", {}, outward(link.url, link.title))))];
}

function lately(runs) {
  if (!runs.length) return false;
  const late = runs.some((run) => run.late);
  return h("section", {}, h("h2", {}, `Last ${count(runs.length, "run")}`), h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Marks of the last runs" }, picture(runs, { width: 8, gap: 4 })),
    h("p", { class: "key" }, h("span", { class: "good" }, "low: passed"), h("span", { class: "bad" }, "high: failed"), runs.some((run) => run.outcome === "warning") && h("span", { class: "fair" }, "between: a warning"), late && h("span", {}, "hollow: too late to count")));
}

const WORDS = { opened: "Broke", updated: "Failed again", reopened: "Broke again", resolved: "Mended", withdrawn: "Taken back" };

function timeline({ data, total }) {
  const items = [...data].reverse();
  return h("section", {}, h("h2", {}, "History"),
    items.length === 0 && h("p", { class: "hint" }, "The events of this issue are not kept any more."),
    h("ol", { class: "history", reversed: true }, items.map((item) => h("li", { class: item.change === "updated" ? "plain" : tone(item.change) },
      h("strong", {}, WORDS[item.change] ?? item.change), " ", h("time", { datetime: item.at, title: moment(item.at) }, brief(item.at)),
      h("span", { class: "meta" }, item.rule && h("span", {}, `rule ${item.rule}`), eventLink(item.eventId, item.eventSource, "the event"))))),
    total > data.length && h("p", { class: "hint" }, `The newest ${data.length} of ${total.toLocaleString()} changes.`));
}

function related(issue) {
  const ends = [...issue.relatedFrom, ...issue.relatedTo].map((relation) => relation.issue);
  if (!ends.length) return false;
  ends.sort((a, b) => a.state.localeCompare(b.state) || b.number - a.number);
  return h("section", {}, h("h2", {}, "Related"), h("ul", { class: "plainlist" }, ends.map((end) => h("li", {}, sign(end.state === "RESOLVED" ? "done" : end.severity),
    h("a", { href: `?issue=${end.number}` }, end.title || `#${end.number}`), h("span", { class: "meta" }, h("span", {}, `#${end.number}`), h("span", {}, end.state === "RESOLVED" ? "resolved" : end.severity), end.scope.id !== issue.scopeId && h("span", {}, end.scope.resourceName))))));
}

function details(issue) {
  const labels = Object.entries(issue.labels);
  return [h("h2", {}, "Details"), facts([
    ["State", issue.state === "RESOLVED" ? "resolved" : "active"], ["Severity", issue.severity], ["Type", issue.issueType], ["Check", issue.check],
    ["Namespace", issue.namespace], ["Project", issue.project], ["Stage", issue.stage], ["Service", issue.service],
    ["Failures", issue.occurrences.toLocaleString()], ["Episodes", issue.episodes.toLocaleString()],
    ["Broken since", moment(issue.detectedAt)], ["Last failure", moment(issue.lastSeenAt)], ["Resolved", issue.resolvedAt && moment(issue.resolvedAt)],
    ["Rule", issue.rule],
    ["Sequence", issue.keptnContext && h("a", { href: `?sequence=${segment(issue.keptnContext)}` }, "See its timeline")],
    ["Labels", labels.length > 0 && h("ul", { class: "labels" }, labels.map(([name, value]) => h("li", {}, h("b", {}, name), " ", value)))],
  ])];
}

/** The event that opened it and the one that closed it, with the reason. Comes a moment later: the issue is worth seeing without. */
async function explain(issue, into, signal) {
  const of = async (origin, head) => {
    if (!origin?.id) return false;
    const decision = await get(`events/${segment(origin.id)}`, { source: origin.source }, { signal }).catch(() => null);
    return h("section", {}, h("h2", {}, head), decision ? why(decision) : h("p", { class: "hint" }, "That event is not kept any more."), decision && eventLink(origin.id, origin.source, "The whole event"));
  };
  const parts = await Promise.all([of(issue.openedBy, "Why it opened"), of(issue.resolvedBy, "Why it closed")]);
  if (!signal.aborted) into.replaceChildren(...parts.filter(Boolean));
}
