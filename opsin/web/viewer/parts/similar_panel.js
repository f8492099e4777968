/** Images like one: by an embedding of it, or by hashes that find near duplicates. */

import { ask, ownAddress } from "../server/graphql.js";
import { NEAR_DUPLICATES, SIMILAR } from "../server/documents.js";
import { fill, icon, make } from "./element.js";
import { counted, plain, titled } from "./wording.js";

const HASHES = "perceptual_hash";

/**
 * @param {any} image
 * @param {any[]} operations
 * @param {import("../drawing/scene.js").Scene} scene
 * @returns {HTMLElement | null} null where no operation here makes images comparable
 */
export function similarPanel(image, operations, scene) {
  const done = new Set(scene.layers.filter(({ analysis }) => analysis.status === "COMPLETED").map(({ analysis }) => analysis.operation));
  const usable = operations.filter((one) => (one.available || done.has(one.name)) && (embeds(one) || one.name === HASHES));
  if (!usable.length) return null;
  const by = make("select", { id: "similar-by" }, usable.map((one) => make("option", { value: one.name, selected: done.has(one.name) }, one.name === HASHES ? "Near duplicates" : titled(one.name))));
  const everywhere = make("input", { type: "checkbox", id: "similar-everywhere" });
  const found = make("div", { role: "status" });
  const button = make("button", { type: "submit", class: "button wide" }, icon("search"), "Find");

  async function find(event) {
    event.preventDefault();
    button.disabled = true;
    fill(found, make("p", { class: "hint" }, "Looking …"));
    const variables = { id: image.id, operation: by.value, dataset: everywhere.checked ? null : image.dataset.id };
    try {
      const answer = await ask(by.value === HASHES ? NEAR_DUPLICATES : SIMILAR, variables);
      const matches = answer.nearDuplicates ?? answer.similarImages;
      fill(found, matches.length ? make("ul", { class: "matches", "aria-label": counted(matches.length, "like image") }, matches.map(match)) : make("p", { class: "hint" }, "None was found among the images with the same analysis."));
    } catch (error) {
      fill(found, make("p", { class: "hint" }, missing(error, by.value)));
    } finally {
      button.disabled = false;
    }
  }

  return make("form", { class: "similar", onsubmit: find },
    make("div", { class: "control-line" }, make("label", { for: "similar-by" }, "By"), by),
    make("label", { class: "check-line" }, everywhere, "In all datasets"), button, found);
}

/** Whether its result is a vector, by the name that operations give such a type. */
const embeds = ({ embedsText, resultType }) => embedsText || resultType.endsWith("Embedding");

function missing(error, operation) {
  if (error.code !== "INVALID_INPUT" && error.code !== "NOT_FOUND" && error.code !== "CONFLICT") return error.message;
  return `${error.message} Run “${plain(operation)}” on the images first.`;
}

function match({ image, similarity, distance }) {
  const like = similarity === undefined ? `${distance} of 64 bits differ` : `similarity ${similarity.toFixed(3)}`;
  return make("li", {}, make("a", { href: `#/images/${image.id}`, title: `${image.filename}, ${like}` },
    image.fileDeleted ? make("span", { class: "no-picture" }, "file deleted") : make("img", { src: ownAddress(image.thumbnailUrl), alt: image.filename, loading: "lazy", decoding: "async" }),
    make("span", { class: "muted number" }, similarity === undefined ? String(distance) : similarity.toFixed(2))));
}
