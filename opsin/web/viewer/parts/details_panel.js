/** What is known of an image itself: size, file, origin. */

import { make } from "./element.js";
import { bytes, time } from "./wording.js";

/** @param {any} image */
export function detailsPanel(image) {
  const facts = [
    ["Size", `${image.width} × ${image.height} pixels`],
    ["File", `${image.contentType}, ${bytes(image.sizeBytes)}`],
    image.frames > 1 && ["Frames", `${image.frames}; the first is analysed`],
    ["Taken in", time(image.createdAt)],
    image.uploadedBy && ["By", image.uploadedBy],
    image.subject && ["Subject", image.subject.name],
    image.batch && ["Batch", image.batch.name],
    ["Id", make("code", {}, image.id)],
  ].filter(Boolean);
  return [
    make("dl", { class: "facts" }, facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    image.notes.map((note) => make("p", { class: "hint" }, note)),
  ];
}
