// Whether Shipwatch itself is well.

import { get } from "./api.js";
import { facts, h } from "./dom.js";
import { tone } from "./words.js";

const AGAIN = 5_000;
const NAMES = { api: "Query endpoint", database: "Store", stream: "Stream", response_time: "Answer time" };

/** Shows it, and again every few seconds. */
export async function show({ main, signal, title }) {
  title("Health");
  const parts = h("div", { class: "health" });
  const head = h("h1", {});
  const under = h("p", { class: "under" });
  let timer;
  signal.addEventListener("abort", () => clearTimeout(timer));
  const version = await get("version", {}, { signal });
  async function draw() {
    try {
      const health = await get("health", {}, { signal, also: [503] });
      const up = health.status === "UP";
      const text = up ? "All is well" : "Not all is well";
      if (head.textContent !== text) head.textContent = text;
      head.classList.toggle("calm", up);
      under.textContent = `Shipwatch ${version.version}`;
      parts.replaceChildren(...Object.entries(health.components).filter(([name]) => name !== "response_time").map(([name, component]) => part(name, component, health)));
    } catch (error) {
      if (signal.aborted) return;
      head.textContent = error.message;
      head.classList.remove("calm");
      under.textContent = error.details ?? "";
    }
    timer = setTimeout(draw, AGAIN);
  }
  await draw();
  if (!signal.aborted) main.replaceChildren(h("div", {}, head, under, parts));
}

function part(name, { status, message, details }) {
  const missed = details.missed && `${details.missed.from} to ${details.missed.to}`;
  const known = {
    api: [["Version", details.version]],
    database: [["Issues", details.issues?.toLocaleString()], ["Events", details.events?.toLocaleString()], ["Parked", details.parked === undefined ? "" : h("a", { href: "?view=parked" }, details.parked.toLocaleString())]],
    stream: [["Name", details.stream], ["Folded up to", details.sequence?.toLocaleString()], ["Missed", missed]],
  };
  return h("section", { class: `card ${tone(status)}` }, h("div", { class: "what" }, h("h2", {}, NAMES[name] ?? name, " ", h("span", { class: `badge ${tone(status)}` }, status === "UP" ? "up" : "down")),
    h("p", { class: "meta" }, message), facts(known[name] ?? Object.entries(details).map(([term, value]) => [term, typeof value === "object" ? JSON.stringify(value) : String(value)]))));
}
