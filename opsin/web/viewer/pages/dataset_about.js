/** What belongs to a dataset besides its images: classes, metadata, what was deleted and restored. */

import { ask } from "../server/graphql.js";
import { ABOUT_DATASET, CREATE_CLASS, DELETE_CLASS, UPDATE_CLASS } from "../server/documents.js";
import { reportFailure, say } from "../parts/announcer.js";
import { datasetHead } from "../parts/dataset_tabs.js";
import { confirm, openDialog } from "../parts/dialog.js";
import { fill, icon, make } from "../parts/element.js";
import { metadataEditor } from "../parts/metadata_editor.js";
import { counted, plain, time } from "../parts/wording.js";

export async function datasetAboutPage(id) {
  const { dataset } = await ask(ABOUT_DATASET, { id });
  if (!dataset) throw new Error("There is no such dataset, or it belongs to another company.");
  const element = make("div", { class: "page medium" },
    datasetHead(dataset, "/about"),
    part("Classes", "What its images can be classified as; the first nine have the keys 1 to 9 on an image’s page.", classes(id, dataset.classes.nodes)),
    part("Details", "", make("dl", { class: "facts" }, [["Images", counted(dataset.images.totalCount, "image")], ["Made", time(dataset.createdAt)], ["Id", make("code", {}, id)]].map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))))),
    part("Metadata", "Named values that programs and people keep with the dataset.", metadataEditor({ datasetId: id }, dataset.metadata)),
    part("Deleted and restored", "Newest first.", deletions(id, dataset.deletions)));
  return { title: `${dataset.name}: classes and details`, element, datasetId: id };
}

const part = (title, about, content) =>
  make("section", { class: "card-section" }, make("h2", {}, title), about && make("p", { class: "hint" }, about), content);

function classes(datasetId, known) {
  const rows = make("ul", { class: "class-list" });
  const name = make("input", { id: "class-name", required: true, maxlength: 255 });
  const description = make("input", { id: "class-description", maxlength: 10_000 });

  function render() {
    fill(rows, known.length ? known.map(row) : make("li", { class: "hint" }, "No classes yet."));
  }

  function row(one, at) {
    return make("li", {}, make("kbd", {}, at < 9 ? String(at + 1) : "–"),
      make("div", {}, make("strong", {}, one.name), one.description && make("p", { class: "muted" }, one.description)),
      make("button", { type: "button", class: "button", dataset: { needs: "annotate" }, "aria-label": `Change ${one.name}`, onclick: () => change(one) }, "Change"),
      make("button", { type: "button", class: "button danger", dataset: { needs: "annotate" }, "aria-label": `Delete ${one.name}`, onclick: () => reportFailure(remove(one)) }, "Delete"));
  }

  async function create() {
    const { createImageClass } = await ask(CREATE_CLASS, { input: { datasetId, name: name.value, description: description.value || null } });
    known.push(createImageClass);
    [name.value, description.value] = ["", ""];
    say(`${createImageClass.name} was added.`);
    render();
    name.focus();
  }

  async function remove(one) {
    if (!(await confirm("Delete this class?", `${one.name} can be deleted while no image has it.`, "Delete"))) return;
    await ask(DELETE_CLASS, { id: one.id });
    known.splice(known.indexOf(one), 1);
    render();
  }

  function change(one) {
    const [newName, newDescription] = [make("input", { id: "new-name", required: true, maxlength: 255, value: one.name }), make("input", { id: "new-description", maxlength: 10_000, value: one.description ?? "" })];
    const failure = make("p", { class: "analysis-error", role: "alert" });
    const save = async (event) => {
      event.preventDefault();
      try {
        const { updateImageClass } = await ask(UPDATE_CLASS, { input: { id: one.id, name: newName.value, description: newDescription.value } });
        Object.assign(one, updateImageClass);
        close();
        render();
      } catch (error) {
        failure.textContent = error.message;
      }
    };
    const close = openDialog("Change a class", [make("form", { onsubmit: save },
      make("div", { class: "field" }, make("label", { for: "new-name" }, "Name"), newName),
      make("div", { class: "field" }, make("label", { for: "new-description" }, "Description"), newDescription), failure,
      make("div", { class: "dialog-actions" }, make("button", { type: "submit", class: "button primary" }, "Save")))]);
    newName.focus();
  }

  render();
  return [rows, make("form", { class: "inline-form", dataset: { needs: "annotate" }, onsubmit: (event) => { event.preventDefault(); reportFailure(create()); } },
    make("div", { class: "field" }, make("label", { for: "class-name" }, "Name"), name),
    make("div", { class: "field" }, make("label", { for: "class-description" }, "Description"), description),
    make("button", { type: "submit", class: "button primary" }, icon("plus"), "Add class"))];
}

function deletions(id, first) {
  let known = first;
  const rows = make("tbody", {});
  const more = make("button", { type: "button", class: "button", onclick: () => reportFailure(older()) }, "Show older");
  const element = make("div", {});

  function render() {
    fill(rows, known.nodes.map(({ action, actor, reason, imageId, filename, createdAt }) => make("tr", {},
      make("td", {}, plain(action)), make("th", { scope: "row" }, action === "HARD_DELETE" ? filename : make("a", { href: `#/images/${imageId}` }, filename)),
      make("td", {}, actor), make("td", {}, reason ?? ""), make("td", {}, time(createdAt)))));
    more.hidden = !known.pageInfo.hasNextPage;
    fill(element, !known.totalCount ? make("p", { class: "hint" }, "Nothing was deleted.") : [
      make("div", { class: "table-frame" }, make("table", { class: "small" },
        make("caption", { class: "visually-hidden" }, "Deleted and restored images, newest first"),
        make("thead", {}, make("tr", {}, ["What", "Image", "By", "Reason", "When"].map((text) => make("th", { scope: "col" }, text)))), rows)), more]);
  }

  async function older() {
    const { dataset } = await ask(ABOUT_DATASET, { id, after: known.pageInfo.endCursor });
    known = { ...dataset.deletions, nodes: [...known.nodes, ...dataset.deletions.nodes] };
    render();
  }

  render();
  return element;
}
