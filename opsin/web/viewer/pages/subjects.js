/** The subjects of a dataset: who or what its pictures show, by name. */

import { ask, ownAddress } from "../server/graphql.js";
import { CREATE_SUBJECT, SUBJECTS } from "../server/application_documents.js";
import { reportFailure } from "../parts/announcer.js";
import { datasetHead } from "../parts/dataset_tabs.js";
import { openDialog } from "../parts/dialog.js";
import { fill, icon, make } from "../parts/element.js";
import { subjectForm } from "../parts/subject_form.js";
import { ago, count, counted, date, plain, time } from "../parts/wording.js";

const PAUSE = 250; // ms after the last key, before the server is asked

export async function subjectsPage(id) {
  const { dataset } = await ask(SUBJECTS, { id });
  if (!dataset) throw new Error("There is no such dataset, or it belongs to another company.");
  let known = dataset.subjects;
  let timer = 0;
  let turn = 0;
  const rows = make("tbody", {});
  const tally = make("p", { class: "muted", role: "status" });
  const more = make("button", { type: "button", class: "button", onclick: () => reportFailure(readMore()) }, "Show more");
  const search = make("input", { type: "search", placeholder: "Search by name", "aria-label": "Search subjects by name", oninput: () => { clearTimeout(timer); timer = setTimeout(() => reportFailure(readFirst()), PAUSE); } });
  const filter = () => (search.value.trim() ? { nameContains: search.value.trim() } : null);

  async function readFirst() {
    turn += 1;
    const mine = turn;
    const answer = await ask(SUBJECTS, { id, filter: filter() });
    if (mine !== turn || !answer.dataset) return;
    known = answer.dataset.subjects;
    render();
  }

  async function readMore() {
    const mine = turn;
    const answer = await ask(SUBJECTS, { id, filter: filter(), after: known.pageInfo.endCursor });
    if (mine !== turn || !answer.dataset) return;
    known = { ...answer.dataset.subjects, nodes: [...known.nodes, ...answer.dataset.subjects.nodes] };
    render();
  }

  function render() {
    fill(rows, known.nodes.length ? known.nodes.map(row) : make("tr", {}, make("td", { colspan: 5, class: "empty" }, search.value.trim() ? "No subject has this in its name." : "No subjects yet. A subject gathers the pictures of one person or thing, and shows how they change.")));
    more.hidden = !known.pageInfo.hasNextPage;
    tally.textContent = known.pageInfo.hasNextPage ? `${count(known.nodes.length)} of ${counted(known.totalCount, "subject")}` : counted(known.totalCount, "subject");
  }

  function create() {
    const close = openDialog("New subject", [subjectForm({}, "Make it", async (given) => {
      const { createSubject } = await ask(CREATE_SUBJECT, { input: { datasetId: id, ...given } });
      close();
      location.hash = `#/subjects/${createSubject.id}`;
    })]);
  }

  render();
  const element = make("div", { class: "page medium" },
    datasetHead(dataset, "/subjects", [
      make("div", { class: "search" }, icon("search"), search),
      make("button", { type: "button", class: "button primary", dataset: { needs: "upload" }, onclick: create }, icon("plus"), "New subject")]),
    make("div", { class: "table-frame" }, make("table", { class: "subjects" },
      make("caption", { class: "visually-hidden" }, "Subjects"),
      make("thead", {}, make("tr", {}, ["Name", "Born", "Sex", "Images", "Last picture"].map((text) => make("th", { scope: "col", class: text === "Images" ? "number" : null }, text)))),
      rows)),
    make("div", { class: "more" }, more, tally));
  return { title: `${dataset.name}: subjects`, element, datasetId: id, leave: () => clearTimeout(timer) };
}

function row({ id, name, birthDate, sex, images }) {
  const [newest] = images.nodes;
  const pictures = images.nodes.filter((image) => !image.fileDeleted).map((image) => make("img", { src: ownAddress(image.thumbnailUrl), alt: "", loading: "lazy", decoding: "async" }));
  return make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `#/subjects/${id}` }, name || "(no name)")),
    make("td", {}, date(birthDate)),
    make("td", {}, sex ? plain(sex) : ""),
    make("td", { class: "number" }, count(images.totalCount)),
    make("td", {}, make("span", { class: "strip" }, pictures, newest && make("span", { class: "muted", title: time(newest.takenAt) }, ago(newest.takenAt)))));
}
