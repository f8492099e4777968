/** The images of a dataset: a grid, search and filters, uploads, statuses as they change. */

import { ask } from "../server/graphql.js";
import { DATASET, FOLLOW, FOLLOW_IMAGES, TILE_OF_IMAGE } from "../server/documents.js";
import { Following } from "../server/following.js";
import { notify } from "../parts/announcer.js";
import { datasetHead } from "../parts/dataset_tabs.js";
import { fill, icon, make } from "../parts/element.js";
import { exportMenu } from "../parts/export_menu.js";
import { imageFilters } from "../parts/image_filters.js";
import { ImageList } from "../parts/image_list.js";
import { imageTile } from "../parts/image_tile.js";
import { rememberSearch } from "../parts/neighbours.js";
import { acceptDrops, Uploads } from "../parts/uploads.js";
import { VirtualGrid } from "../parts/virtual_grid.js";
import { counted, liveText } from "../parts/wording.js";
import { wordsSearch } from "../parts/words_search.js";

const REFRESH = 150; // ms in which events of one image become one reading
const REREAD = 700; // ms between two readings of the list, when images come and go

/** Where the last grid was left, to be there again on the way back. @type {{address: string, top: number} | null} */
let left = null;

export async function datasetPage(id, query) {
  const { dataset, operations, eventCursor } = await ask(DATASET, { id });
  if (!dataset) throw new Error("There is no such dataset, or it belongs to another company.");
  const list = new ImageList(id);
  /** What words found; null while the list is shown. @type {any} */
  let found = null;
  let rereading = 0;
  let address = `${id}?${query}`;

  const small = innerWidth < 720;
  const scroller = make("div", { class: "scroller" });
  const grid = new VirtualGrid({ tile: imageTile, width: small ? 150 : 196, height: small ? 176 : 218, gap: 14, scroller, label: "Images" });
  const tally = make("p", { class: "tally muted", role: "status" });
  const live = make("span", { class: "live", role: "status" });
  const uploads = new Uploads(id, rereadSoon);
  const empty = make("div", { class: "empty", hidden: true });
  const filters = imageFilters({ query, classes: dataset.classes.nodes, operations: operations.map((one) => one.name), models: () => list.models }, ({ filter, order, words }) => {
    history.replaceState(null, "", `#/datasets/${id}${words.size ? `?${words}` : ""}`);
    scroller.scrollTop = 0;
    address = `${id}?${words}`;
    rememberSearch(id, filter);
    list.restart(filter, order).catch(failed);
  });
  const words = wordsSearch(id, operations, (matches) => {
    found = matches && { total: matches.length, at: (place) => matches[place], want() {} };
    filterLine.hidden = Boolean(found);
    scroller.scrollTop = 0;
    render();
  });
  const filterLine = make("div", { class: "filter-line" }, filters.element);
  const failed = (error) => notify(error.message, "error");

  function render() {
    const shown = found ?? list;
    const filtering = Object.keys(list.filter).length > 0;
    grid.show(shown);
    tally.textContent = found ? `The ${counted(found.total, "likest image")}` : counted(list.total, "image") + (filtering ? " found" : "");
    empty.hidden = shown.total > 0;
    if (!empty.hidden) fill(empty, make("p", {}, filtering || found ? "No image fits." : "No images yet."), !filtering && !found && make("p", { class: "muted", dataset: { needs: "upload" } }, "Drop pictures anywhere on this page, or choose files."));
  }

  list.addEventListener("change", render);
  list.addEventListener("failed", ({ detail }) => failed(detail));

  function rereadSoon() {
    rereading ||= setTimeout(() => {
      rereading = 0;
      list.reread().catch(() => {}); // the connection's state is told beside the list
    }, REREAD);
  }

  // An image changes several times while its analyses run; one reading tells all of it.
  const due = new Map();
  function refresh(imageId) {
    if (list.filter.analysis) rereadSoon();
    if (due.has(imageId) || !list.find(imageId)) return;
    due.set(imageId, setTimeout(async () => {
      due.delete(imageId);
      if (!grid.shows(list.find(imageId))) {
        list.outdate(imageId);
        return;
      }
      const { image } = await ask(TILE_OF_IMAGE, { id: imageId }).catch(() => ({}));
      const before = image && list.replace(image);
      if (before) grid.refresh(before);
    }, REFRESH));
  }

  const resync = async () => {
    const anew = await ask(DATASET, { id });
    await list.reread();
    return anew.eventCursor;
  };
  const since = { after: eventCursor, datasetId: id };
  const following = [
    new Following(FOLLOW, since, {
      onEvent: (event) => event.analysis && event.kind !== "PROGRESS" && refresh(event.analysis.image.id),
      onResync: resync,
      onState: (state) => {
        live.textContent = liveText(state);
        live.className = `live ${state === "live" ? "on" : state}`;
      },
    }),
    new Following(FOLLOW_IMAGES, since, { onEvent: rereadSoon, onResync: resync, onState: () => {} }),
  ];

  const chooser = make("input", { type: "file", accept: "image/*", multiple: true, hidden: true, onchange: () => { uploads.add(chooser.files); chooser.value = ""; } });
  const element = make("div", { class: "page fixed" },
    datasetHead(dataset, "", [exportMenu(dataset), make("button", { type: "button", class: "button primary", dataset: { needs: "upload" }, onclick: () => chooser.click() }, icon("upload"), "Upload"), chooser]),
    make("div", { class: "filters", role: "search" }, filterLine, words, tally, live),
    uploads.element,
    fill(scroller, grid.element, empty));
  acceptDrops(element, (files) => uploads.add(files));
  try {
    rememberSearch(id, filters.first.filter);
    await list.restart(filters.first.filter, filters.first.order);
  } catch (error) {
    following.forEach((one) => one.stop());
    throw error;
  }
  return {
    title: dataset.name,
    element,
    datasetId: id,
    shown() {
      if (left?.address === address) grid.goTo(left.top);
    },
    leave() {
      left = { address, top: found ? 0 : scroller.scrollTop };
      following.forEach((one) => one.stop());
      grid.leave();
      filters.leave();
      clearTimeout(rereading);
      due.forEach((timer) => clearTimeout(timer));
    },
  };
}
