/** The picture with its overlay in a window: pointer, wheel, touch and keys move and zoom it. */

import { Viewport } from "../geometry/viewport.js";
import { make } from "../parts/element.js";
import { ownAddress } from "../server/graphql.js";
import { Overlay } from "./overlay.js";
import { ordinaryColor, painting, paintSelected } from "./painter.js";
import { Rasters } from "./rasters.js";

const STEP = 60; // CSS pixels for an arrow key
const CLICK = 4; // CSS pixels that a hand may move while it clicks

/** Stages that share a viewport move together. */
export class Stage {
  /** @type {Map<number, {x: number, y: number}>} */
  #pointers = new Map();
  #moved = 0;
  #pinch = 0;

  /**
   * @param {any} image
   * @param {import("./scene.js").Scene} scene
   * @param {{viewport?: Viewport, layers?: () => import("./layer.js").Layer[],
   *   colorOf?: (finding: any) => string | null, label?: string, onView?: () => void,
   *   onPick?: (found: any[]) => void}} [more] other layers and colours than the scene's; what is told
   */
  constructor(image, scene, more = {}) {
    this.image = image;
    this.scene = scene;
    this.viewport = more.viewport ?? new Viewport(image.width, image.height);
    this.layers = more.layers ?? (() => scene.visibleLayers);
    this.colorOf = more.colorOf;
    this.onView = more.onView ?? (() => this.moved());
    this.onPick = more.onPick ?? (() => {});
    this.rasters = new Rasters(() => this.redraw());
    this.picture = this.#makePicture();
    this.overlay = new Overlay(this.viewport, (context, view) => this.#painting(context, view), () => this.#placePicture());
    this.element = make("div", {
      class: "stage",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "picture viewer",
      "aria-label": more.label ?? `Picture ${image.filename}`,
      "aria-keyshortcuts": "ArrowLeft ArrowRight ArrowUp ArrowDown + - 0 Z",
    }, this.picture, this.overlay.elements);
    this.#listen();
  }

  /** What is shown has changed. */
  redraw() {
    this.overlay.redraw();
  }

  /** Only the view has changed. */
  moved() {
    this.overlay.moved();
  }

  zoom(factor) {
    this.viewport.zoom(factor);
    this.onView();
  }

  fit() {
    this.viewport.fit();
    this.onView();
  }

  /** A pixel of the picture as large as one of the screen. */
  actualSize() {
    this.viewport.zoom(1 / this.viewport.scale / devicePixelRatio);
    this.onView();
  }

  /** @param {any} finding */
  show(finding) {
    if (!finding?.shape) return;
    this.viewport.show(finding.shape.box);
    this.onView();
  }

  leave() {
    this.overlay.leave();
    this.observer.disconnect();
  }

  #makePicture() {
    const { image } = this;
    const picture = make("img", { class: "stage-picture", alt: image.filename, draggable: "false", decoding: "async", fetchpriority: "high" });
    // Boxes are those of the picture as the server displays it.
    if (!image.orientationApplied) picture.style.setProperty("image-orientation", "none");
    picture.style.setProperty("width", `${image.width}px`);
    picture.style.setProperty("height", `${image.height}px`);
    if (image.fileDeleted) return picture; // what was found in it is drawn on an empty ground
    // What a browser cannot show, such as TIFF, it shows as the server's smaller copy.
    picture.addEventListener("error", () => {
      picture.addEventListener("error", () => this.element.append(make("p", { class: "stage-failure", role: "status" }, "This picture cannot be shown. What was found in it is drawn all the same.")), { once: true });
      picture.src = ownAddress(image.preview);
    }, { once: true });
    picture.src = ownAddress(image.url);
    return picture;
  }

  #placePicture() {
    const { scale, left, top } = this.viewport;
    this.picture.style.setProperty("transform", `translate(${left}px, ${top}px) scale(${scale})`);
    this.picture.classList.toggle("pixelated", scale >= 4);
  }

  *#painting(context, view) {
    const { display } = this.scene;
    const colorOf = this.colorOf ?? ordinaryColor(display);
    const layers = this.layers();
    yield* painting(context, view, layers, display, this.rasters, colorOf);
    const { selected } = this.scene;
    if (selected && layers.includes(selected.layer)) {
      paintSelected(context, view, selected, colorOf(selected) ?? selected.layer.color);
    }
  }

  #listen() {
    const { element } = this;
    this.observer = new ResizeObserver(([{ contentRect }]) => {
      this.viewport.resize(contentRect.width, contentRect.height);
      this.onView();
    });
    this.observer.observe(element);
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", (event) => this.#pointers.delete(event.pointerId));
    element.addEventListener("dblclick", (event) => {
      this.viewport.zoom(event.shiftKey ? 0.5 : 2, ...this.#place(event));
      this.onView();
    });
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  #place(event) {
    const { left, top } = this.element.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    // A trackpad's pinch comes as a wheel with Control, in smaller steps.
    const factor = Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0022));
    this.viewport.zoom(factor, ...this.#place(event));
    this.onView();
  }

  #down(event) {
    if (event.button > 1) return;
    this.element.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#pointers.size === 1) this.#moved = 0;
    this.#pinch = 0;
    this.element.classList.add("dragged");
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const [across, down] = [event.clientX - before.x, event.clientY - before.y];
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.#moved += Math.abs(across) + Math.abs(down);
    if (this.#pointers.size === 2) this.#pinched();
    if (this.#moved > CLICK) {
      this.viewport.pan(across / this.#pointers.size, down / this.#pointers.size);
      this.onView();
    }
  }

  #pinched() {
    const [one, other] = this.#pointers.values();
    const apart = Math.hypot(one.x - other.x, one.y - other.y);
    const { left, top } = this.element.getBoundingClientRect();
    const middle = [(one.x + other.x) / 2 - left, (one.y + other.y) / 2 - top];
    if (this.#pinch) this.viewport.zoom(apart / this.#pinch, ...middle);
    this.#pinch = apart;
  }

  #up(event) {
    const known = this.#pointers.delete(event.pointerId);
    if (this.#pointers.size === 0) this.element.classList.remove("dragged");
    if (known && this.#moved <= CLICK) this.onPick(this.#under(event));
  }

  /** The findings under the pointer, the smallest first. */
  #under(event) {
    const [x, y] = this.viewport.toPicture(...this.#place(event));
    const reach = 4 / this.viewport.scale;
    const found = this.layers().flatMap((layer) => layer.at(x, y, reach));
    const area = ({ shape }) => shape.box[2] * shape.box[3];
    return found.sort((a, b) => area(a) - area(b));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    if (event.key in moves) {
      this.viewport.pan(...moves[event.key].map((step) => (event.shiftKey ? step * 5 : step)));
      this.onView();
    } else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.fit();
    else if (event.key === "z" || event.key === "Z") this.actualSize();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
