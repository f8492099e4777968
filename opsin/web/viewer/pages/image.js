/** An image with all that was found in it, as it is found. */

import { Scene } from "../drawing/scene.js";
import { Stage } from "../drawing/stage.js";
import { ask, ownAddress } from "../server/graphql.js";
import { IMAGE, OPERATIONS } from "../server/documents.js";
import { LiveImage } from "../parts/live_image.js";
import { analysesPanel } from "../parts/analyses_panel.js";
import { say } from "../parts/announcer.js";
import { classKeys } from "../parts/class_keys.js";
import { comments } from "../parts/comments.js";
import { askToDelete, deletionBanner } from "../parts/deletion.js";
import { detailsPanel } from "../parts/details_panel.js";
import { displayPanel } from "../parts/display_panel.js";
import { fill, icon, iconButton, make } from "../parts/element.js";
import { exportMenu } from "../parts/export_menu.js";
import { filterPanel } from "../parts/filter_panel.js";
import { findingsPanel } from "../parts/findings_panel.js";
import { measuresPanel } from "../parts/measures.js";
import { metadataEditor } from "../parts/metadata_editor.js";
import { neighbours } from "../parts/neighbours.js";
import { readings } from "../parts/readings.js";
import { runPanel } from "../parts/run_panel.js";
import { section } from "../parts/section.js";
import { similarPanel } from "../parts/similar_panel.js";
import { stageTools } from "../parts/stage_tools.js";
import { count, percent, plain, time, titled } from "../parts/wording.js";

/** @param {string} id @param {URLSearchParams} _query @param {() => void} again makes the page anew */
export async function imagePage(id, _query, again) {
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

  scene.addEventListener("change", () => stage.redraw());
  scene.addEventListener("settle", () => {
    compare.hidden = scene.layers.length < 2;
    stage.element.setAttribute("aria-label", described(image, scene));
  });
  scene.addEventListener("select", () => {
    stage.redraw();
    if (scene.selected) say(findingText(scene.selected));
  });

  const about = [image.side && titled(image.side), image.light && `${plain(image.light)} light`, image.takenAt && (image.subject || image.takenAt !== image.createdAt) && `taken ${time(image.takenAt)}`].filter(Boolean).join(" · ");
  const toDataset = () => { location.hash = `#/datasets/${image.dataset.id}`; };
  const operations = ask(OPERATIONS).then((answer) => answer.operations);
  const classes = classKeys(image, () => to("next"));
  const labelled = image.dataset.classes.nodes.length > 0;
  const classesSection = section("Classes", classes.element, { note: classes.note, open: labelled });
  const said = comments(image);
  const similar = make("div", {});
  operations.then((known) => fill(similar, similarPanel(image, known, scene) ?? make("p", { class: "hint" }, "No operation that makes images comparable is available here."))).catch(() => {});
  const banner = image.fileDeleted && !image.deletion ? make("div", { class: "banner" }, make("p", {}, "The file of this picture has been deleted, as its dataset wants it or by hand. What was found in it stays.")) : image.deletion && deletionBanner(image, { onRestored: () => again(), onGone: toDataset });

  const measures = section("Measures", []);
  measuresPanel(scene, live, measures);
  const stageFrame = make("section", { class: "stage-frame", "aria-label": "Picture" }, stage.element, stageTools(stage), live.badge);
  const panel = make("aside", { class: "panel", "aria-label": "Results" },
    labelled && classesSection,
    measures,
    section("Analyses", analysesPanel(scene, live)),
    section("Run an operation", runPanel(id, operations), { open: false }),
    !labelled && classesSection,
    section("Filter", filterPanel(scene)),
    section("Findings", findings.element, { note: findings.note }),
    section("Readings", readings(scene)),
    section("Display", displayPanel(scene), { open: false }),
    section("Comments", said.element, { note: said.note, open: image.comments.nodes.length > 0 }),
    section("Like this image", similar, { open: false }),
    section("Metadata", metadataEditor({ imageId: id }, image.metadata), { open: false }),
    section("Details", [detailsPanel(image), !image.deletion && make("button", { type: "button", class: "button danger", dataset: { needs: "annotate" }, onclick: () => askToDelete(image, toDataset) }, icon("trash"), "Delete image")], { open: false }));
  const element = make("div", { class: "page fixed image-page" },
    make("header", { class: "page-head compact" },
      make("div", {},
        make("nav", { class: "crumbs", "aria-label": "Path" }, make("a", { href: "#/" }, "Datasets"), make("span", { "aria-hidden": "true" }, "/"), make("a", { href: `#/datasets/${image.dataset.id}` }, image.dataset.name),
          image.subject && [make("span", { "aria-hidden": "true" }, "/"), make("a", { href: `#/subjects/${image.subject.id}` }, image.subject.name || "(no name)")]),
        make("h1", {}, image.filename), about && make("p", { class: "muted" }, about)),
      make("div", { class: "page-tools" }, step.previous, step.next, image.reportUrl && make("a", { class: "button", href: ownAddress(image.reportUrl), target: "_blank", rel: "noopener" }, icon("report"), "Report"), compare, exportMenu(image))),
    banner,
    make("div", { class: "image-work" }, stageFrame, panel));
  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea, [role=listbox]")) return;
    if (classes.press(event)) return;
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
    datasetId: image.dataset.id,
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
