// Which view an address shows, and what all views share: the header, changes as they happen, and what is said when things fail.

import { Refused } from "./api.js";
import { h } from "./dom.js";
import * as issues from "./issues.js";
import { watch } from "./live.js";

const main = document.getElementById("main");
const said = document.getElementById("said");
const light = document.getElementById("live");

/** Views by the parameter that names what they show, then those of `?view=`. Only the first one is needed at once. */
const THINGS = { issue: () => import("./issue.js"), event: () => import("./event.js"), sequence: () => import("./sequence.js") };
const VIEWS = {
  sequences: () => import("./sequences.js"),
  trend: () => import("./trend.js"),
  parked: () => import("./parked.js"),
  health: () => import("./health.js"),
};

let leave = new AbortController();
let place;

function viewOf(params) {
  const thing = Object.keys(THINGS).find((name) => params.get(name));
  if (thing) return { name: thing, load: THINGS[thing] };
  const name = params.get("view") ?? "issues";
  if (name === "issues") return { name, load: () => issues };
  return { name, load: Object.hasOwn(VIEWS, name) ? VIEWS[name] : () => ({ show: lost }) };
}

/** Shows what the address says. `moved` is where a reader came from by a link, and wants to be told and taken to the top. */
async function show(moved) {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const params = new URLSearchParams(location.search);
  const view = viewOf(params);
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.dataset.view === view.name || link.dataset.view === `${view.name}s`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  place = { main, params, signal, go, title, say, change: () => {}, again: () => {} };
  const mine = place;
  main.setAttribute("aria-busy", "true");
  try {
    const { show } = await view.load();
    if (!signal.aborted) await show(mine);
  } catch (error) {
    if (signal.aborted) return;
    failed(error);
  }
  if (signal.aborted) return;
  main.removeAttribute("aria-busy");
  if (moved) {
    main.focus({ preventScroll: true });
    scrollTo(0, moved.y ?? 0);
    say(document.title);
  }
}

/** Goes to an address of this page. */
function go(href, { replace = false } = {}) {
  const url = new URL(href, location.href);
  if (replace) {
    history.replaceState(history.state, "", url);
    return;
  }
  history.replaceState({ y: scrollY }, "");
  history.pushState({}, "", url);
  show({});
}

function title(text) {
  document.title = text ? `${text} · Shipwatch` : "Shipwatch";
}

/** Tells those who listen to the page. */
function say(text) {
  said.textContent = text;
}

function lost({ title }) {
  title("Nothing here");
  main.replaceChildren(h("div", { class: "lost" }, h("h1", {}, "Off the chart"),
    h("p", {}, "There is nothing at this address. It may have been cut off when it was copied."),
    h("p", {}, h("a", { class: "button", href: "?" }, "See what is broken now"))));
}

function failed(error) {
  const known = error instanceof Refused;
  if (!known) console.error(error);
  const [head, text] = !known ? ["Something went wrong", "This page could not show that. Reloading may help."]
    : error.status === 404 ? ["Not here (any more)", error.details]
      : error.status === 401 ? ["A token is needed", "Without one there is nothing to see. Reload to be asked again."]
        : [error.message, error.details];
  title(head);
  main.replaceChildren(h("div", { class: "lost" }, h("h1", {}, head), text && h("p", {}, text),
    h("p", {}, h("a", { class: "button", href: location.search || "?", "data-reload": true }, "Try again"), " ",
      h("a", { class: "button quiet", href: "?" }, "What is broken now"))));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const href = link.getAttribute("href");
  if (href === "#main") {
    event.preventDefault();
    main.focus();
  } else if (href.startsWith("?")) {
    event.preventDefault();
    go(href);
  }
});
addEventListener("popstate", (event) => show({ y: event.state?.y ?? 0 }));
history.scrollRestoration = "manual";
addEventListener("pagehide", () => history.replaceState({ ...history.state, y: scrollY }, ""));

const STATES = { live: ["Live", "Changes appear as they happen"], asking: ["Every 5 s", "Asks for changes every five seconds"], away: ["No answer", "Shipwatch does not answer; trying again"] };

const first = watch({
  change(kind, issue) {
    issues.change(kind, issue);
    place?.change(kind, issue);
    if (kind === "opened" || kind === "reopened" || kind === "resolved") say(`${kind}: ${issue.title}`);
  },
  again() {
    issues.again();
    place?.again();
  },
  state(word) {
    const [text, hint] = STATES[word];
    light.hidden = false;
    light.dataset.state = word;
    light.title = hint;
    if (light.textContent !== text) light.textContent = text;
  },
});

// What is listed first should be followed from there on; a slow answer is not waited for.
await Promise.race([first, new Promise((done) => setTimeout(done, 400))]);
show(history.state?.y ? { y: history.state.y } : undefined);
