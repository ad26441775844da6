// Elements from values. Text only ever becomes text: there is no way in here for markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  // Nothing, false and "" are left out, so that callers may write `condition && child`.
  element.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return element;
}

/** An HTML element: `h("a", { href: "?" }, "text", other)`. */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function s(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Makes the children of `parent` be `wanted`, moving only those that are elsewhere: focus and scroll stay where they are. */
export function arrange(parent, wanted) {
  const stay = new Set(wanted);
  for (const child of [...parent.childNodes]) if (!stay.has(child)) child.remove();
  let at = parent.firstChild;
  for (const child of wanted) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
}

/** A list of terms and what they are; those without a value are left out. */
export function facts(pairs) {
  const some = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return h("dl", { class: "facts" }, some.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

/** A link somewhere else, or plain text where the address is no web address. */
export function outward(url, text) {
  let address;
  try {
    address = new URL(url);
  } catch {
    address = undefined;
  }
  const web = address && (address.protocol === "http:" || address.protocol === "https:");
  return web ? h("a", { href: address.href, rel: "noopener noreferrer", target: "_blank" }, text || url) : h("span", {}, text || url);
}
