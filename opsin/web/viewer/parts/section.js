/** A part of a side panel with a heading, which can be folded. */

import { make } from "./element.js";

/**
 * @param {string} title
 * @param {any[]} content
 * @param {{open?: boolean, note?: Node | string}} [more] a note stands at the heading's right
 */
export function section(title, content, { open = true, note = "" } = {}) {
  return make("details", { class: "section", open },
    make("summary", {}, make("h2", {}, title), make("span", { class: "section-note" }, note)),
    make("div", { class: "section-body" }, content));
}
