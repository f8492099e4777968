/** Makes elements of the page; text stays text, whatever it holds. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes] `on...` are listeners, `class`, `dataset`, booleans and
 *   ARIA as in HTML; `style` sets custom properties by name, as the page's policy allows no text
 * @param {...(Node | string | number | null | false | undefined | any[])} children
 * @returns {any} the element
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) assign(element, name, value);
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function assign(element, name, value) {
  if (value === null || value === undefined) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "style") Object.entries(value).forEach(([key, text]) => element.style.setProperty(key, text));
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
  else if (name.startsWith("aria-")) element.setAttribute(name, String(value));
  else if (typeof value === "boolean") element.toggleAttribute(name, value);
  else element.setAttribute(name, String(value));
}

/** The same for what is drawn as SVG. @returns {any} the element */
export function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) assign(element, name, value);
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** @param {Node} parent @param {...any} children */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return parent;
}

const PATHS = {
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  previous: "M10 3 5 8l5 5",
  next: "m6 3 5 5-5 5",
  close: "m4 4 8 8M12 4l-8 8",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8Zm6.5 2a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  upload: "M8 10.5v-8M4.8 5.5 8 2.3l3.2 3.2M2.5 10.5v3h11v-3",
  download: "M8 2.3v8M4.8 7.3 8 10.5l3.2-3.2M2.5 10.5v3h11v-3",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14",
  compare: "M8 2v12M2.5 4h3v8h-3zM10.5 4h3v8h-3z",
  play: "m5 3 8 5-8 5Z",
  theme: "M8 2.2a5.8 5.8 0 1 0 0 11.6ZM8 2.2a5.8 5.8 0 0 1 0 11.6",
  help: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.2 6.3a1.8 1.8 0 1 1 2.6 1.6c-.6.3-.8.6-.8 1.2M8 11.3v.1",
  filter: "M2 3.5h12M4.5 8h7M7 12.5h2",
  tag: "M2.5 2.5h5l6 6-5 5-6-6ZM5.4 5.5v-.1",
  edit: "M3 13l.7-3L10.8 2.9a1.4 1.4 0 0 1 2.3 2.3L6 12.3 3 13Z",
  report: "M4 1.8h5.5L12.5 5v9.2H4ZM9.2 2v3.2h3.2M6 8.5h4.5M6 11h4.5",
  trash: "M3 4.5h10M6.5 4V2.7h3V4M4.3 4.5l.6 8.8h6.2l.6-8.8",
};

/** A picture for a button; hidden from screen readers, which hear the button's label. */
export const icon = (name) => drawn("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, drawn("path", { d: PATHS[name] }));

/** A button that shows only an icon. @param {string} label for screen readers and the tooltip */
export const iconButton = (name, label, onclick, more = {}) =>
  make("button", { type: "button", class: "button quiet square", "aria-label": label, title: label, onclick, ...more }, icon(name));
