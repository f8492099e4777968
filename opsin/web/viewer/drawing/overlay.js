/** Two canvases over a picture: one is seen, while on the other the next state is painted in steps. */

import { make } from "../parts/element.js";

const MARGIN = 256; // CSS pixels painted beyond the window, as in the style sheet: most panning only shifts
const SETTLED = 160; // ms without a move, after which the margin is painted anew
const BUDGET = 2; // ms of painting in a frame; the browser's own part of it takes several times as long
const MOST_STEPS = 8; // the painter's in a frame, however quickly they are told

/** @typedef {import("../geometry/viewport.js").Viewport} Viewport */

export class Overlay {
  #frame = 0;
  #settle = 0;
  #dirty = true;
  /** The painting that is going on, and the view it is for. @type {{steps: Iterator<void>, view: Viewport} | null} */
  #painting = null;
  /** The view that is seen was painted for. @type {Viewport | null} */
  #painted = null;

  /**
   * @param {Viewport} viewport
   * @param {(context: CanvasRenderingContext2D, view: Viewport) => Iterator<void>} paint
   * @param {() => void} onFrame told in each frame in which the view may have changed
   */
  constructor(viewport, paint, onFrame) {
    Object.assign(this, { viewport, paint, onFrame });
    const canvas = (name) => make("canvas", { class: name, "aria-hidden": "true" });
    [this.seen, this.next] = [canvas("stage-overlay"), canvas("stage-overlay next")];
  }

  get elements() {
    return [this.seen, this.next];
  }

  /** What is shown has changed: painted once, however often it is asked for. */
  redraw() {
    this.#dirty = true;
    this.moved();
  }

  /** Only the view has changed. */
  moved() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  leave() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#settle);
    this.#painting = null;
  }

  #draw() {
    this.#frame = 0;
    this.onFrame();
    // What is being painted is brought to its end first, so that something new is seen again and
    // again however fast changes come.
    if (!this.#painting && this.#isStale()) this.#begin();
    if (this.#painting) this.#goOn();
    this.#place();
    if (this.#painting || this.#isStale()) this.moved();
  }

  #isStale() {
    const { viewport } = this;
    const before = this.#painted;
    if (this.#dirty || !before) return true;
    if (before.scale !== viewport.scale || before.width !== viewport.width + 2 * MARGIN || before.height !== viewport.height + 2 * MARGIN) return true;
    const [across, down] = [viewport.left + MARGIN - before.left, viewport.top + MARGIN - before.top];
    clearTimeout(this.#settle);
    if (across || down) this.#settle = setTimeout(() => this.redraw(), SETTLED);
    return Math.abs(across) >= MARGIN || Math.abs(down) >= MARGIN;
  }

  #begin() {
    this.#dirty = false;
    const view = this.viewport.widened(MARGIN);
    const canvas = this.next;
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    canvas.style.setProperty("width", `${view.width}px`);
    canvas.style.setProperty("height", `${view.height}px`);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#painting = { steps: this.paint(context, view), view };
  }

  #goOn() {
    const { steps, view } = this.#painting;
    const end = performance.now() + BUDGET;
    for (let made = 1; !steps.next().done; made += 1) {
      if (made === MOST_STEPS || performance.now() > end) return;
    }
    this.#painting = null;
    this.#painted = view;
    [this.seen, this.next] = [this.next, this.seen];
    this.seen.classList.remove("next");
    this.next.classList.add("next");
  }

  /** Brings what was painted for another view to where it belongs now. */
  #place() {
    const before = this.#painted;
    if (!before) return;
    const { scale, left, top } = this.viewport;
    const ratio = scale / before.scale;
    const [x, y] = [left + MARGIN - ratio * before.left, top + MARGIN - ratio * before.top];
    this.seen.style.setProperty("transform", `translate(${x}px, ${y}px) scale(${ratio})`);
  }
}
