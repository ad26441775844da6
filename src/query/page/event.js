// One event and what was decided about it.

import { get, segment } from "./api.js";
import { facts, h } from "./dom.js";
import { moment, tone } from "./words.js";

/** A link to an event. */
export function eventLink(id, source, text = "event") {
  return h("a", { href: `?event=${segment(id)}${source ? `&source=${segment(source)}` : ""}` }, text);
}

/** The decision about an event, in words. */
export function why({ event, rule, why, outcome, change, layer, streamTime }) {
  return [h("p", { class: `said ${tone(outcome)}` }, why || outcome),
    facts([["Event", h("code", {}, event?.type ?? "unreadable")], ["From", event?.source], ["Outcome", outcome], ["Change", change], ["Recognised by", layer && `same ${layer}`], ["Rule", rule], ["Taken", moment(streamTime)]])];
}

/** Shows the event of `?event=`. */
export async function show({ params, main, signal, title }) {
  const id = params.get("event");
  const decision = await get(`events/${segment(id)}`, { source: params.get("source") ?? "" }, { signal });
  const { event, scope, issueId, replies, deliveries, run, check, form, sequence, ruleSet } = decision;
  const type = event?.type ?? "Event";
  title(type);
  const context = event?.shkeptncontext;
  main.replaceChildren(h("article", { class: "event" },
    h("nav", { class: "crumbs", "aria-label": "Way back" }, h("a", { href: "?" }, "Now"), " / ", "Event"),
    h("h1", { class: "long" }, type), h("p", { class: "under long" }, id),
    h("section", {}, h("h2", {}, "What was decided"), why(decision),
      facts([["Issue", issueId && h("a", { href: `?issue=${issueId}` }, "See the issue")],
        ["Scope", scope && [scope.resourceName, scope.resourceType, scope.resourceNamespace].filter(Boolean).join(" · ")], ["Check", check], ["Run", run],
        ["Sequence", context && h("a", { href: `?sequence=${segment(context)}` }, "See its timeline")], ["Form", form], ["Place in the stream", sequence], ["Rules", ruleSet]])),
    replies.length > 0 && h("section", {}, h("h2", {}, "What was answered"), h("ul", { class: "plainlist" }, replies.map((reply) => h("li", {}, eventLink(reply.id, "shipwatch", reply.type), h("span", { class: "meta" }, reply.seen ? "in the stream" : "on its way"))))),
    deliveries.length > 0 && h("section", {}, h("h2", {}, "Who was called"), h("ul", { class: "plainlist" }, deliveries.map((delivery) => h("li", {}, h("b", {}, delivery.webhook), h("span", { class: `meta ${tone(delivery.state)}` }, [delivery.state, delivery.message].filter(Boolean).join(": ")))))),
    h("section", {}, h("h2", {}, "The event itself"), h("pre", { tabindex: "0", "aria-label": "The event as JSON" }, typeof event === "string" ? event : JSON.stringify(event, null, 2)))));
}
