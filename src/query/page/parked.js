// What could not be handled, with the reason and the message as it came.

import { get } from "./api.js";
import { h } from "./dom.js";
import { since } from "./rows.js";
import { count } from "./words.js";

const PAGE = 50;

/** Shows the list. */
export async function show({ main, signal, title }) {
  const list = h("ul", { class: "cards parked" });
  const more = h("button", { type: "button", class: "button quiet more", onclick: () => add().catch(() => {}) }, "Show more");
  let cursor;
  let total = 0;
  async function add() {
    const page = await get("parked", { limit: PAGE, cursor }, { signal });
    ({ nextCursor: cursor, total } = page);
    list.append(...page.data.map(card));
    more.hidden = !cursor;
  }
  await add();
  if (signal.aborted) return;
  title(total ? `${total} parked` : "Parked");
  main.replaceChildren(h("div", {}, h("h1", {}, total ? `${count(total, "message")} could not be handled` : "Nothing is parked"),
    h("p", { class: "under" }, total ? "Kept whole, with the reason. The stream moved on." : "Every message could be read and judged."), list, more));
}

function card({ sequence, subject, reason, payload, payloadBase64, at }) {
  const body = payload ?? payloadBase64 ?? "";
  return h("li", { class: "card fair" },
    h("div", { class: "what" }, h("h2", {}, reason), h("p", { class: "meta" }, h("span", {}, subject), h("span", {}, `#${sequence} of the stream`)),
      h("details", {}, h("summary", {}, payload === null ? "The message, in base64" : "The message"), h("pre", { tabindex: "0", "aria-label": `Message ${sequence}` }, body))),
    h("span", { class: "age" }, since(at)));
}
