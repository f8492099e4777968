/** How long a dataset keeps files and results. */

import { ask } from "../server/graphql.js";
import { UPDATE_DATASET } from "../server/application_documents.js";
import { say } from "./announcer.js";
import { make } from "./element.js";

/** @param {{id: string, retention: any}} dataset */
export function retentionForm({ id, retention }) {
  const days = (name, value) => make("input", { id: name, type: "number", min: 1, max: 365, step: 1, value: value ?? "", placeholder: "never", "aria-describedby": `${name}-unit` });
  const files = days("expire-files", retention.expireFilesAfterDays);
  const results = days("expire-results", retention.expireResultsAfterDays);
  const ready = make("input", { id: "delete-when-ready", type: "checkbox", checked: retention.deleteFilesWhenReady });
  const told = make("p", { role: "status", class: "hint" });

  async function save(event) {
    event.preventDefault();
    const read = (input) => (input.value === "" ? null : input.valueAsNumber);
    told.className = "hint";
    try {
      await ask(UPDATE_DATASET, { input: { id, retention: { expireFilesAfterDays: read(files), expireResultsAfterDays: read(results), deleteFilesWhenReady: ready.checked } } });
      told.textContent = "Saved.";
      say("Retention was saved.");
    } catch (error) {
      told.className = "analysis-error";
      told.textContent = error.message;
    }
  }

  const line = (input, label) => make("div", { class: "retention-line" }, make("label", { for: input.id }, label), input, make("span", { id: `${input.id}-unit`, class: "muted" }, "days"));
  return make("form", { class: "retention", onsubmit: save },
    line(files, "Delete the files of pictures after"),
    line(results, "Delete results after"),
    make("div", { class: "check-line" }, ready, make("label", { for: ready.id }, "Delete a picture’s files as soon as all applications have finished with it")),
    make("p", { class: "hint", dataset: { without: "admin" } }, "Only administrators of the dataset change what it keeps."),
    make("div", { class: "form-end", dataset: { needs: "admin" } }, make("button", { type: "submit", class: "button primary" }, "Save"), told));
}
