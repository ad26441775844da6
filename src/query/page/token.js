// The bearer token: asked for once, kept for this tab.

import { h } from "./dom.js";

const KEY = "shipwatch-token";
let asking;

/** The token of this tab, if there is one. */
export const token = () => sessionStorage.getItem(KEY);

/** Asks for a token; all who want one at the same time get the same answer. False where none is given. */
export function ask(wrong) {
  asking ??= dialog(wrong).finally(() => (asking = undefined));
  return asking;
}

function dialog(wrong) {
  return new Promise((resolve) => {
    const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
    const box = h("dialog", { class: "token", "aria-labelledby": "token-title" },
      h("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); box.close(field.value.trim()); } },
        h("h2", { id: "token-title" }, "A token, please"),
        h("p", {}, wrong ? "That one was not taken." : "This Shipwatch shows itself to those with a bearer token only."),
        h("label", { for: "token" }, "Token"), field,
        h("p", { class: "hint" }, "It is kept for this tab and forgotten with it."),
        h("p", { class: "buttons" }, h("button", { class: "button" }, "Go on"),
          h("button", { type: "button", class: "button quiet", onclick: () => box.close("") }, "Not now"))));
    box.addEventListener("close", () => {
      if (box.returnValue) sessionStorage.setItem(KEY, box.returnValue);
      box.remove();
      resolve(Boolean(box.returnValue));
    });
    document.body.append(box);
    box.showModal();
  });
}
