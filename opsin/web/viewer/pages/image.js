/** An image with all that was found in it, as it is found. */

import { Scene } from "../drawing/scene.js";
import { Stage } from "../drawing/stage.js";
import { ask } from "../server/graphql.js";
import { DELETE_IMAGE, IMAGE } from "../server/documents.js";
import { LiveImage } from "../parts/live_image.js";
import { analysesPanel } from "../parts/analyses_panel.js";
import { notify, reportFailure, say } from "../parts/announcer.js";
import { detailsPanel } from "../parts/details_panel.js";
import { confirm } from "../parts/dialog.js";
import { displayPanel } from "../parts/display_panel.js";
import { icon, iconButton, make } from "../parts/element.js";
import { exportMenu } from "../parts/export_menu.js";
import { filterPanel } from "../parts/filter_panel.js";
import { findingsPanel } from "../parts/findings_panel.js";
import { neighbours } from "../parts/neighbours.js";
import { readings } from "../parts/readings.js";
import { runPanel } from "../parts/run_panel.js";
import { section } from "../parts/section.js";
import { stageTools } from "../parts/stage_tools.js";
import { count, percent, plain } from "../parts/wording.js";

export async function imagePage(id) {
  const { image, eventCursor } = await ask(IMAGE, { id });
  if (!image) throw new Error("There is no such image, or it belongs to another company.");
  const scene = new Scene(image);
  const stage = new Stage(image, scene, { onPick: (found) => pick(scene, found) });
  const live = new LiveImage(scene, image, eventCursor);
  // With one model, classes are what differs; with several, who found it.
  if (scene.layers.filter((layer) => layer.total > 0).length > 1) scene.display.colorBy = "analysis";

  const compare = make("a", { class: "button", href: `#/images/${id}/compare` }, icon("compare"), "Compare");
  const findings = findingsPanel(scene, (finding) => stage.show(finding));
  const step = { previous: iconButton("previous", "Previous image", () => to("previous"), { disabled: true }), next: iconButton("next", "Next image", () => to("next"), { disabled: true }) };
  const around = { previous: null, next: null };
  const to = (side) => { if (around[side]) location.hash = `#/images/${around[side]}`; };

  scene.addEventListener("change", () => {
    stage.redraw();
    compare.hidden = scene.layers.length < 2;
    stage.element.setAttribute("aria-label", described(image, scene));
  });
  scene.addEventListener("select", () => {
    stage.redraw();
    if (scene.selected) say(findingText(scene.selected));
  });

  async function remove() {
    if (!(await confirm("Delete this image?", `${image.filename} is deleted with its analyses and annotations. This cannot be undone.`, "Delete"))) return;
    await ask(DELETE_IMAGE, { id });
    notify(`${image.filename} was deleted.`);
    location.hash = `#/datasets/${image.dataset.id}`;
  }

  const stageFrame = make("section", { class: "stage-frame", "aria-label": "Picture" }, stage.element, stageTools(stage), live.badge);
  const panel = make("aside", { class: "panel", "aria-label": "Results" },
    section("Analyses", analysesPanel(scene)),
    section("Run an operation", runPanel(id), { open: false }),
    section("Filter", filterPanel(scene)),
    section("Findings", findings.element, { note: findings.note }),
    section("Readings", readings(scene)),
    section("Display", displayPanel(scene), { open: false }),
    section("Details", [detailsPanel(image), make("button", { type: "button", class: "button danger", onclick: () => reportFailure(remove()) }, icon("trash"), "Delete image")], { open: false }));
  const element = make("div", { class: "page fixed image-page" },
    make("header", { class: "page-head compact" },
      make("div", {},
        make("nav", { class: "crumbs", "aria-label": "Path" }, make("a", { href: "#/" }, "Datasets"), make("span", { "aria-hidden": "true" }, "/"), make("a", { href: `#/datasets/${image.dataset.id}` }, image.dataset.name)),
        make("h1", {}, image.filename)),
      make("div", { class: "page-tools" }, step.previous, step.next, compare, exportMenu(image))),
    make("div", { class: "image-work" }, stageFrame, panel));
  const keys = (event) => {
    if (event.target.closest("input, select, textarea, [role=listbox], dialog")) return;
    if (event.key === "[") to("previous");
    else if (event.key === "]") to("next");
    else if (event.key === "Escape") scene.select(null);
  };
  addEventListener("keydown", keys);
  scene.changed();
  neighbours(image).then((found) => {
    Object.assign(around, found);
    step.previous.disabled = !found.previous;
    step.next.disabled = !found.next;
  }).catch(() => {});
  return {
    title: image.filename,
    element,
    leave() {
      removeEventListener("keydown", keys);
      live.stop();
      stage.leave();
    },
  };
}

/** Selects what was clicked; where several lie upon each other, one after the other. */
function pick(scene, found) {
  const at = found.indexOf(scene.selected);
  scene.select(found.length ? found[(at + 1) % found.length] : null);
}

const findingText = ({ annotation }) =>
  [annotation.className ?? plain(annotation.annotationType), percent(annotation.confidence)].filter(Boolean).join(", ");

/** The picture in words, for those who do not see it. */
function described(image, scene) {
  const classes = [...scene.classes()].slice(0, 8).map(([name, number]) => `${count(number)} ${name}`);
  return `${image.filename}, ${image.width} by ${image.height} pixels. ${classes.length ? `Found: ${classes.join(", ")}.` : "Nothing found so far."}`;
}
