/** Every finding as a list: only the rows in view exist, so that 10,000 are as quick as ten. */

import { ordinaryColor } from "../drawing/painter.js";
import { fill, make } from "./element.js";
import { count, percent, plain } from "./wording.js";

const ROW = 32; // CSS pixels, as in the style sheet
const HIGHEST = 226; // CSS pixels of the list
const MORE = 6; // rows above and below what is seen

const nameOf = ({ className, data, annotationType }) => className ?? (typeof data?.name === "string" ? data.name.slice(0, 200) : plain(annotationType));

/**
 * @param {import("../drawing/scene.js").Scene} scene
 * @param {(finding: any) => void} onShow a finding is to be brought into view
 */
export function findingsPanel(scene, onShow) {
  const rows = make("div", { class: "finding-rows" });
  const list = make("div", { class: "findings", role: "listbox", tabindex: "0", "aria-label": "Findings" }, rows);
  const none = make("p", { class: "hint" }, "Nothing that can be drawn.");
  const note = make("span", {});
  const colors = { of: ordinaryColor(scene.display) };
  let found = [];
  let frame = 0;

  function refresh() {
    found = scene.listed;
    colors.of = ordinaryColor(scene.display);
    draw();
    note.textContent = count(found.length);
    rows.style.setProperty("height", `${found.length * ROW}px`);
    list.style.setProperty("height", `${Math.min(HIGHEST, found.length * ROW + 2)}px`);
    list.hidden = found.length === 0;
    none.hidden = found.length > 0;
  }

  function draw() {
    frame = 0;
    // Read before anything is written, or the browser would lay the page out twice.
    const [top, high] = [list.scrollTop, list.clientHeight];
    const first = Math.max(0, Math.floor(Math.min(top, found.length * ROW - high) / ROW) - MORE);
    const last = Math.min(found.length, Math.ceil((top + high) / ROW) + MORE);
    fill(rows, found.slice(first, last).map((finding, at) => row(finding, first + at)));
    const at = found.indexOf(scene.selected);
    if (at >= first && at < last) list.setAttribute("aria-activedescendant", `finding-${at}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function row(finding, at) {
    const { annotation } = finding;
    return make("div", {
      class: "finding",
      role: "option",
      id: `finding-${at}`,
      "aria-selected": finding === scene.selected,
      "aria-setsize": found.length,
      "aria-posinset": at + 1,
      style: { top: `${at * ROW}px` },
      onclick: () => scene.select(finding),
      ondblclick: () => onShow(finding),
    },
      make("span", { class: "class-color", style: { "--color": colors.of(finding) } }),
      make("span", { class: "finding-name" }, nameOf(annotation)),
      make("span", { class: "muted finding-type" }, plain(annotation.annotationType)),
      make("span", { class: "number" }, percent(annotation.confidence)));
  }

  function move(to) {
    const at = Math.min(found.length - 1, Math.max(0, to));
    if (found[at]) scene.select(found[at]);
  }

  function selected() {
    const at = found.indexOf(scene.selected);
    if (at >= 0) {
      const [top, bottom] = [at * ROW, (at + 1) * ROW];
      if (top < list.scrollTop) list.scrollTop = top;
      else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
    }
    draw();
  }

  list.addEventListener("scroll", () => { frame ||= requestAnimationFrame(draw); });
  list.addEventListener("keydown", (event) => {
    const at = found.indexOf(scene.selected);
    const page = Math.floor(list.clientHeight / ROW);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: found.length - 1, PageDown: at + page, PageUp: at - page };
    if (event.key in moves) move(moves[event.key]);
    else if (event.key === "Enter" && scene.selected) onShow(scene.selected);
    else if (event.key === "Escape") scene.select(null);
    else return;
    event.preventDefault();
  });
  scene.addEventListener("settle", refresh);
  scene.addEventListener("select", selected);
  new ResizeObserver(draw).observe(list);
  refresh();
  return { element: [list, none], note };
}
