/** What is known of an image itself: size, file, origin. */

import { make } from "./element.js";
import { bytes, time, titled } from "./wording.js";

/** @param {any} image */
export function detailsPanel(image) {
  const facts = [
    ["Size", `${image.width} × ${image.height} pixels`],
    ["File", `${image.contentType}, ${bytes(image.sizeBytes)}`],
    image.frames > 1 && ["Frames", `${image.frames}; the first is analysed`],
    ["Taken in", time(image.createdAt)],
    image.uploadedBy && ["By", image.uploadedBy],
    image.subject && ["Subject", make("a", { href: `#/subjects/${image.subject.id}` }, image.subject.name || "(no name)")],
    image.batch && ["Batch", image.batch.name || time(image.batch.takenAt) || make("code", {}, image.batch.id)],
    image.side && ["Side", titled(image.side)],
    image.light && ["Light", titled(image.light)],
    image.takenAt && ["Taken", time(image.takenAt)],
    image.resultsDeletedAt && ["Results", `deleted ${time(image.resultsDeletedAt)}`],
    ...image.runs.map(({ run, completedAt }) => [run.application?.title ?? "An application", completedAt ? `finished ${time(completedAt)}` : "is working on it"]),
    ["Id", make("code", {}, image.id)],
  ].filter(Boolean);
  return [
    make("dl", { class: "facts" }, facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    image.notes.map((note) => make("p", { class: "hint" }, note)),
  ];
}
