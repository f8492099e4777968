/** The list of an image's analyses: status, what was found, whether it is shown, in which colour. */

import { ask } from "../server/graphql.js";
import { CANCEL, RETRY } from "../server/documents.js";
import { reportFailure } from "./announcer.js";
import { fill, make } from "./element.js";
import { exportMenu } from "./export_menu.js";
import { ago, analysisName, analysisVersion, count, duration, plain, time } from "./wording.js";

/** The word for a status, with its dot. @param {string} status */
export const statusBadge = (status) =>
  make("span", { class: `status ${status.toLowerCase()}` }, make("span", { class: "dot", "aria-hidden": "true" }), plain(status));

/**
 * @param {import("../drawing/scene.js").Scene} scene
 * @param {import("./live_image.js").LiveImage} live
 */
export function analysesPanel(scene, live) {
  const list = make("ul", { class: "analyses" });
  const older = make("button", { type: "button", class: "button wide", hidden: true, onclick: () => reportFailure(readOlder()) });

  async function readOlder() {
    older.disabled = true;
    try {
      await live.readOlder();
    } finally {
      older.disabled = false;
    }
  }
  /** @type {Map<string, {state: unknown[], item: HTMLElement}>} what an item shows, so that only what changed is made anew */
  let shown = new Map();

  function render() {
    older.hidden = scene.older === 0;
    older.textContent = `Show older analyses (${count(scene.older)})`;
    const next = new Map();
    for (const layer of [...scene.layers].reverse()) {
      const state = [layer.analysis, layer.visible, layer.color, layer.total, layer.passing.length, layer.text];
      const before = shown.get(layer.id);
      const same = before?.state.every((one, at) => one === state[at]);
      next.set(layer.id, same ? before : { state, item: item(scene, live, layer) });
    }
    const focused = document.activeElement?.closest?.("[data-analysis]")?.dataset.analysis;
    const control = document.activeElement?.dataset?.control;
    shown = next;
    const items = [...next.values()].map((one) => one.item);
    if (items.length && items.length === list.children.length && items.every((one, at) => one === list.children[at])) return;
    fill(list, items.length ? items : make("li", { class: "empty" }, "No analysis yet. Run an operation, or let a pipeline post its results."));
    if (focused && control) {
      list.querySelector(`[data-analysis="${focused}"] [data-control="${control}"]`)?.focus();
    }
  }

  scene.addEventListener("settle", render);
  render();
  return [list, older];
}

function item(scene, live, layer) {
  const { analysis } = layer;
  const name = analysisName(analysis);
  const toggle = make("input", {
    type: "checkbox",
    checked: layer.visible,
    "aria-label": `Show ${name}, ${analysisVersion(analysis)}`,
    dataset: { control: "toggle" },
    onchange: () => reportFailure(live.show(layer, toggle.checked)),
  });
  const swatch = make("input", {
    type: "color",
    class: "swatch",
    value: layer.color,
    title: "Colour of this analysis",
    "aria-label": `Colour of ${name}`,
    dataset: { control: "color" },
    oninput: () => {
      layer.color = swatch.value;
      scene.display.colorBy = "analysis"; // or the choice would change nothing to be seen
      scene.changed();
    },
  });
  return make("li", { class: "analysis", dataset: { analysis: layer.id, status: analysis.status } },
    make("div", { class: "analysis-line" },
      toggle,
      swatch,
      make("div", { class: "analysis-name" },
        make("strong", {}, name),
        make("span", { class: "muted" }, [analysisVersion(analysis), analysis.external && "external"].filter(Boolean).join(" · "))),
      statusBadge(analysis.status)),
    make("div", { class: "analysis-facts muted" },
      make("span", {}, found(layer)),
      make("span", { title: `${time(analysis.createdAt)}${duration(analysis) && `, took ${duration(analysis)}`}` }, ago(analysis.createdAt)),
      make("span", { class: "analysis-actions" }, actions(analysis))),
    layer.text && make("p", { class: "analysis-text" }, layer.text),
    analysis.errorMessage && make("p", { class: "analysis-error" }, analysis.errorMessage));
}

function found(layer) {
  if (!layer.read) return `${count(layer.total)} found`;
  if (layer.passing.length === layer.total) return `${count(layer.total)} found`;
  return `${count(layer.passing.length)} of ${count(layer.total)} shown`;
}

function actions(analysis) {
  const act = (label, document) =>
    make("button", { type: "button", class: "link", dataset: { control: label, needs: "analyze" }, onclick: () => reportFailure(ask(document, { id: analysis.id })) }, label);
  if (["QUEUED", "PROCESSING"].includes(analysis.status)) return act("Cancel", CANCEL);
  if (analysis.status === "COMPLETED") return exportMenu(analysis);
  return analysis.external ? null : act("Run again", RETRY);
}
