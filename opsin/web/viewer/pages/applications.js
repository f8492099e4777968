/** What is done with a dataset's pictures by itself: applications and their steps, and how long things are kept. */

import { ask } from "../server/graphql.js";
import { APPLICATIONS_OF, ATTACH, DETACH } from "../server/application_documents.js";
import { reportFailure, say } from "../parts/announcer.js";
import { datasetHead } from "../parts/dataset_tabs.js";
import { confirm, openDialog } from "../parts/dialog.js";
import { fill, icon, make } from "../parts/element.js";
import { retentionForm } from "../parts/retention_form.js";
import { stepChoice, stepList } from "../parts/step_choice.js";
import { ago, counted, time } from "../parts/wording.js";

const GONE = { title: "An application that is here no more", description: "", steps: [] };
const BUSY = 3000; // ms between two readings while pictures are being worked on

export async function applicationsPage(id) {
  let known = await ask(APPLICATIONS_OF, { id });
  if (!known.dataset) throw new Error("There is no such dataset, or it belongs to another company.");
  const { dataset } = known;
  let timer = 0;
  let left = false;
  const runs = make("ul", { class: "runs" });
  const attach = make("button", { type: "button", class: "button primary", dataset: { needs: "admin" }, onclick: () => choose(null) }, icon("plus"), "Attach an application");

  async function refresh() {
    known = await ask(APPLICATIONS_OF, { id });
    if (!left) render();
  }

  function render() {
    clearTimeout(timer);
    const nodes = known.dataset.applications.nodes;
    fill(runs, nodes.length ? nodes.map(run) : make("li", { class: "hint" }, "None yet. Once one is attached, every picture that comes is worked on by itself, and those that are here as well."));
    attach.disabled = !known.applications.some((one) => !attachedTo(one.id));
    attach.title = attach.disabled ? "All there are have been attached" : "";
    if (nodes.some((one) => one.isEnabled && (one.isCatchingUp || one.completed.totalCount < one.images.totalCount))) timer = setTimeout(() => refresh().catch(() => {}), BUSY);
  }

  const attachedTo = (applicationId) => known.dataset.applications.nodes.find((one) => one.application?.id === applicationId && one.isEnabled);

  function run(one) {
    const { steps, isEnabled, images, completed } = one;
    const application = one.application ?? GONE;
    const done = `${counted(images.totalCount, "image")}, ${completed.totalCount === images.totalCount ? "all done" : `${counted(completed.totalCount, "one", "")} done`}`;
    return make("li", { class: "run", dataset: { run: one.id } },
      make("div", { class: "run-head" },
        make("h3", {}, application.title),
        make("span", { class: isEnabled ? "status completed" : "status" }, make("span", { class: "dot", "aria-hidden": "true" }), isEnabled ? "attached" : "detached"),
        make("div", { class: "run-tools", dataset: { needs: "admin" } },
          one.application && make("button", { type: "button", class: "button", "aria-label": `${isEnabled ? "Steps of" : "Attach"} ${application.title}${isEnabled ? "" : " again"}`, onclick: () => choose(one) }, isEnabled ? "Steps" : "Attach again"),
          isEnabled && make("button", { type: "button", class: "button danger", "aria-label": `Detach ${application.title}`, onclick: () => reportFailure(detach(one)) }, "Detach"))),
      make("p", { class: "muted" }, application.description),
      stepList(application.steps, steps),
      make("p", { class: "hint", title: time(one.createdAt) }, `${done} · first attached ${ago(one.createdAt)}${one.isCatchingUp ? " · working on pictures that were here before" : ""}`));
  }

  /** Attaches one, or changes the steps of one that is attached already. */
  function choose(before) {
    const free = before ? [before.application] : known.applications.filter((one) => !attachedTo(one.id));
    const failure = make("p", { class: "analysis-error", role: "alert" });
    const steps = make("div", {});
    const about = make("p", { class: "hint" });
    let choice = null;
    const select = make("select", { id: "application", onchange: show }, free.map((one) => make("option", { value: one.id }, one.title)));
    function show() {
      const one = free.find(({ id: wanted }) => wanted === select.value) ?? free[0];
      choice = stepChoice(one.steps, before?.steps);
      about.textContent = one.description;
      fill(steps, choice.element);
    }
    async function save(event) {
      event.preventDefault();
      failure.textContent = "";
      if (!choice.read().length) {
        failure.textContent = "At least one step is needed.";
        return;
      }
      try {
        await ask(ATTACH, { input: { applicationId: select.value, datasetId: id, steps: choice.read() } });
        close();
        say("Attached.");
        await refresh();
      } catch (error) {
        failure.textContent = error.message;
      }
    }
    show();
    const close = openDialog(before ? `Steps of ${before.application.title}` : "Attach an application", [make("form", { onsubmit: save },
      before ? select.hidden = true && null : make("div", { class: "field" }, make("label", { for: "application" }, "Application"), select, about),
      steps,
      make("p", { class: "hint" }, before ? "For pictures that come from now on." : "For the pictures that are here, and all that come."),
      failure,
      make("div", { class: "dialog-actions" }, make("button", { type: "submit", class: "button primary" }, before?.isEnabled ? "Save" : "Attach")))]);
  }

  async function detach(one) {
    if (!(await confirm("Detach this application?", `New pictures are no longer worked on by ${one.application?.title ?? "it"}. What it found stays.`, "Detach"))) return;
    await ask(DETACH, { id: one.id });
    say("Detached.");
    await refresh();
  }

  render();
  const element = make("div", { class: "page medium" }, datasetHead(dataset, "/applications"),
    make("section", { class: "card-section" },
      make("div", { class: "section-head" }, make("h2", {}, "Applications"), attach),
      make("p", { class: "hint" }, "Named sets of operations, for every picture of the dataset."), runs),
    make("section", { class: "card-section" }, make("h2", {}, "Retention"),
      make("p", { class: "hint" }, "What is deleted by itself. It holds for the pictures that are here, too."), retentionForm(dataset)));
  return {
    title: `${dataset.name}: applications`,
    datasetId: id,
    element,
    leave() {
      left = true;
      clearTimeout(timer);
    },
  };
}
