/** An image in a grid: its thumbnail, name, and how its analyses stand. */

import { ownAddress } from "../server/graphql.js";
import { make } from "./element.js";
import { counted, plain } from "./wording.js";

/** @param {any} image */
export function imageTile(image) {
  const { id, filename, width, height, thumbnailUrl, analyses } = image;
  const states = analyses.nodes.map(({ status }) => status);
  const words = states.length ? [...new Set(states)].map((status) => `${states.filter((one) => one === status).length} ${plain(status)}`).join(", ") : "not analysed";
  return make("a", { class: "tile", href: `#/images/${id}`, "aria-label": `${filename}, ${width} by ${height}, ${words}` },
    make("div", { class: "tile-picture" }, make("img", { src: ownAddress(thumbnailUrl), alt: "", decoding: "async", draggable: "false" })),
    make("div", { class: "tile-text" },
      make("span", { class: "tile-name", title: filename }, filename),
      make("span", { class: "tile-facts muted" },
        make("span", {}, `${width} × ${height}`),
        make("span", { class: "dots", title: states.length ? `${counted(states.length, "analysis", "analyses")}: ${words}` : "" },
          states.map((status) => make("span", { class: `dot ${status.toLowerCase()}` }))))));
}
