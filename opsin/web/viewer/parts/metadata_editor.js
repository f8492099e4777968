/** Named values that are kept with an image or a dataset: shown, set and removed. */

import { ask } from "../server/graphql.js";
import { REMOVE_METADATA, SET_METADATA } from "../server/documents.js";
import { reportFailure, say } from "./announcer.js";
import { fill, icon, iconButton, make } from "./element.js";
import { excerpt } from "./excerpt.js";

const SHOWN = 200; // keys; all are in the exports
const LONGEST = 2000; // characters of a value that are shown

/**
 * @param {{imageId: string} | {datasetId: string}} owner
 * @param {Record<string, unknown>} metadata
 */
export function metadataEditor(owner, metadata) {
  let known = metadata ?? {};
  const list = make("dl", { class: "facts metadata" });
  const hint = make("p", { class: "hint" });
  const key = make("input", { required: true, maxlength: 255, placeholder: "Key", "aria-label": "Metadata key" });
  const value = make("input", { placeholder: "Value", "aria-label": "Metadata value" });
  const needs = "imageId" in owner ? "annotate" : "admin";
  const form = make("form", { class: "metadata-form", dataset: { needs }, onsubmit: (event) => { event.preventDefault(); reportFailure(set()); } }, key, value,
    make("button", { type: "submit", class: "button" }, icon("plus"), "Set"));

  function render() {
    const entries = Object.entries(known);
    fill(list, entries.slice(0, SHOWN).map(([name, one]) => entry(name, one)));
    hint.hidden = entries.length > 0 && entries.length <= SHOWN;
    hint.textContent = entries.length ? `${entries.length - SHOWN} more are in the export.` : "None.";
  }

  function entry(name, one) {
    const text = written(one);
    return make("div", {}, make("dt", {}, name),
      make("dd", {}, make("button", { type: "button", class: "link plain", title: "Change it", disabled: text.length > LONGEST, onclick: () => { key.value = name; value.value = typeof one === "string" ? one : JSON.stringify(one); value.focus(); } }, text || "(empty)"),
        iconButton("close", `Remove ${name}`, () => reportFailure(remove(name)), { class: "button quiet square small", dataset: { needs } })));
  }

  async function set() {
    const { setMetadata } = await ask(SET_METADATA, { input: { ...owner, entries: { [key.value.trim()]: read(value.value) } } });
    take(setMetadata);
    say(`${key.value} was set.`);
    [key.value, value.value] = ["", ""];
    key.focus();
  }

  async function remove(name) {
    const { removeMetadata } = await ask(REMOVE_METADATA, { input: { ...owner, keys: [name] } });
    take(removeMetadata);
    say(`${name} was removed.`);
    key.focus();
  }

  function take({ dataset, image }) {
    known = (dataset ?? image).metadata;
    render();
  }

  render();
  return [list, hint, form];
}

const written = (value) => (typeof value === "string" ? value.slice(0, LONGEST) : excerpt(value, LONGEST));

/** Numbers, true, false, null, lists and objects are JSON; everything else is the text itself. */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
