/** Every operation: what it does, whether it can be run here, and what is missing where it cannot. */

import { ask } from "../server/graphql.js";
import { OPERATIONS } from "../server/documents.js";
import { fill, icon, make } from "../parts/element.js";
import { bytes, counted, plain, titled } from "../parts/wording.js";

export async function operationsPage() {
  const { operations, plugins } = await ask(OPERATIONS);
  const list = make("ul", { class: "operations" });
  const search = make("input", { type: "search", placeholder: "Search operations", "aria-label": "Search operations", oninput: render });
  const only = make("input", { type: "checkbox", onchange: render });

  function render() {
    const wanted = search.value.trim().toLowerCase();
    const found = operations.filter((one) => (one.available || !only.checked) && `${one.name} ${plain(one.name)} ${one.description}`.toLowerCase().includes(wanted));
    fill(list, found.length ? found.map(operationItem) : make("li", { class: "empty" }, "No operation fits."));
  }

  render();
  const ready = operations.filter((one) => one.available).length;
  const failures = plugins.flatMap((plugin) => plugin.failures.map((failure) => ({ ...failure, plugin: plugin.name })));
  const element = make("div", { class: "page narrow" },
    make("header", { class: "page-head" },
      make("div", {}, make("h1", {}, "Operations"), make("p", { class: "muted" }, `${ready} of ${counted(operations.length, "operation")} can be run here.`)),
      make("div", { class: "page-tools" },
        make("label", { class: "check-line" }, only, "Available only"),
        make("div", { class: "search" }, icon("search"), search))),
    failures.length > 0 && make("section", { class: "failures" }, make("h2", {}, "Plugins that failed"),
      make("ul", {}, failures.map(({ plugin, stage, message }) => make("li", {}, make("strong", {}, plugin), ` (${stage}): ${message}`)))),
    list);
  return { title: "Operations", element };
}

function operationItem({ name, version, description, available, unavailableReason, availability, models, plugin, paramsSchema, resultType }) {
  const partly = availability.filter((one) => !one.available);
  const targets = availability.map((one) => make("li", { class: one.available ? "" : "missing", title: one.unavailableReason ?? "" },
    plain(one.target), !one.available && make("span", { class: "visually-hidden" }, " (not available)")));
  const params = Object.entries(paramsSchema.properties ?? {});
  return make("li", { class: "operation", dataset: { operation: name } },
    make("div", { class: "operation-head" },
      make("h2", {}, titled(name)),
      make("span", { class: `status ${available ? "completed" : "cancelled"}` }, make("span", { class: "dot", "aria-hidden": "true" }), available ? "available" : "not available")),
    make("p", {}, description),
    make("p", { class: "muted" }, [`version ${version}`, `plugin ${plugin.name}`, `gives ${resultType}`, ...models.map((model) => `${model.name}${model.sizeBytes ? `, ${bytes(model.sizeBytes)}` : ""} (${model.licence})`)].join(" · ")),
    make("ul", { class: "targets", "aria-label": "Targets" }, targets),
    !available && reason(unavailableReason),
    available && partly.length > 0 && reason(partly[0].unavailableReason),
    make("details", { class: "raw" }, make("summary", {}, counted(params.length, "parameter")),
      make("dl", { class: "facts" }, params.map(([key, rules]) => make("div", {}, make("dt", {}, make("code", {}, key)), make("dd", {}, rules.description ?? ""))))));
}

/** The reason, with the command that helps as code. @param {string} text */
function reason(text) {
  const command = /(opsin [\w-]+ .*|pip install .*)$/.exec(text ?? "");
  if (!command) return make("p", { class: "reason" }, text);
  return make("p", { class: "reason" }, text.slice(0, command.index), make("code", {}, command[0]));
}
