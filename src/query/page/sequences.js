// Sequences, the newest first.

import { get, segment } from "./api.js";
import { h } from "./dom.js";
import { since } from "./rows.js";
import { span, tone } from "./words.js";

const PAGE = 50;
const NAMES = { waitingForApproval: "waits for approval", timedOut: "timed out" };

/** How a sequence stands, in a word and its tone. */
export function standing({ state, result, status }) {
  if (state === "finished") return status === "errored" ? ["errored", "bad"] : [result ?? "finished", tone(result ?? "finished")];
  if (state === "timedOut" || state === "aborted") return [NAMES[state] ?? state, state === "timedOut" ? "bad" : "plain"];
  return [NAMES[state] ?? state ?? "unknown", "busy"];
}

/** A word in its colour. */
export const badge = ([word, colour]) => h("span", { class: `badge ${colour}` }, word);

/** Shows the list. */
export async function show(place) {
  const { main, signal, title } = place;
  const list = h("ul", { class: "cards" });
  const more = h("button", { type: "button", class: "button quiet more", onclick: () => add().catch(() => {}) }, "Show more");
  let cursor;
  async function add() {
    const page = await get("sequences", { limit: PAGE, cursor }, { signal });
    cursor = page.nextCursor;
    list.append(...page.data.map(card));
    more.hidden = !cursor;
  }
  await add();
  if (signal.aborted) return;
  title("Sequences");
  main.replaceChildren(h("div", {}, h("h1", {}, "Sequences"), h("p", { class: "under" }, "What was delivered, where, and how that went"),
    !list.childElementCount && h("p", { class: "empty" }, "No sequence has come by yet."), list, more));
}

function card(sequence) {
  const { keptnContext, name, project, service, stages, triggeredAt, durationSeconds, problem } = sequence;
  const stood = standing(sequence);
  return h("li", { class: `card ${stood[1]}` },
    h("div", { class: "what" }, h("a", { class: "open", href: `?sequence=${segment(keptnContext)}` }, `${name} of ${service || project || keptnContext}`),
      h("p", { class: "meta" }, project && h("span", {}, project), problem && h("span", {}, problem), durationSeconds !== null && h("span", {}, `took ${span(durationSeconds)}`))),
    h("ol", { class: "stages", "aria-label": "Stages" }, stages.filter((stage) => stage.name).map((stage) => h("li", { class: stage.state === "finished" ? "ended" : "" }, stage.name))),
    badge(stood), h("span", { class: "age" }, triggeredAt && since(triggeredAt)));
}
