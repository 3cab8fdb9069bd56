/** Builds DOM nodes. Text always becomes text nodes; nothing here parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** Returns an element; children that are strings become text, null ones are left out. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Returns one of the icons that chat.html defines. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Returns a button; `onClick` may be left out where a parent listens. */
export function button(label, attributes = {}, onClick = null) {
  const node = element("button", { type: "button", ...attributes }, label);
  if (onClick) node.addEventListener("click", onClick);
  return node;
}

/** Turns `old` into `fresh`, touching only what differs, so that selections and scroll positions stay. */
export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
  } else if (old.nodeType === Node.TEXT_NODE) {
    morphText(old, fresh.data);
  } else {
    morphAttributes(old, fresh);
    morphChildren(old, fresh);
  }
}

function morphText(old, data) {
  if (data.startsWith(old.data)) old.appendData(data.slice(old.data.length));
  else old.data = data;
}

function morphAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function morphChildren(old, fresh) {
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((child, at) => (at < before.length ? morph(before[at], child) : old.append(child)));
  for (const surplus of before.slice(after.length)) surplus.remove();
}
