/** Runs an operation on the image: which are available, with what params. */

import { ask } from "../server/graphql.js";
import { ANALYZE } from "../server/documents.js";
import { notify, say } from "./announcer.js";
import { fill, icon, make } from "./element.js";
import { paramsForm } from "./params_form.js";
import { titled } from "./wording.js";

/** @param {string} imageId @param {Promise<any[]>} reading the operations */
export function runPanel(imageId, reading) {
  const element = make("div", { class: "run" }, make("p", { class: "hint" }, "Reading the operations …"));
  reading
    .then((operations) => fill(element, form(imageId, operations)))
    .catch((error) => fill(element, make("p", { class: "analysis-error" }, error.message)));
  return element;
}

function form(imageId, operations) {
  const ready = operations.filter((operation) => operation.available);
  if (!ready.length) {
    return make("p", { class: "hint" }, "No operation is available here. ", make("a", { href: "#/operations" }, "See what is missing"));
  }
  const params = make("div", {});
  const about = make("p", { class: "hint" });
  const failure = make("p", { class: "analysis-error", role: "alert" });
  const select = make("select", { id: "operation", onchange: choose },
    ready.map((operation) => make("option", { value: operation.name }, titled(operation.name))));
  let current = null;

  function choose() {
    const operation = ready.find((one) => one.name === select.value);
    const here = operation.availability.filter((one) => one.available).map((one) => one.target);
    current = paramsForm(operation.paramsSchema, here, operation.defaultTarget);
    about.textContent = operation.description;
    failure.textContent = "";
    fill(params, current.element);
  }

  async function run(event) {
    event.preventDefault();
    failure.textContent = "";
    button.disabled = true;
    try {
      await ask(ANALYZE, { input: { imageId, tasks: [{ operation: select.value, params: current.read() }] } });
      say(`${titled(select.value)} was queued.`);
    } catch (error) {
      failure.textContent = error.message;
      if (error.code === "OFFLINE") notify(error.message, "error");
    } finally {
      button.disabled = false;
    }
  }

  const button = make("button", { type: "submit", class: "button primary wide" }, icon("play"), "Run");
  choose();
  const missing = operations.length - ready.length;
  return [make("p", { class: "hint", dataset: { without: "analyze" } }, "You may look at what was found here, and not have operations run."), make("form", { dataset: { needs: "analyze" }, onsubmit: run },
    make("div", { class: "field" }, make("label", { for: "operation" }, "Operation"), select, about),
    params, failure, button,
    missing > 0 && make("p", { class: "hint" }, `${missing} more cannot be run here. `, make("a", { href: "#/operations" }, "See why")))];
}
