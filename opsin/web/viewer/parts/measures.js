/** What was measured, area by area: one line a measure with its score, and its places in the picture on demand. */

import { reportFailure } from "./announcer.js";
import { fill, make } from "./element.js";
import { measured, titled } from "./wording.js";

/** "skin_redness" as "Redness": what all of an application's steps begin with says nothing. */
export const measureName = (operation) => titled(operation.replace(/^skin_/, ""));

/**
 * The metrics of an analysis that measures areas: named `area.metric`, the main one of an area first.
 * @param {import("../drawing/layer.js").Layer} layer
 * @returns {Map<string, any[]>} by area, in order; empty where it measures none
 */
export function areasOf(layer) {
  const areas = new Map();
  for (const { annotation } of layer.findings) {
    if (annotation.annotationType !== "metric" || typeof annotation.data.name !== "string") continue;
    const [area, metric] = annotation.data.name.split(".", 2);
    if (metric === undefined) continue;
    if (!areas.has(area)) areas.set(area, []);
    areas.get(area).push({ ...annotation.data, metric });
  }
  return areas;
}

/**
 * @param {import("../drawing/scene.js").Scene} scene
 * @param {import("./live_image.js").LiveImage} live
 * @param {HTMLElement} frame shown while there is anything in it
 */
export function measuresPanel(scene, live, frame) {
  const list = make("ul", { class: "measures" });
  const all = make("button", { type: "button", class: "link", onclick: () => turn(true) }, "Show all");
  const none = make("button", { type: "button", class: "link", onclick: () => turn(false) }, "Hide all");
  /** @type {Map<string, {state: unknown[], item: HTMLElement}>} */
  let shown = new Map();
  const measuring = () => scene.layers.filter((layer) => layer.measures);

  function turn(on) {
    for (const layer of measuring()) if (placesOf(layer)) reportFailure(live.show(layer, on));
  }

  function render() {
    const layers = measuring();
    frame.hidden = layers.length === 0;
    const next = new Map();
    for (const layer of layers) {
      const state = [layer.findings.length, layer.visible, layer.color, layer.analysis.status];
      const before = shown.get(layer.id);
      if (before?.state.every((one, at) => one === state[at])) next.set(layer.id, before);
      else next.set(layer.id, { state, item: measure(layer, live, before?.item) });
    }
    const focused = document.activeElement?.closest?.("[data-measure]")?.dataset.measure;
    const control = document.activeElement?.dataset?.control;
    const same = [...next.values()].every((one, at) => one.item === list.children[at]) && next.size === list.children.length;
    shown = next;
    if (same) return;
    fill(list, [...next.values()].map((one) => one.item));
    if (focused && control) list.querySelector(`[data-measure="${focused}"] [data-control="${control}"]`)?.focus();
  }

  frame.querySelector(".section-body").append(list, make("div", { class: "class-tools" }, all, none));
  scene.addEventListener("settle", render);
  render();
}

const placesOf = (layer) => layer.findings.some((one) => one.shape);

function measure(layer, live, before) {
  const areas = areasOf(layer);
  const [[, [main]]] = areas;
  const name = measureName(layer.analysis.operation ?? layer.analysis.modelName);
  const places = placesOf(layer);
  const toggle = make("input", { type: "checkbox", checked: layer.visible && places, disabled: !places, title: places ? "Where it was found" : "It has no places in the picture", "aria-label": `Show where: ${name}`, dataset: { control: "places" }, onchange: () => reportFailure(live.show(layer, toggle.checked)) });
  const scored = typeof main.score === "number";
  return make("li", { class: "measure", dataset: { measure: layer.id }, style: { "--color": layer.color } },
    toggle,
    make("span", { class: places ? "class-color" : "class-color none" }),
    make("details", { open: before?.querySelector("details").open ?? false },
      make("summary", { dataset: { control: "areas" } },
        make("span", { class: "measure-name" }, name),
        scored ? make("span", { class: "score-bar", "aria-hidden": "true", style: { "--share": String(main.score / 100) } }) : make("span", { class: "muted measure-label" }, main.label ?? ""),
        make("span", { class: "number" }, scored ? make("strong", {}, String(Math.round(main.score))) : make("strong", {}, valued(main)))),
      areaTable(name, areas)));
}

/** Areas down and metrics across; where there is one area, its metrics down. */
function areaTable(name, areas) {
  const rows = [...areas];
  const frame = (head, body) => make("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": `${name}, area by area` },
    make("table", { class: "small areas" }, make("caption", { class: "visually-hidden" }, `${name}, area by area: scores of 100, and what was measured`), make("thead", {}, make("tr", {}, head)), make("tbody", {}, body)));
  const head = (text, kind = null) => make("th", { scope: "col", class: kind }, text);
  if (rows.length === 1) {
    const [[, metrics]] = rows;
    return frame([head("Metric"), head("Score", "number"), head("Measured", "number")], metrics.map((one) =>
      make("tr", {}, make("th", { scope: "row" }, titled(one.metric)), make("td", { class: "number" }, scoreOf(one)), make("td", { class: "number" }, valued(one)))));
  }
  const columns = new Map(rows.flatMap(([, metrics]) => metrics.map((one) => [one.metric, one.unit])));
  return frame([head("Area"), [...columns].map(([metric, unit]) => make("th", { scope: "col", class: "number" }, titled(metric), unit && unit !== "score" && make("span", { class: "unit" }, unit === "share" ? "%" : unit)))], rows.map(([area, metrics]) =>
    make("tr", {}, make("th", { scope: "row" }, titled(area)), [...columns.keys()].map((metric) => {
      const one = metrics.find((other) => other.metric === metric);
      return make("td", { class: "number" }, one && [scoreOf(one) && make("strong", {}, scoreOf(one)), make("span", { class: "muted" }, numberOf(one))]);
    }))));
}

const scoreOf = ({ score }) => (typeof score === "number" ? String(Math.round(score)) : "");

function numberOf({ value, unit, label }) {
  if (typeof value !== "number") return label ?? "";
  return measured(Number((unit === "share" ? value * 100 : value).toPrecision(3)));
}

function valued(one) {
  if (one.unit === "share" && typeof one.value === "number") return `${numberOf(one)}%`;
  if (one.unit === "degrees" && typeof one.value === "number") return `${numberOf(one)}°`;
  return [numberOf(one), typeof one.value === "number" && one.unit !== "score" && one.unit].filter(Boolean).join(" ");
}
