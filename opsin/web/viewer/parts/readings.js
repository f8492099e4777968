/** What is read rather than seen in the picture: scores, captions, metrics, files. */

import { ownAddress } from "../server/graphql.js";
import { isRaster } from "../drawing/layer.js";
import { fill, make } from "./element.js";
import { excerpt } from "./excerpt.js";
import { analysisName, bytes, measured, percent, plain, titled } from "./wording.js";

const SCORES = 10; // of one classification
const SHOWN = 200; // readings of one analysis

/** @param {import("../drawing/scene.js").Scene} scene */
export function readings(scene) {
  const element = make("div", { class: "readings" });
  function render() {
    const groups = scene.visibleLayers.filter((layer) => !layer.measures).map(ofLayer).filter(Boolean);
    fill(element, groups.length ? groups : make("p", { class: "hint" }, "No scores, captions or metrics."));
  }
  scene.addEventListener("settle", render);
  render();
  return element;
}

function ofLayer(layer) {
  // What is of no form that can be drawn is read, whatever it calls itself.
  const told = firstOf(layer.passing, ({ annotation, shape }) => !shape && !isRaster(annotation), SHOWN);
  const { artifacts, summary } = layer.analysis;
  const facts = summary && Object.keys(summary).length ? summary : null;
  if (!told.length && !artifacts.length && !facts) return null;
  const metrics = told.filter(({ annotation }) => annotation.annotationType === "metric");
  const others = told.filter(({ annotation }) => annotation.annotationType !== "metric");
  return make("section", { class: "reading", style: { "--color": layer.color } },
    make("h3", {}, analysisName(layer.analysis)),
    others.map(({ annotation }) => reading(annotation)),
    metrics.length > 0 && make("dl", { class: "facts" }, metrics.map(({ annotation }) => metric(annotation))),
    facts && make("dl", { class: "facts" }, Object.entries(facts).map(([name, value]) => fact(titled(name), text(value)))),
    artifacts.map(file));
}

function reading(annotation) {
  const { annotationType, data } = annotation;
  if (annotationType === "classification") return classification(annotation);
  if (annotationType === "caption" || typeof data.text === "string") {
    return make("blockquote", { class: "caption" }, String(data.text ?? annotation.className ?? "").slice(0, 20_000));
  }
  return make("details", { class: "raw" },
    make("summary", {}, [plain(annotationType), annotation.className, percent(annotation.confidence)].filter(Boolean).join(" · ")),
    make("pre", { tabindex: "0" }, excerpt(data)));
}

function classification({ className, confidence, data }) {
  const given = data.scores && typeof data.scores === "object" ? Object.entries(data.scores) : [];
  const scores = given.filter(([, score]) => typeof score === "number").sort(([, a], [, b]) => b - a);
  if (!scores.length && className !== null && confidence !== null) scores.push([className, confidence]);
  return make("ul", { class: "scores", "aria-label": data.name ? `Scores of ${plain(data.name)}` : "Scores" },
    scores.slice(0, SCORES).map(([name, score]) =>
      make("li", { class: name === className ? "score best" : "score" },
        make("span", { class: "score-name" }, name),
        make("span", { class: "score-bar", "aria-hidden": "true", style: { "--share": String(Math.min(1, Math.max(0, score))) } }),
        make("span", { class: "number" }, percent(score)))));
}

function metric({ className, data }) {
  const unit = data.unit === "fraction" || typeof data.unit !== "string" ? null : data.unit;
  const value = data.unit === "fraction" ? percent(data.value) : measured(data.value ?? "");
  const color = /^#[0-9a-f]{6}$/i.test(className ?? "") && make("span", { class: "class-color", style: { "--color": className } });
  const name = titled(String(data.name ?? className ?? "metric"));
  return fact(color ? [color, ` ${className}`] : className ? `${name} ${className}` : name, [value, unit].filter(Boolean).join(" "));
}

const fact = (name, value) => make("div", {}, make("dt", {}, name), make("dd", { class: "number" }, value));
const text = (value) => (typeof value === "string" ? value.slice(0, 1000) : excerpt(value, 1000));

function firstOf(findings, wanted, most) {
  const found = [];
  for (let at = 0; at < findings.length && found.length < most; at += 1) if (wanted(findings[at])) found.push(findings[at]);
  return found;
}

function file({ name, contentType, sizeBytes, url }) {
  const about = [contentType, bytes(sizeBytes)].filter(Boolean).join(", ");
  if (!url) return make("p", { class: "file muted" }, `${name} (not stored yet)`);
  return make("p", { class: "file" }, make("a", { href: ownAddress(url), download: name }, name), make("span", { class: "muted" }, ` ${about}`));
}
