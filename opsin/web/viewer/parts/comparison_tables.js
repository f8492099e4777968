/** What a comparison counted: class by class, and every pair of analyses. */

import { compare } from "../geometry/matching.js";
import { make } from "./element.js";
import { percent } from "./wording.js";

/** @param {import("../geometry/matching.js").Comparison} result @param {any[][]} boxed */
export function classTable(layers, boxed, result, names) {
  const rows = new Map();
  const row = (className) => {
    const key = className ?? "without a class";
    if (!rows.has(key)) rows.set(key, { left: 0, right: 0, matched: 0 });
    return rows.get(key);
  };
  boxed[0].forEach((one) => { row(one.className).left += 1; });
  boxed[1].forEach((one) => { row(one.className).right += 1; });
  result.matched.forEach((pair) => { row(boxed[0][pair.left].className).matched += 1; });
  const lines = [...rows].sort(([, a], [, b]) => b.left + b.right - a.left - a.right).slice(0, 50);
  return make("div", { class: "table-frame" }, make("table", { class: "small" },
    make("caption", { class: "visually-hidden" }, "Findings of each class"),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Class"),
      names.map((name, at) => make("th", { scope: "col", class: "number", title: name }, make("span", { class: "class-color", style: { "--color": layers[at].color } }), make("span", { class: "visually-hidden" }, name))),
      make("th", { scope: "col", class: "number" }, "Both"))),
    make("tbody", {}, lines.map(([name, { left, right, matched }]) => make("tr", {}, make("th", { scope: "row" }, name),
      [left, right, matched].map((value) => make("td", { class: "number" }, String(value))))))));
}

/** The agreement of every two analyses. @param {string[]} names @param {any[][]} boxed */
export function agreementTable(names, boxed, rule) {
  return make("div", { class: "table-frame" }, make("table", { class: "small" },
    make("caption", {}, "Agreement of each pair"),
    make("thead", {}, make("tr", {}, make("td", {}), names.map((name) => make("th", { scope: "col", class: "number" }, name)))),
    make("tbody", {}, names.map((name, row) => make("tr", {}, make("th", { scope: "row" }, name),
      names.map((_, column) => make("td", { class: "number" }, row === column ? "–" : percent(compare(boxed[row], boxed[column], rule).agreement))))))));
}
