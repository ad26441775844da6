// One sequence: the picture of its stages and tasks, and the same in words.

import { get, segment } from "./api.js";
import { facts, h } from "./dom.js";
import { eventLink } from "./event.js";
import { draw as paint } from "./picture.js";
import { badge, standing } from "./sequences.js";
import { count, moment, span } from "./words.js";

const OPEN = 5_000;

/** Shows the sequence of `?sequence=`. */
export async function show(place) {
  const { params, main, signal, title } = place;
  const path = `sequences/${segment(params.get("sequence"))}`;
  const frame = h("div", { class: "picture" });
  const rest = h("div", {});
  const head = h("div", {});
  let timeline;
  let width = 0;
  const paintAgain = () => timeline && width && frame.replaceChildren(paint(timeline, width));
  const eye = new ResizeObserver(([{ contentRect }]) => {
    ({ width } = contentRect);
    paintAgain();
  });
  let timer;
  signal.addEventListener("abort", () => {
    eye.disconnect();
    clearTimeout(timer);
  });
  async function draw() {
    const fresh = await get(path, {}, { signal });
    if (signal.aborted) return;
    if (JSON.stringify(fresh) !== JSON.stringify(timeline)) {
      timeline = fresh;
      head.replaceChildren(...header(timeline));
      rest.replaceChildren(...words(timeline));
    }
    paintAgain();
    if (timeline.state && !timeline.finishedAt) timer = setTimeout(() => draw().catch(() => {}), OPEN);
  }
  await draw();
  if (signal.aborted) return;
  title(`${timeline.name ?? "Context"} of ${timeline.service || timeline.keptnContext}`);
  main.replaceChildren(h("article", {}, h("nav", { class: "crumbs", "aria-label": "Way back" }, h("a", { href: "?view=sequences" }, "Sequences"), " / ", timeline.name ?? "context"), head, frame, rest));
  eye.observe(frame);
}

function header(timeline) {
  const { name, service, project, state, keptnContext, triggeredAt, durationSeconds, problem, events, truncated } = timeline;
  return [h("h1", {}, `${name ?? "Events"} of ${service || project || "a context"}`),
    h("p", { class: "under" }, state && badge(standing(timeline)), " ", [project, problem, triggeredAt && moment(triggeredAt), durationSeconds !== null && `took ${span(durationSeconds)}`].filter(Boolean).join(" · ")),
    h("p", { class: "hint long" }, `${keptnContext} · ${count(events, "event")}${truncated ? ", of which the oldest are left out" : ""}`)];
}

function words({ stages, issues, logs }) {
  return [...stages.map((stage) => h("section", { class: "stage" }, h("h2", {}, stage.name || "No stage"),
    stage.sequences.map((sequence) => h("div", { class: "sequence" }, h("h3", {}, sequence.name, " ", badge(standing(sequence)), " ", h("small", {}, span(sequence.durationSeconds))),
      sequence.message && h("p", { class: "text" }, sequence.message), changes(sequence.issues), tasks(sequence.tasks))),
    tasks(stage.tasks))),
  issues.length > 0 && h("section", {}, h("h2", {}, "Issues"), changes(issues)),
  logs.length > 0 && h("section", {}, h("h2", {}, "Trouble"), troubles(logs))].filter(Boolean);
}

function tasks(list) {
  return list.length > 0 && h("ol", { class: "tasks" }, list.map((task) => h("li", {},
    h("p", { class: "task" }, h("b", {}, task.name), " ", badge(task.invalidatedAt ? ["taken back", "plain"] : standing(task)), " ", h("span", { class: "meta" }, h("span", {}, span(task.durationSeconds)), task.triggeredId && eventLink(task.triggeredId, "", "its trigger"))),
    task.executors.length > 0 && h("ul", { class: "executors" }, task.executors.map((executor) => h("li", {}, h("span", { class: "meta" }, executor.source || "unnamed", executor.late && " (too late)"), executor.message && h("span", { class: "text" }, executor.message)))),
    changes(task.issues), troubles(task.logs))));
}

function changes(list) {
  return list.length > 0 && h("ul", { class: "plainlist" }, list.map((change) => h("li", {}, `Issue ${change.change}: `, h("a", { href: `?issue=${change.id}` }, change.title ?? `#${change.number ?? change.id}`), " ", h("span", { class: "meta" }, eventLink(change.eventId, "")))));
}

function troubles(list) {
  return list.length > 0 && h("ul", { class: "plainlist" }, list.map((trouble) => h("li", { class: "bad" }, trouble.message ?? "trouble", " ", h("span", { class: "meta" }, trouble.source))));
}
