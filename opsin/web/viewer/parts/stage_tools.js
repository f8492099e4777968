/** The buttons upon a picture: zoom, fit, and what the keyboard can do. */

import { openDialog } from "./dialog.js";
import { iconButton, make } from "./element.js";

const KEYS = [
  ["Arrow keys", "Move the picture (with Shift: faster)"],
  ["+ and −", "Zoom"],
  ["0", "Fit the picture into the window"],
  ["Z", "One pixel for a pixel"],
  ["1 to 9", "Give the image a class, or take it back"],
  ["[ and ]", "Previous and next image"],
  ["Click", "Select a finding; again for what lies under it"],
  ["Enter", "In the list of findings: zoom to it"],
  ["Escape", "Select nothing"],
];

/** @param {import("../drawing/stage.js").Stage} stage */
export function stageTools(stage) {
  return make("div", { class: "stage-tools", role: "toolbar", "aria-label": "Zoom" },
    iconButton("plus", "Zoom in", () => stage.zoom(1.4)),
    iconButton("minus", "Zoom out", () => stage.zoom(1 / 1.4)),
    iconButton("fit", "Fit", () => stage.fit()),
    iconButton("help", "Keyboard", help));
}

function help() {
  openDialog("Keyboard", [make("dl", { class: "facts" }, KEYS.map(([key, text]) => make("div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, text))))]);
}
