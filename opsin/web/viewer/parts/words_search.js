/** Looks for images by what they show, in words, where an operation here embeds texts too. */

import { ask } from "../server/graphql.js";
import { IMAGES_LIKE } from "../server/documents.js";
import { notify } from "./announcer.js";
import { fill, icon, iconButton, make } from "./element.js";
import { titled } from "./wording.js";

/**
 * @param {string} datasetId
 * @param {any[]} operations
 * @param {(images: any[] | null) => void} onFound the likest first; null when nothing is looked for
 * @returns {HTMLElement | null} null where no operation can do it
 */
export function wordsSearch(datasetId, operations, onFound) {
  const usable = operations.filter((one) => one.available && one.embedsText);
  if (!usable.length) return null;
  const element = make("form", { class: "words", onsubmit: search });
  const text = make("input", { type: "search", maxlength: 1000, required: true, "aria-label": "What the images show", placeholder: "What they show, e.g. a boat at sunset" });
  const by = make("select", { "aria-label": "By", hidden: usable.length < 2 }, usable.map((one) => make("option", { value: one.name }, titled(one.name))));
  const submit = make("button", { type: "submit", class: "button" }, "Find");

  function close() {
    fill(element, make("button", { type: "button", class: "button quiet", onclick: open }, icon("search"), "By words"));
    onFound(null);
  }

  function open() {
    fill(element, make("div", { class: "search" }, icon("search"), text), by, submit, iconButton("close", "End the search by words", close));
    text.focus();
  }

  async function search(event) {
    event.preventDefault();
    submit.disabled = true;
    try {
      const { imagesLike } = await ask(IMAGES_LIKE, { text: text.value, operation: by.value, dataset: datasetId });
      onFound(imagesLike.map(({ image, similarity }) => ({ ...image, similarity })));
    } catch (error) {
      notify(error.message, "error");
    } finally {
      submit.disabled = false;
    }
  }

  fill(element, make("button", { type: "button", class: "button quiet", onclick: open }, icon("search"), "By words"));
  return element;
}
