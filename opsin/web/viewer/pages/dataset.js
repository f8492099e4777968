/** The images of a dataset: a grid, search and filters, uploads, statuses as they change. */

import { ask } from "../server/graphql.js";
import { DATASET, TILE_OF_IMAGE } from "../server/documents.js";
import { Following } from "../server/following.js";
import { fill, icon, make } from "../parts/element.js";
import { exportMenu } from "../parts/export_menu.js";
import { ImageList } from "../parts/image_list.js";
import { imageTile } from "../parts/image_tile.js";
import { acceptDrops, Uploads } from "../parts/uploads.js";
import { VirtualGrid } from "../parts/virtual_grid.js";
import { count, counted, titled } from "../parts/wording.js";

const STATUSES = ["QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"];
const REFRESH = 150; // ms in which events of one image become one reading

export async function datasetPage(id) {
  const { dataset, eventCursor } = await ask(DATASET, { id });
  if (!dataset) throw new Error("There is no such dataset, or it belongs to another company.");
  const list = new ImageList(id);
  await list.readMore();
  let cursor = eventCursor;

  const scroller = make("div", { class: "scroller" });
  const grid = new VirtualGrid({ tile: (image) => imageTile(image, id), width: innerWidth < 720 ? 150 : 196, height: innerWidth < 720 ? 176 : 218, gap: 14, scroller, label: "Images",
    onEnd: () => more() });
  const tally = make("p", { class: "tally muted", role: "status" });
  const search = make("input", { type: "search", placeholder: "Search by file name", "aria-label": "Search by file name", oninput: filter });
  const status = select("Any status", "Status of an analysis", [["NONE", "Not analysed"], ...STATUSES.map((one) => [one, titled(one)])]);
  const model = select("Any model", "Operation or model", []);
  const since = make("input", { type: "date", title: "Taken in on or after", onchange: since_ });
  const live = make("span", { class: "live", role: "status" });
  const uploads = new Uploads(id, (image) => {
    list.add(image);
    dataset.images.totalCount += 1;
    render();
  });

  function select(any, label, options) {
    return make("select", { "aria-label": label, onchange: filter }, make("option", { value: "" }, any), options.map(([value, text]) => make("option", { value }, text)));
  }

  function filter() {
    list.wanted = { text: search.value.trim().toLowerCase(), status: status.value, model: model.value };
    scroller.scrollTop = 0;
    render();
  }

  async function since_() {
    await list.restart(since.value ? { createdFrom: new Date(`${since.value}T00:00:00`).toISOString() } : {});
    render();
  }

  async function more() {
    if (await list.readMore()) render();
  }

  function render() {
    const shown = list.shown;
    grid.show(shown);
    const all = dataset.images.totalCount;
    const partly = list.complete ? "" : ` of the first ${count(list.images.length)}`;
    tally.textContent = list.filtering ? `${counted(shown.length, "image")}${partly} match` : counted(all, "image");
    empty.hidden = shown.length > 0 || !list.complete;
    fill(empty, make("p", {}, list.filtering ? "No image fits." : "No images yet."), !list.filtering && make("p", { class: "muted" }, "Drop pictures anywhere on this page, or choose files."));
    const names = list.models();
    if (names.length + 1 !== model.options.length) {
      const kept = model.value;
      fill(model, make("option", { value: "" }, "Any model"), names.map((name) => make("option", { value: name }, titled(name))));
      model.value = kept;
    }
  }

  // An image changes several times while its analyses run; one reading tells all of it.
  const due = new Map();
  function refresh(imageId) {
    if (due.has(imageId)) return;
    due.set(imageId, setTimeout(async () => {
      due.delete(imageId);
      const { image } = await ask(TILE_OF_IMAGE, { id: imageId }).catch(() => ({}));
      const before = image && list.replace(image);
      if (before) grid.refresh(before);
      render();
    }, REFRESH));
  }

  const following = new Following({ after: cursor, datasetId: id }, {
    onEvent: (event) => event.analysis && event.kind !== "PROGRESS" && refresh(event.analysis.image.id),
    onResync: async () => {
      const anew = await ask(DATASET, { id });
      await list.restart(list.filter);
      render();
      return anew.eventCursor;
    },
    onState: (state) => {
      live.textContent = { live: "Live", connecting: "Connecting …", lost: "Offline" }[state];
      live.className = `live ${state === "live" ? "on" : state}`;
    },
  });

  const empty = make("div", { class: "empty", hidden: true });
  const chooser = make("input", { type: "file", accept: "image/*", multiple: true, hidden: true, onchange: () => { uploads.add(chooser.files); chooser.value = ""; } });
  const element = make("div", { class: "page fixed" },
    make("header", { class: "page-head" },
      make("div", {},
        make("nav", { class: "crumbs", "aria-label": "Path" }, make("a", { href: "#/" }, "Datasets")),
        make("h1", {}, dataset.name),
        dataset.description && make("p", { class: "muted" }, dataset.description)),
      make("div", { class: "page-tools" }, exportMenu(dataset),
        make("button", { type: "button", class: "button primary", onclick: () => chooser.click() }, icon("upload"), "Upload"), chooser)),
    make("div", { class: "filters", role: "search" }, make("div", { class: "search" }, icon("search"), search), status, model, make("label", { class: "check-line muted" }, "Since", since), tally, live),
    uploads.element,
    fill(scroller, grid.element, empty));
  acceptDrops(element, (files) => uploads.add(files));
  render();
  return {
    title: dataset.name,
    element,
    leave() {
      following.stop();
      grid.leave();
      due.forEach((timer) => clearTimeout(timer));
    },
  };
}
