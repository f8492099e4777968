/** All datasets, with a glance into each. */

import { ask, ownAddress } from "../server/graphql.js";
import { CREATE_DATASET, DATASETS } from "../server/documents.js";
import { openDialog } from "../parts/dialog.js";
import { fill, icon, make } from "../parts/element.js";
import { ago, counted } from "../parts/wording.js";

export async function datasetsPage() {
  const datasets = await readAll();
  const cards = make("ul", { class: "cards" });
  const search = make("input", { type: "search", placeholder: "Search datasets", "aria-label": "Search datasets", oninput: render });

  function render() {
    const wanted = search.value.trim().toLowerCase();
    const found = datasets.filter((one) => `${one.name} ${one.description}`.toLowerCase().includes(wanted));
    fill(cards, found.length ? found.map(card) : make("li", { class: "empty" }, datasets.length ? "No dataset has this in its name." : "No datasets yet. Make the first, then drop pictures into it."));
  }

  render();
  const element = make("div", { class: "page" },
    make("header", { class: "page-head" },
      make("h1", {}, "Datasets"),
      make("div", { class: "page-tools" },
        make("div", { class: "search" }, icon("search"), search),
        make("button", { type: "button", class: "button primary", onclick: create }, icon("plus"), "New dataset"))),
    cards);
  return { title: "Datasets", element };
}

async function readAll() {
  const found = [];
  for (let after = null; ; ) {
    const { datasets } = await ask(DATASETS, { after });
    found.push(...datasets.nodes);
    if (!datasets.pageInfo.hasNextPage) return found.reverse();
    after = datasets.pageInfo.endCursor;
  }
}

function card({ id, name, description, createdAt, images }) {
  const pictures = images.nodes.map((image) => make("img", { src: ownAddress(image.thumbnailUrl), alt: "", loading: "lazy", decoding: "async" }));
  return make("li", {},
    make("a", { class: "card", href: `#/datasets/${id}` },
      make("div", { class: `glance of-${pictures.length}`, "aria-hidden": "true" }, pictures),
      make("div", { class: "card-text" },
        make("strong", {}, name),
        description && make("span", { class: "muted" }, description),
        make("span", { class: "muted" }, `${counted(images.totalCount, "image")} · made ${ago(createdAt)}`))));
}

function create() {
  const name = make("input", { id: "dataset-name", required: true, maxlength: 255 });
  const description = make("input", { id: "dataset-description" });
  const failure = make("p", { class: "analysis-error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const { createDataset } = await ask(CREATE_DATASET, { input: { name: name.value, description: description.value } });
      close();
      location.hash = `#/datasets/${createDataset.id}`;
    } catch (error) {
      failure.textContent = error.message;
    }
  };
  const close = openDialog("New dataset", [make("form", { onsubmit: submit },
    make("div", { class: "field" }, make("label", { for: "dataset-name" }, "Name"), name),
    make("div", { class: "field" }, make("label", { for: "dataset-description" }, "Description"), description),
    failure,
    make("div", { class: "dialog-actions" }, make("button", { type: "submit", class: "button primary" }, "Make it")))]);
  name.focus();
}
