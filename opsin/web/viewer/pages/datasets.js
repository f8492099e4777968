/** All datasets, with a glance into each. */

import { ask, ownAddress } from "../server/graphql.js";
import { IMAGE_TYPES } from "../server/application_documents.js";
import { CREATE_DATASET, DATASETS } from "../server/documents.js";
import { reportFailure } from "../parts/announcer.js";
import { openDialog } from "../parts/dialog.js";
import { fill, icon, make } from "../parts/element.js";
import { ago, count, counted } from "../parts/wording.js";

const PAUSE = 250; // ms after the last key, before the server is asked

export async function datasetsPage() {
  let known = (await ask(DATASETS)).datasets;
  let timer = 0;
  let turn = 0;
  const everything = !known.pageInfo.hasNextPage;
  const cards = make("ul", { class: "cards" });
  const search = make("input", { type: "search", placeholder: "Search datasets", "aria-label": "Search datasets", oninput: look });
  const more = make("button", { type: "button", class: "button", onclick: () => reportFailure(readMore()) }, "Show more");
  const tally = make("p", { class: "muted", role: "status" });

  /** What is all here is searched here, with descriptions; else the server looks for names. */
  function look() {
    clearTimeout(timer);
    if (everything) render();
    else timer = setTimeout(() => reportFailure(readFirst()), PAUSE);
  }

  async function readFirst() {
    turn += 1;
    const mine = turn;
    const { datasets } = await ask(DATASETS, { filter: { nameContains: search.value.trim() || null } });
    if (mine !== turn) return;
    known = datasets;
    render();
  }

  async function readMore() {
    const mine = turn;
    const { datasets } = await ask(DATASETS, { after: known.pageInfo.endCursor, filter: { nameContains: search.value.trim() || null } });
    if (mine !== turn) return;
    known = { ...datasets, nodes: [...known.nodes, ...datasets.nodes] };
    render();
  }

  function render() {
    const wanted = search.value.trim().toLowerCase();
    const all = everything ? [...known.nodes].reverse() : known.nodes; // the newest first, where all are here
    const found = everything ? all.filter((one) => `${one.name} ${one.description}`.toLowerCase().includes(wanted)) : all;
    fill(cards, found.length ? found.map(card) : make("li", { class: "empty" }, wanted ? "No dataset has this in its name." : ["No datasets yet.", make("span", { dataset: { needs: "admin" } }, " Make the first, then drop pictures into it.")]));
    more.hidden = !known.pageInfo.hasNextPage;
    tally.textContent = everything ? "" : `${counted(known.nodes.length, "dataset")} of ${count(known.totalCount)}`;
  }

  render();
  const element = make("div", { class: "page" },
    make("header", { class: "page-head" },
      make("h1", {}, "Datasets"),
      make("div", { class: "page-tools" },
        make("div", { class: "search" }, icon("search"), search),
        make("button", { type: "button", class: "button primary", dataset: { needs: "admin" }, onclick: () => reportFailure(create()) }, icon("plus"), "New dataset"))),
    cards, make("div", { class: "more" }, more, tally));
  return { title: "Datasets", element, leave: () => clearTimeout(timer) };
}

function card({ id, name, description, createdAt, images }) {
  const pictures = images.nodes.filter((image) => !image.fileDeleted).map((image) => make("img", { src: ownAddress(image.thumbnailUrl), alt: "", loading: "lazy", decoding: "async" }));
  return make("li", {},
    make("a", { class: "card", href: `#/datasets/${id}` },
      make("div", { class: `glance of-${pictures.length}`, "aria-hidden": "true" }, pictures.length ? pictures : make("span", { class: "muted" }, images.totalCount ? "Files deleted" : "No images yet")),
      make("div", { class: "card-text" },
        make("strong", {}, name),
        description && make("span", { class: "muted" }, description),
        make("span", { class: "muted" }, `${counted(images.totalCount, "image")} · made ${ago(createdAt)}`))));
}

async function create() {
  const { imageTypes } = await ask(IMAGE_TYPES);
  const type = make("select", { id: "dataset-type" }, make("option", { value: "" }, "Any"), imageTypes.map((one) => make("option", { value: one.name }, one.title)));
  const name = make("input", { id: "dataset-name", required: true, maxlength: 255 });
  const description = make("input", { id: "dataset-description" });
  const failure = make("p", { class: "analysis-error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const { createDataset } = await ask(CREATE_DATASET, { input: { name: name.value, description: description.value, imageType: type.value || null } });
      close();
      location.hash = `#/datasets/${createDataset.id}`;
    } catch (error) {
      failure.textContent = error.message;
    }
  };
  const close = openDialog("New dataset", [make("form", { onsubmit: submit },
    make("div", { class: "field" }, make("label", { for: "dataset-name" }, "Name"), name),
    make("div", { class: "field" }, make("label", { for: "dataset-description" }, "Description"), description),
    make("div", { class: "field" }, make("label", { for: "dataset-type" }, "Kind of pictures"), type),
    failure,
    make("div", { class: "dialog-actions" }, make("button", { type: "submit", class: "button primary" }, "Make it")))]);
  name.focus();
}
