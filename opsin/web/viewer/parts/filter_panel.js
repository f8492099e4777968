/** Filters by class and confidence. */

import { ordinaryColor } from "../drawing/painter.js";
import { fill, make } from "./element.js";
import { count, percent } from "./wording.js";

const SHOWN = 40; // classes; a search finds the others

/** @param {import("../drawing/scene.js").Scene} scene */
export function filterPanel(scene) {
  const classes = make("div", { class: "classes", role: "group", "aria-label": "Classes" });
  const search = make("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class", oninput: () => render(true) });
  const everything = make("button", { type: "button", class: "link", onclick: () => hideAll(false) }, "Show all");
  const nothing = make("button", { type: "button", class: "link", onclick: () => hideAll(true) }, "Hide all");
  const tools = make("div", { class: "class-tools" }, search, everything, nothing);
  let shown = "";

  function hideAll(hide) {
    scene.filter.hidden = new Set(hide ? scene.classes().keys() : []);
    scene.refilter();
  }

  function render(force = false) {
    const all = scene.classes();
    const text = JSON.stringify([[...all], [...scene.filter.hidden], scene.display.colorBy]);
    if (text === shown && !force) return;
    shown = text;
    tools.hidden = all.size < 2;
    search.hidden = all.size < 9;
    const wanted = search.value.trim().toLowerCase();
    const found = [...all].filter(([name]) => name.toLowerCase().includes(wanted));
    const focused = document.activeElement?.dataset?.class;
    fill(classes, found.slice(0, SHOWN).map(([name, number]) => line(scene, name, number)),
      found.length > SHOWN && make("p", { class: "hint" }, `${count(found.length - SHOWN)} more classes`),
      !all.size && make("p", { class: "hint" }, "Nothing found so far."));
    if (focused) classes.querySelector(`[data-class="${CSS.escape(focused)}"]`)?.focus();
  }

  scene.addEventListener("settle", () => render());
  render();
  return [confidence(scene), tools, classes];
}

function line(scene, name, number) {
  const color = scene.display.colorBy === "class"
    ? ordinaryColor(scene.display)({ annotation: { className: name === "without a class" ? null : name } })
    : "var(--line-strong)";
  const box = make("input", {
    type: "checkbox",
    checked: !scene.filter.hidden.has(name),
    dataset: { class: name },
    onchange: () => {
      if (box.checked) scene.filter.hidden.delete(name);
      else scene.filter.hidden.add(name);
      scene.refilter();
    },
  });
  return make("label", { class: "class-line" }, box,
    make("span", { class: "class-color", style: { "--color": color } }),
    make("span", { class: "class-name" }, name),
    make("span", { class: "muted number" }, count(number)));
}

/** Two sliders; what has no confidence always passes. */
function confidence(scene) {
  const output = make("output", { class: "number muted" }, "0% to 100%");
  const slider = (value) => make("input", { type: "range", min: 0, max: 100, step: 1, value, oninput: change });
  function change(event) {
    const [from, to] = [low.valueAsNumber, high.valueAsNumber];
    if (from > to) (event.target === low ? high : low).value = event.target.value;
    scene.filter.from = low.valueAsNumber / 100;
    scene.filter.to = high.valueAsNumber / 100;
    output.textContent = `${percent(scene.filter.from).replace(".0", "")} to ${percent(scene.filter.to).replace(".0", "")}`;
    scene.refilter();
  }
  const low = slider(0);
  const high = slider(100);
  return make("fieldset", { class: "confidence" },
    make("legend", {}, "Confidence", output),
    make("div", { class: "pair" },
      make("label", {}, make("span", { class: "hint" }, "At least"), low),
      make("label", {}, make("span", { class: "hint" }, "At most"), high)));
}
