/** Dialogs: the browser's own, which hold the focus and close with Escape. */

import { iconButton, make } from "./element.js";

/**
 * Opens a dialog; gives a function that closes it.
 * @param {string} title
 * @param {any[]} content
 * @param {() => void} [onclose]
 */
export function openDialog(title, content, onclose = () => {}) {
  const id = `dialog-${crypto.randomUUID?.() ?? Date.now()}`;
  const dialog = make("dialog", { class: "dialog", "aria-labelledby": id });
  const close = () => dialog.close();
  dialog.append(
    make("header", { class: "dialog-head" }, make("h2", { id }, title), iconButton("close", "Close", close)),
    make("div", { class: "dialog-body" }, content),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    onclose();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) close(); // beside it
  });
  document.body.append(dialog);
  dialog.showModal();
  return close;
}

/** Asks before something that cannot be undone. @returns {Promise<boolean>} */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    let agreed = false;
    const close = openDialog(
      title,
      [
        make("p", {}, text),
        make("div", { class: "dialog-actions" },
          make("button", { type: "button", class: "button", onclick: () => close() }, "Keep"),
          make("button", { type: "button", class: "button danger", onclick: () => { agreed = true; close(); } }, action),
        ),
      ],
      () => resolve(agreed),
    );
  });
}
