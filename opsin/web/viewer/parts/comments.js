/** What people say of an image: read, written, and changed by whoever wrote it. */

import { ask } from "../server/graphql.js";
import { COMMENTS, CREATE_COMMENT, DELETE_COMMENT, UPDATE_COMMENT } from "../server/documents.js";
import { reportFailure, say } from "./announcer.js";
import { confirm } from "./dialog.js";
import { fill, make } from "./element.js";
import { ago, time } from "./wording.js";

const LONGEST = 10_000;

/** @param {any} image with its first comments */
export function comments(image) {
  let known = image.comments;
  const list = make("ul", { class: "comments" });
  const note = make("span", {});
  const text = make("textarea", { id: "comment", rows: 2, maxlength: LONGEST, required: true, placeholder: "Say something of this image" });
  const form = make("form", { class: "comment-form", dataset: { needs: "annotate" }, onsubmit: (event) => { event.preventDefault(); reportFailure(write()); } },
    make("label", { class: "visually-hidden", for: "comment" }, "A comment"), text,
    make("button", { type: "submit", class: "button" }, "Comment"));
  sendsWithEnter(text, form);

  function render() {
    const more = known.pageInfo.hasNextPage;
    note.textContent = known.nodes.length ? `${known.nodes.length}${more ? "+" : ""}` : "";
    fill(list, known.nodes.map(item), more && make("li", {}, make("button", { type: "button", class: "link", onclick: () => reportFailure(older()) }, "Show more")));
  }

  async function read() {
    known = (await ask(COMMENTS, { id: image.id })).image.comments;
    render();
  }

  async function older() {
    const next = (await ask(COMMENTS, { id: image.id, after: known.pageInfo.endCursor })).image.comments;
    known = { nodes: [...known.nodes, ...next.nodes], pageInfo: next.pageInfo };
    render();
  }

  async function write() {
    await ask(CREATE_COMMENT, { input: { imageId: image.id, text: text.value } });
    text.value = "";
    say("The comment was written.");
    await read();
  }

  function item(comment) {
    const element = make("li", { class: "comment" });
    const edited = comment.updatedAt ? " · changed" : "";
    fill(element,
      make("p", { class: "comment-head" }, make("strong", {}, comment.author), make("span", { class: "muted", title: time(comment.createdAt) }, ago(comment.createdAt) + edited),
        comment.isMine && make("span", { class: "comment-actions", dataset: { needs: "annotate" } },
          make("button", { type: "button", class: "link", onclick: () => edit(comment, element) }, "Edit"),
          make("button", { type: "button", class: "link", onclick: () => reportFailure(remove(comment)) }, "Delete"))),
      make("p", { class: "comment-text" }, comment.text));
    return element;
  }

  function edit(comment, element) {
    const area = make("textarea", { rows: 3, maxlength: LONGEST, required: true, value: comment.text, "aria-label": "Your comment" });
    const save = async () => {
      await ask(UPDATE_COMMENT, { input: { id: comment.id, text: area.value } });
      await read();
    };
    const editor = make("form", { class: "comment-form", onsubmit: (event) => { event.preventDefault(); reportFailure(save()); } }, area,
      make("div", { class: "dialog-actions" },
        make("button", { type: "button", class: "button", onclick: render }, "Cancel"),
        make("button", { type: "submit", class: "button primary" }, "Save")));
    sendsWithEnter(area, editor);
    fill(element, editor);
    area.focus();
  }

  async function remove(comment) {
    if (!(await confirm("Delete this comment?", comment.text.slice(0, 200), "Delete"))) return;
    await ask(DELETE_COMMENT, { id: comment.id });
    await read();
  }

  render();
  return { element: [list, form], note };
}

/** Control or Command with Enter sends. */
function sendsWithEnter(area, form) {
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}
