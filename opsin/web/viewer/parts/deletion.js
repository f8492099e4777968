/** Images deleted with a reason, so that they can be restored; and deleted for good. */

import { ask } from "../server/graphql.js";
import { DELETE_IMAGE, RESTORE, SOFT_DELETE } from "../server/documents.js";
import { notify, reportFailure } from "./announcer.js";
import { confirm, openDialog } from "./dialog.js";
import { icon, make } from "./element.js";
import { time } from "./wording.js";

/** Asks for the reason. @param {any} image @param {() => void} onDeleted */
export function askToDelete(image, onDeleted) {
  const reason = make("textarea", { id: "reason", rows: 2, required: true, maxlength: 1000 });
  const failure = make("p", { class: "analysis-error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    failure.textContent = "";
    try {
      await ask(SOFT_DELETE, { input: { imageId: image.id, reason: reason.value } });
      close();
      notify(`${image.filename} was deleted. It can be restored for a while.`);
      onDeleted();
    } catch (error) {
      failure.textContent = error.message;
    }
  };
  const close = openDialog("Delete this image?", [make("form", { onsubmit: submit },
    make("p", { class: "dialog-text" }, `${image.filename} is hidden with its analyses. It can be restored until its time is over.`),
    make("div", { class: "field" }, make("label", { for: "reason" }, "Reason"), reason), failure,
    make("div", { class: "dialog-actions" },
      make("button", { type: "button", class: "button", onclick: () => close() }, "Keep"),
      make("button", { type: "submit", class: "button danger" }, "Delete")))]);
  reason.focus();
}

/** Tells that an image is deleted, and what can be done. @param {any} image @param {{onRestored: () => void, onGone: () => void}} told */
export function deletionBanner(image, { onRestored, onGone }) {
  const { deletedAt, deletedBy, reason, purgeAt, fileDeleted } = image.deletion;
  const restore = async () => {
    await ask(RESTORE, { id: image.id });
    notify(`${image.filename} was restored.`);
    onRestored();
  };
  const purge = async () => {
    if (!(await confirm("Delete it for good?", `${image.filename} is deleted with its analyses and annotations. This cannot be undone.`, "Delete for good"))) return;
    await ask(DELETE_IMAGE, { id: image.id });
    notify(`${image.filename} was deleted for good.`);
    onGone();
  };
  const until = purgeAt && !fileDeleted ? ` It can be restored until ${time(purgeAt)}.` : "";
  return make("div", { class: "banner", role: "note" }, icon("trash"),
    make("p", {}, make("strong", {}, `Deleted ${time(deletedAt)}${deletedBy ? ` by ${deletedBy}` : ""}.`), reason ? ` “${reason}”` : "", fileDeleted ? " Its file is gone." : until),
    !fileDeleted && make("button", { type: "button", class: "button", dataset: { needs: "annotate" }, onclick: () => reportFailure(restore()) }, "Restore"),
    make("button", { type: "button", class: "button danger", dataset: { needs: "admin" }, onclick: () => reportFailure(purge()) }, "Delete for good"));
}
