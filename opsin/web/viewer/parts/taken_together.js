/** Pictures of a subject, those of one batch beside each other, the newest first. */

import { ownAddress } from "../server/graphql.js";
import { make } from "./element.js";
import { time, titled } from "./wording.js";

/**
 * @param {any[]} images newest first
 * @param {{sides: {name: string, title: string}[]} | null} imageType
 */
export function takenTogether(images, imageType) {
  if (!images.length) return make("p", { class: "hint" }, "No pictures yet.");
  const titles = new Map(imageType?.sides.map((side) => [side.name, side.title]));
  const groups = [];
  for (const image of images) {
    const last = groups.at(-1);
    if (last && image.batch && last[0].batch?.id === image.batch.id) last.push(image);
    else groups.push([image]);
  }
  return groups.map((group) => make("section", { class: "sitting" },
    make("h3", {}, time(group[0].batch?.takenAt ?? group[0].takenAt)),
    make("ul", {}, group.map((image) => {
      const side = image.side && (titles.get(image.side) ?? titled(image.side));
      return make("li", {}, make("a", { href: `#/images/${image.id}`, class: "shot" },
        image.fileDeleted ? make("span", { class: "no-picture" }, "file deleted") : make("img", { src: ownAddress(image.thumbnailUrl), alt: "", loading: "lazy", decoding: "async" }),
        make("span", { class: "shot-name" }, side || image.filename), side && make("span", { class: "visually-hidden" }, image.filename)));
    }))));
}
