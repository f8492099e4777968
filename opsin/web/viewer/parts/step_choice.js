/** The steps of an application: which are enabled, which can be, and what they need. */

import { make } from "./element.js";
import { titled } from "./wording.js";

/** @param {any[]} steps of the application @param {string[]} enabled keys */
export const stepList = (steps, enabled) =>
  make("ul", { class: "targets", "aria-label": "Steps" }, steps.map((step) => {
    const on = enabled.includes(step.key);
    const why = !on ? "not enabled" : step.available ? "" : step.unavailableReason;
    return make("li", { class: on && step.available ? "" : "missing", title: why || null }, titled(step.key), why && make("span", { class: "visually-hidden" }, ` (${why})`));
  }));

/**
 * A box for each step; what a step needs is chosen with it, and whoever is needed says so.
 * @param {any[]} steps
 * @param {string[]} [enabled] keys; all, where none are given
 * @returns {{element: HTMLElement, read: () => string[]}}
 */
export function stepChoice(steps, enabled = steps.map((one) => one.key)) {
  const boxes = new Map(steps.map((step) => [step.key, make("input", { type: "checkbox", id: `step-${step.key}`, checked: enabled.includes(step.key), onchange: () => changed(step) })]));
  const notes = new Map(steps.map((step) => [step.key, make("span", { class: "hint" })]));

  function changed(step) {
    if (boxes.get(step.key).checked) step.requires.forEach((key) => { if (boxes.has(key)) boxes.get(key).checked = true; });
    render();
  }

  function render() {
    for (const step of steps) {
      const needed = steps.filter((one) => one.requires.includes(step.key) && boxes.get(one.key).checked);
      const missing = needed.length > 0 && !boxes.get(step.key).checked;
      notes.get(step.key).textContent = missing
        ? `${needed.length === 1 ? titled(needed[0].key) : `${needed.length} other steps`} will fail without it`
        : step.available ? "" : step.unavailableReason ?? "not available here";
    }
  }

  render();
  const element = make("fieldset", { class: "steps" }, make("legend", {}, "Steps"), steps.map((step) =>
    make("div", { class: "check-line" }, boxes.get(step.key), make("label", { for: `step-${step.key}` }, titled(step.key)), notes.get(step.key))));
  return { element, read: () => steps.map((one) => one.key).filter((key) => boxes.get(key).checked) };
}
