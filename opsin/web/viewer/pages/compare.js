/** Two or more analyses of one image: side by side, or as their difference. */

import { Scene } from "../drawing/scene.js";
import { Stage } from "../drawing/stage.js";
import { compare } from "../geometry/matching.js";
import { Viewport } from "../geometry/viewport.js";
import { ask } from "../server/graphql.js";
import { IMAGE } from "../server/documents.js";
import { LiveImage } from "../parts/live_image.js";
import { reportFailure } from "../parts/announcer.js";
import { agreementTable, classTable } from "../parts/comparison_tables.js";
import { fill, make } from "../parts/element.js";
import { section } from "../parts/section.js";
import { stageTools } from "../parts/stage_tools.js";
import { analysisName, analysisVersion, counted, percent } from "../parts/wording.js";

const MOST = 4; // side by side
const COLORS = { both: "#2fc28b", left: "#3ea6ff", right: "#ffb000" };

export async function comparePage(id, query) {
  const { image, eventCursor } = await ask(IMAGE, { id });
  if (!image) throw new Error("There is no such image, or it belongs to another company.");
  const scene = new Scene(image);
  scene.display.colorBy = "analysis";
  const live = new LiveImage(scene, image, eventCursor);
  await Promise.all((query.get("with")?.split(",") ?? []).map((one) => live.bring(one)));
  const state = { mode: query.get("mode") ?? "side", threshold: 0.5, sameClass: true };
  const asked = query.get("with")?.split(",") ?? [];
  let chosen = (asked.length ? scene.layers.filter((layer) => asked.includes(layer.id)) : likeliest(scene.layers)).map((layer) => layer.id);
  let stages = [];
  const viewport = new Viewport(image.width, image.height);
  const frame = make("div", { class: "stages" });
  const tables = make("div", {});
  const legend = make("div", { class: "legend" });
  const picker = make("fieldset", { class: "picker" });

  const layers = () => chosen.map((one) => scene.layers.find((layer) => layer.id === one)).filter(Boolean);

  function build() {
    stages.forEach((stage) => stage.leave());
    const together = () => stages.forEach((stage) => stage.moved());
    const stageFor = (shown, label, colorOf) => new Stage(image, scene, { viewport, layers: shown, label, colorOf, onView: together });
    const picked = layers();
    if (state.mode === "difference" && picked.length > 1) {
      stages = [stageFor(() => layers().slice(0, 2), "Difference", (finding) => differenceColor(finding))];
      fill(frame, pane("Difference", stages[0], null, true));
    } else {
      stages = picked.map((layer) => stageFor(() => [layer], name(layer)));
      fill(frame, stages.map((stage, at) => pane(name(picked[at]), stage, picked[at], at === 0)),
        !picked.length && make("p", { class: "empty" }, "Choose two analyses to compare."));
    }
    frame.dataset.count = String(stages.length);
    update();
  }

  function pane(title, stage, layer, tools) {
    return make("section", { class: "pane", "aria-label": title },
      make("header", {}, layer && make("span", { class: "class-color", style: { "--color": layer.color } }), make("h2", {}, title), layer && make("span", { class: "muted" }, counted(boxed(layer).length, "finding"))),
      make("div", { class: "stage-frame" }, stage.element, tools && stageTools(stage)));
  }

  /** Who found what, made anew whenever something changes. */
  let found = new Map();
  function update() {
    const picked = layers();
    found = new Map();
    if (picked.length > 1) {
      const [left, right] = picked.map(boxed);
      const result = compare(left, right, state);
      result.matched.forEach((pair) => { found.set(left[pair.left].finding, COLORS.both); found.set(right[pair.right].finding, null); });
      result.onlyLeft.forEach((at) => found.set(left[at].finding, COLORS.left));
      result.onlyRight.forEach((at) => found.set(right[at].finding, COLORS.right));
      const key = (color, text) => make("span", { class: "legend-item" }, make("span", { class: "class-color", style: { "--color": color } }), text);
      fill(legend,
        key(COLORS.both, `${counted(result.matched.length, "match", "matches")}`),
        key(COLORS.left, `${result.onlyLeft.length} only ${name(picked[0])}`),
        key(COLORS.right, `${result.onlyRight.length} only ${name(picked[1])}`));
      fill(tables,
        make("div", { class: "figures" },
          figure(percent(result.agreement), "agreement"), figure(result.matched.length ? result.meanOverlap.toFixed(2) : "–", "mean overlap"),
          figure(`${left.length} / ${right.length}`, "findings")),
        classTable(picked.slice(0, 2), picked.slice(0, 2).map(boxed), result, picked.slice(0, 2).map(name)),
        picked.length > 2 && agreementTable(picked.map(name), picked.map(boxed), state));
    } else {
      fill(legend);
      fill(tables, make("p", { class: "hint" }, "Choose two analyses or more."));
    }
    stages.forEach((stage) => stage.redraw());
  }

  const differenceColor = (finding) => (found.has(finding) ? found.get(finding) : null);

  function renderPicker() {
    const lines = scene.layers.map((layer) => {
      const box = make("input", { type: "checkbox", checked: chosen.includes(layer.id), disabled: !chosen.includes(layer.id) && chosen.length >= MOST, onchange: () => {
        chosen = box.checked ? [...chosen, layer.id] : chosen.filter((one) => one !== layer.id);
        if (box.checked) reportFailure(live.show(layer, true));
        renderPicker();
        build();
      } });
      return make("label", { class: "class-line" }, box, make("span", { class: "class-color", style: { "--color": layer.color } }),
        make("span", { class: "class-name" }, name(layer)), make("span", { class: "muted number" }, String(layer.read ? boxed(layer).length : layer.total)));
    });
    const older = scene.older > 0 && make("button", { type: "button", class: "button wide", onclick: () => reportFailure(live.readOlder()) }, `Show older analyses (${scene.older})`);
    fill(picker, make("legend", { class: "visually-hidden" }, "Analyses to compare"), lines, older);
  }

  const modes = make("div", { class: "segmented", role: "group", "aria-label": "How to compare" },
    [["side", "Side by side"], ["difference", "Difference"]].map(([mode, text]) =>
      make("button", { type: "button", "aria-pressed": state.mode === mode, onclick: (event) => {
        state.mode = mode;
        modes.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button === event.target)));
        build();
      } }, text)));
  const output = make("output", { class: "number muted" }, "0.50");
  const threshold = make("input", { type: "range", id: "overlap", min: 5, max: 95, step: 5, value: 50, oninput: () => {
    state.threshold = threshold.valueAsNumber / 100;
    output.textContent = state.threshold.toFixed(2);
    update();
  } });
  const sameClass = make("input", { type: "checkbox", id: "same-class", checked: true, onchange: () => { state.sameClass = sameClass.checked; update(); } });

  let layerCount = scene.layers.length;
  const seen = () => scene.layers.map((layer) => `${layer.total} ${layer.findings.length}`).join();
  let before = seen();
  scene.addEventListener("settle", () => {
    if (scene.layers.length !== layerCount || seen() !== before) {
      [layerCount, before] = [scene.layers.length, seen()];
      renderPicker();
      build();
    }
  });
  renderPicker();
  build();
  const element = make("div", { class: "page fixed image-page" },
    make("header", { class: "page-head compact" },
      make("div", {},
        make("nav", { class: "crumbs", "aria-label": "Path" }, make("a", { href: `#/datasets/${image.dataset.id}` }, image.dataset.name), make("span", { "aria-hidden": "true" }, "/"), make("a", { href: `#/images/${id}` }, image.filename)),
        make("h1", {}, "Compare")),
      make("div", { class: "page-tools" }, legend, modes)),
    make("div", { class: "image-work" }, frame,
      make("aside", { class: "panel", "aria-label": "Comparison" },
        section("Analyses", picker),
        section("Matching", [
          make("div", { class: "control-line" }, make("label", { for: "overlap" }, "Least overlap (IoU)"), threshold, output),
          make("div", { class: "control-line" }, make("label", { for: "same-class" }, "Same class only"), sameClass)]),
        section("Result", tables))));
  return { title: `Compare ${image.filename}`, element, datasetId: image.dataset?.id, leave() { live.stop(); stages.forEach((stage) => stage.leave()); } };
}

/** Two that somebody would compare first: versions of one model, else the newest that found anything. */
function likeliest(layers) {
  const found = layers.filter((layer) => boxed(layer).length > 0).reverse();
  const model = ({ analysis }) => analysis.operation ?? analysis.modelName;
  for (const newest of found) {
    const older = found.find((layer) => layer !== newest && model(layer) === model(newest));
    if (older) return [older, newest];
  }
  return found.slice(0, 2).reverse();
}

const name = (layer) => `${analysisName(layer.analysis)} ${analysisVersion(layer.analysis).replace("version ", "")}`;

const figure = (value, label) => make("div", { class: "figure" }, make("strong", { class: "number" }, value), make("span", { class: "muted" }, label));

/** What of a layer can be matched: everything with an extent. */
const boxed = (layer) =>
  layer.passing.filter((finding) => finding.shape && finding.shape.box[2] > 0 && finding.shape.box[3] > 0)
    .map((finding) => ({ finding, box: finding.shape.box, className: finding.annotation.className, confidence: finding.annotation.confidence }));
