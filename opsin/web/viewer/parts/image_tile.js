/** An image in a grid: its thumbnail, name, classes, and how its analyses stand. */

import { ownAddress } from "../server/graphql.js";
import { make } from "./element.js";
import { counted, plain } from "./wording.js";

/** @param {any} image @returns {HTMLElement} whose picture is loaded by the grid */
export function imageTile(image) {
  const { id, filename, width, height, thumbnailUrl, analyses, classifications, deletion, fileDeleted, similarity } = image;
  const states = analyses.nodes.map(({ status }) => status);
  const words = states.length ? [...new Set(states)].map((status) => `${states.filter((one) => one === status).length} ${plain(status)}`).join(", ") : "not analysed";
  const classes = [...new Set(classifications.nodes.map((one) => one.imageClass.name))];
  const gone = (words) => make("span", { class: "no-picture" }, words);
  const picture = fileDeleted ? gone("file deleted") : make("img", { dataset: { src: ownAddress(thumbnailUrl) }, alt: "", decoding: "async", draggable: "false" });
  picture.addEventListener("error", () => picture.replaceWith(gone("cannot be shown")), { once: true });
  return make("a", { class: deletion ? "tile deleted" : "tile", href: `#/images/${id}` },
    make("span", { class: "tile-picture" }, picture),
    make("span", { class: "tile-text" },
      make("span", { class: "tile-name", title: filename }, filename),
      make("span", { class: "tile-facts muted" },
        make("span", {}, similarity === undefined ? `${width} × ${height}` : `similarity ${similarity.toFixed(2)}`),
        make("span", { class: "dots", title: states.length ? `${counted(states.length, "analysis", "analyses")}: ${words}` : "" },
          states.map((status) => make("span", { class: `dot ${status.toLowerCase()}` })))),
      make("span", { class: "visually-hidden" }, [words, deletion && "deleted"].filter(Boolean).join(", "))),
    classes.length > 0 && make("span", { class: "tile-classes" }, classes.map((name) => make("span", {}, name))));
}
