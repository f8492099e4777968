/** One subject: how its pictures measure over time, smoothed or as they are, and the pictures themselves. */

import { ask } from "../server/graphql.js";
import { DELETE_SUBJECTS, FOLLOW_RUNS, MORE_TAKEN, SUBJECT, UPDATE_SUBJECT } from "../server/application_documents.js";
import { Following } from "../server/following.js";
import { reportFailure, say } from "../parts/announcer.js";
import { confirm, openDialog } from "../parts/dialog.js";
import { fill, icon, make } from "../parts/element.js";
import { HistoryCharts } from "../parts/history_charts.js";
import { subjectForm } from "../parts/subject_form.js";
import { takenTogether } from "../parts/taken_together.js";
import { Uploads } from "../parts/uploads.js";
import { counted, date, liveText, plain } from "../parts/wording.js";

const PAUSE = 400; // ms in which the ends of several runs become one reading

export async function subjectPage(id) {
  let { subject, applications, eventCursor } = await ask(SUBJECT, { id });
  if (!subject) throw new Error("There is no such subject, or it belongs to another company.");
  const { dataset } = subject;
  let timer = 0;
  let left = false;
  const heading = make("h1", {});
  const facts = make("p", { class: "muted" });
  const charts = new HistoryCharts(id);
  const pictures = make("div", { class: "sittings" });
  const tally = make("p", { class: "muted", role: "status" });
  const more = make("button", { type: "button", class: "button", onclick: () => reportFailure(readMore()) }, "Show older");
  const live = make("span", { class: "live", role: "status" });
  const uploads = new Uploads(dataset.id, readSoon, { subjectId: id });
  const chooser = make("input", { type: "file", accept: "image/*", multiple: true, hidden: true, onchange: () => { uploads.add(chooser.files); chooser.value = ""; } });

  function render() {
    heading.textContent = subject.name || "(no name)";
    facts.textContent = [subject.birthDate && `born ${date(subject.birthDate)}`, subject.sex && plain(subject.sex), counted(subject.images.totalCount, "image")].filter(Boolean).join(" · ");
    fill(pictures, takenTogether(subject.images.nodes, dataset.imageType));
    more.hidden = !subject.images.pageInfo.hasNextPage;
    tally.textContent = more.hidden ? "" : `${subject.images.nodes.length} of ${counted(subject.images.totalCount, "image")}`;
  }

  async function readMore() {
    const { images } = (await ask(MORE_TAKEN, { id, after: subject.images.pageInfo.endCursor })).subject;
    subject.images = { ...images, nodes: [...subject.images.nodes, ...images.nodes] };
    render();
  }

  async function read() {
    const answer = await ask(SUBJECT, { id });
    if (left || !answer.subject) return eventCursor;
    ({ subject } = answer);
    render();
    charts.show(subject.history, answer.applications);
    return answer.eventCursor;
  }

  function readSoon() {
    timer ||= setTimeout(() => {
      timer = 0;
      read().catch(() => {}); // the connection's state is told at the top
    }, PAUSE);
  }

  function change() {
    const close = openDialog("Change the subject", [subjectForm(subject, "Save", async (given) => {
      const { updateSubject } = await ask(UPDATE_SUBJECT, { input: { id, ...given } });
      Object.assign(subject, updateSubject);
      close();
      render();
    })]);
  }

  async function remove() {
    if (!(await confirm("Delete this subject?", `${subject.name || "It"} goes with its ${counted(subject.images.totalCount, "image")} and everything found in them. This cannot be undone.`, "Delete"))) return;
    await ask(DELETE_SUBJECTS, { input: { datasetId: dataset.id, ids: [id] } });
    say("The subject was deleted.");
    location.hash = `#/datasets/${dataset.id}/subjects`;
  }

  render();
  charts.show(subject.history, applications);
  const following = new Following(FOLLOW_RUNS, { after: eventCursor, datasetId: dataset.id }, {
    onEvent: (event) => event.subjectId === id && readSoon(),
    onResync: read,
    onState: (state) => {
      live.textContent = liveText(state);
      live.className = `live ${state === "live" ? "on" : state}`;
    },
  });
  const element = make("div", { class: "page" },
    make("header", { class: "page-head" },
      make("div", {},
        make("nav", { class: "crumbs", "aria-label": "Path" }, make("a", { href: "#/" }, "Datasets"), make("span", { "aria-hidden": "true" }, "/"), make("a", { href: `#/datasets/${dataset.id}/subjects` }, dataset.name)),
        heading, facts),
      make("div", { class: "page-tools" }, live,
        make("button", { type: "button", class: "button", dataset: { needs: "upload" }, onclick: change }, icon("edit"), "Change"),
        make("button", { type: "button", class: "button danger", dataset: { needs: "admin" }, onclick: () => reportFailure(remove()) }, icon("trash"), "Delete"),
        make("button", { type: "button", class: "button primary", dataset: { needs: "upload" }, onclick: () => chooser.click() }, icon("upload"), "Upload"), chooser)),
    uploads.element,
    charts.element,
    make("section", {}, make("h2", { class: "part-title" }, "Pictures"), pictures, make("div", { class: "more" }, more, tally)));
  return {
    title: subject.name || "Subject",
    element,
    datasetId: dataset.id,
    leave() {
      left = true;
      clearTimeout(timer);
      following.stop();
    },
  };
}
