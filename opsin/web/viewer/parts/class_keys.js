/** Gives an image classes of its dataset: by a click, or by the keys 1 to 9. */

import { ask } from "../server/graphql.js";
import { CLASSIFICATIONS, CLASSIFY, CREATE_CLASS, DECLASSIFY } from "../server/documents.js";
import { may } from "../server/permissions.js";
import { notify, reportFailure, say } from "./announcer.js";
import { fill, icon, make } from "./element.js";
import { ago } from "./wording.js";

const GO_ON = "opsin.go-on"; // whether a class given by a key leads to the next image

/**
 * @param {any} image with its classifications and its dataset's classes
 * @param {() => void} onNext goes to the next image
 */
export function classKeys(image, onNext) {
  const classes = image.dataset.classes.nodes;
  let given = image.classifications.nodes;
  let busy = Promise.resolve();
  const list = make("div", { class: "class-keys", dataset: { needs: "annotate" }, role: "group", "aria-label": "Classes of this image" });
  const others = make("p", { class: "hint" });
  const note = make("span", {});
  const goOn = make("input", { type: "checkbox", id: "go-on", checked: sessionStorage.getItem(GO_ON) === "yes", onchange: () => sessionStorage.setItem(GO_ON, goOn.checked ? "yes" : "no") });
  const goOnLine = make("label", { class: "check-line", dataset: { needs: "annotate" } }, goOn, "Go on to the next image after a key");
  const hint = make("p", { class: "hint", dataset: { needs: "annotate" } });
  const without = make("p", { class: "hint", dataset: { without: "annotate" } }, "You may see the classes of this image, and not give it any.");
  const name = make("input", { id: "new-class", maxlength: 255, required: true, placeholder: "New class" });
  const form = make("form", { class: "one-line", dataset: { needs: "annotate" }, onsubmit: (event) => { event.preventDefault(); reportFailure(create()); } },
    make("label", { class: "visually-hidden", for: "new-class" }, "Name of a new class"), name,
    make("button", { type: "submit", class: "button" }, icon("plus"), "Add"));

  function render() {
    const focused = document.activeElement?.dataset?.class;
    hint.textContent = classes.length ? "Press a class’s number to give it or take it back." : "No classes yet. They belong to the dataset; give the first one a name.";
    goOnLine.hidden = !classes.length;
    fill(list, classes.map((one, at) => button(one, at)));
    if (focused) list.querySelector(`[data-class="${focused}"]`)?.focus();
    note.textContent = given.length ? [...new Set(given.map((one) => one.imageClass.name))].join(", ") : "";
    const foreign = given.filter((one) => !one.isMine);
    others.hidden = !foreign.length;
    others.textContent = foreign.map((one) => `${one.imageClass.name}: ${one.createdBy}, ${ago(one.createdAt)}`).join("; ");
  }

  function button(one, at) {
    const there = given.filter((classification) => classification.imageClass.id === one.id);
    const key = at < 9 ? String(at + 1) : null;
    return make("button", {
      type: "button",
      class: "class-key",
      title: one.description ?? "",
      dataset: { class: one.id },
      "aria-pressed": there.length > 0,
      "aria-keyshortcuts": key,
      onclick: () => toggle(one, false),
    }, key && make("kbd", { "aria-hidden": "true" }, key), make("span", {}, one.name));
  }

  /** One after the other: two quick presses give and take, and never give twice. */
  function toggle(one, byKey) {
    busy = busy.then(() => reportFailure(change(one, byKey)));
    return busy;
  }

  async function change(one, byKey) {
    const there = given.filter((classification) => classification.imageClass.id === one.id);
    const mine = there.filter((classification) => classification.isMine);
    if (!there.length) await ask(CLASSIFY, { input: { imageId: image.id, classId: one.id } });
    else if (mine.length) await Promise.all(mine.map(({ id }) => ask(DECLASSIFY, { id })));
    else return notify(`${one.name} was given by ${there[0].createdBy}, who alone can take it back.`);
    const answer = await ask(CLASSIFICATIONS, { id: image.id });
    given = answer.image?.classifications.nodes ?? [];
    render();
    say(there.length ? `${one.name} taken back` : `Classified as ${one.name}`);
    if (!there.length && byKey && goOn.checked) onNext();
  }

  async function create() {
    const known = classes.find((one) => one.name === name.value.trim());
    if (known) return notify(`There is a class ${known.name} already.`);
    const { createImageClass } = await ask(CREATE_CLASS, { input: { datasetId: image.dataset.id, name: name.value } });
    classes.push(createImageClass);
    name.value = "";
    render();
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether it was a class's key */
  function press(event) {
    const one = /^[1-9]$/.test(event.key) ? classes[Number(event.key) - 1] : null;
    if (one && may("annotate")) toggle(one, true);
    return Boolean(one);
  }

  render();
  return { element: [hint, without, list, others, goOnLine, form], note, press };
}
