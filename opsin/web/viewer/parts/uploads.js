/** Uploads: files chosen or dropped, a few at a time, each with its progress. */

import { UPLOAD } from "../server/documents.js";
import { upload } from "../server/graphql.js";
import { may } from "../server/permissions.js";
import { say } from "./announcer.js";
import { fill, iconButton, make } from "./element.js";
import { bytes, counted } from "./wording.js";

const AT_ONCE = 3;
const LISTED = 60; // lines; the line above them counts all

export class Uploads {
  #waiting = [];
  #running = 0;
  #done = 0;
  #failed = 0;
  #cancel = new AbortController();

  /**
   * @param {string} datasetId
   * @param {(image: any) => void} onStored told of each image
   * @param {Record<string, string>} [more] what else the server is told of each, such as its subject
   */
  constructor(datasetId, onStored, more = {}) {
    this.input = { datasetId, ...more };
    this.onStored = onStored;
    this.summary = make("strong", {});
    this.bar = make("progress", { max: 1, value: 0, "aria-label": "All uploads" });
    this.lines = make("ul", { class: "upload-lines" });
    this.element = make("section", { class: "uploads", "aria-label": "Uploads", hidden: true },
      make("header", {}, this.summary, iconButton("close", "Close, and cancel what is not sent", () => this.stop())),
      this.bar, this.lines);
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) this.#waiting.push(this.#line(file));
    this.element.hidden = false;
    this.#next();
  }

  stop() {
    this.#cancel.abort();
    this.#cancel = new AbortController();
    this.#waiting = [];
    [this.#done, this.#failed] = [0, 0];
    fill(this.lines);
    this.element.hidden = true;
  }

  get all() {
    return this.#done + this.#failed + this.#running + this.#waiting.length;
  }

  #line(file) {
    const progress = make("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
    const state = make("span", { class: "muted number" }, bytes(file.size));
    const element = make("li", {}, make("span", { class: "upload-name", title: file.name }, file.name), state, progress);
    if (this.lines.children.length < LISTED) this.lines.append(element);
    return { file, progress, state, element };
  }

  #next() {
    while (this.#running < AT_ONCE && this.#waiting.length) this.#send(this.#waiting.shift());
    this.#tell();
  }

  async #send({ file, progress, state, element }) {
    const { signal } = this.#cancel;
    this.#running += 1;
    try {
      const data = await upload(UPLOAD, this.input, file, (share) => { progress.value = share; }, signal);
      progress.value = 1;
      element.remove();
      if (!signal.aborted) this.#done += 1;
      this.onStored(data.uploadImage);
    } catch (error) {
      if (!signal.aborted) this.#failed += 1;
      element.classList.add("failed");
      state.textContent = error.message;
    } finally {
      this.#running -= 1;
      this.#next();
    }
  }

  #tell() {
    const { all } = this;
    const failed = this.#failed ? `, ${this.#failed} failed` : "";
    this.bar.value = all ? (this.#done + this.#failed) / all : 0;
    this.summary.textContent = `${this.#done} of ${counted(all, "file")} stored${failed}`;
    if (all && !this.#running && !this.#waiting.length) {
      say(this.summary.textContent);
      if (!this.#failed) setTimeout(() => { if (this.all && !this.#running) this.stop(); }, 2500);
    }
  }
}

/** Lets an element take dropped files. @param {HTMLElement} element @param {(files: FileList) => void} onFiles */
export function acceptDrops(element, onFiles) {
  let depth = 0; // children tell of entering and leaving too
  const mark = (change) => {
    depth = change === 0 ? 0 : depth + change;
    element.classList.toggle("drop-target", depth > 0);
  };
  const files = (event) => may("upload") && event.dataTransfer?.types.includes("Files");
  element.addEventListener("dragenter", (event) => { if (files(event)) { event.preventDefault(); mark(1); } });
  element.addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
  element.addEventListener("dragleave", (event) => { if (files(event)) mark(-1); });
  element.addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    mark(0);
    onFiles(event.dataTransfer.files);
  });
}
