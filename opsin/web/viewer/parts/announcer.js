/** Tells what happened: to the eye as a short notice, to screen readers as it is said. */

import { iconButton, make } from "./element.js";

const SHOWN = 6000; // ms
const polite = make("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
const notices = make("div", { class: "notices" });

/** The elements that the page must hold. */
export const announcerElements = () => [polite, notices];

/** Said only to screen readers. @param {string} text */
export function say(text) {
  polite.textContent = text;
}

/** Shown and said. @param {string} text @param {"plain" | "error"} kind */
export function notify(text, kind = "plain") {
  const role = kind === "error" ? "alert" : "status";
  const notice = make("div", { class: `notice ${kind}`, role }, make("p", {}, text));
  const close = () => notice.remove();
  notice.append(iconButton("close", "Dismiss", close));
  notices.append(notice);
  if (kind !== "error") setTimeout(close, SHOWN);
}

/** For what a click started and nobody waits for. @param {Promise<unknown>} work */
export const reportFailure = (work) => work.catch((error) => notify(error.message, "error"));
