/** A grid of tiles of which only those in view exist; arrow keys move among them. */

import { make } from "./element.js";

const MORE = 2; // rows above and below what is seen

/** @template Item */
export class VirtualGrid {
  /** @type {Item[]} */
  #items = [];
  /** @type {Map<Item, HTMLElement>} */
  #made = new Map();
  #current = 0;
  #frame = 0;

  /**
   * @param {object} options
   * @param {(item: Item) => HTMLElement} options.tile makes an item's tile, which can take the focus
   * @param {number} options.width least CSS pixels of a tile
   * @param {number} options.height CSS pixels of a tile
   * @param {number} options.gap CSS pixels between tiles
   * @param {HTMLElement} options.scroller what scrolls
   * @param {() => void} options.onEnd told when the end comes near
   * @param {string} options.label for screen readers
   */
  constructor({ tile, width, height, gap, scroller, onEnd, label }) {
    Object.assign(this, { tile, width, height, gap, scroller, onEnd });
    this.element = make("div", { class: "virtual-grid", role: "list", "aria-label": label });
    this.columns = 1;
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("focusin", (event) => {
      this.#current = Number(event.target.closest("[aria-posinset]")?.getAttribute("aria-posinset") ?? 1) - 1;
    });
    this.onScroll = () => { this.#frame ||= requestAnimationFrame(() => this.#draw()); };
    scroller.addEventListener("scroll", this.onScroll, { passive: true });
    this.observer = new ResizeObserver(this.onScroll);
    this.observer.observe(this.element);
  }

  /** @param {Item[]} items @param {boolean} fresh whether tiles that were made before are made anew */
  show(items, fresh = false) {
    this.#items = items;
    if (fresh) this.#forget();
    this.#draw();
  }

  /** Makes one item's tile anew. @param {Item} item */
  refresh(item) {
    this.#made.get(item)?.remove();
    this.#made.delete(item);
    this.#draw();
  }

  leave() {
    this.scroller.removeEventListener("scroll", this.onScroll);
    this.observer.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  #forget() {
    this.#made.forEach((element) => element.remove());
    this.#made.clear();
  }

  #draw() {
    this.#frame = 0;
    const wide = this.element.clientWidth;
    if (!wide) return;
    this.columns = Math.max(1, Math.floor((wide + this.gap) / (this.width + this.gap)));
    const tileWidth = (wide - this.gap * (this.columns - 1)) / this.columns;
    const step = this.height + this.gap;
    const rows = Math.ceil(this.#items.length / this.columns);
    this.element.style.setProperty("height", `${Math.max(0, rows * step - this.gap)}px`);
    const above = this.scroller.getBoundingClientRect().top - this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / step) - MORE);
    const last = Math.min(rows, Math.ceil((above + this.scroller.clientHeight) / step) + MORE);
    const wanted = new Set(this.#items.slice(first * this.columns, last * this.columns));
    for (const [item, element] of this.#made) {
      // What has the focus stays, or the keyboard would lose its place.
      if (wanted.has(item) || element.contains(document.activeElement)) continue;
      element.remove();
      this.#made.delete(item);
    }
    let at = first * this.columns;
    for (const item of wanted) {
      this.#place(item, at, tileWidth, step);
      at += 1;
    }
    if (last >= rows - 4) this.onEnd();
  }

  #place(item, at, tileWidth, step) {
    let element = this.#made.get(item);
    if (!element) {
      element = make("div", { class: "virtual-tile", role: "listitem" }, this.tile(item));
      this.#made.set(item, element);
      this.element.append(element);
    }
    element.setAttribute("aria-posinset", String(at + 1));
    element.setAttribute("aria-setsize", String(this.#items.length));
    const [row, column] = [Math.floor(at / this.columns), at % this.columns];
    element.style.setProperty("width", `${tileWidth}px`);
    element.style.setProperty("height", `${this.height}px`);
    element.style.setProperty("transform", `translate(${column * (tileWidth + this.gap)}px, ${row * step}px)`);
  }

  #key(event) {
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const to = Math.min(this.#items.length - 1, Math.max(0, this.#current + moves[event.key]));
    const item = this.#items[to];
    const step = this.height + this.gap;
    const above = this.scroller.getBoundingClientRect().top - this.element.getBoundingClientRect().top;
    const top = Math.floor(to / this.columns) * step;
    if (top < above) this.scroller.scrollTop -= above - top;
    else if (top + this.height > above + this.scroller.clientHeight) this.scroller.scrollTop += top + this.height - above - this.scroller.clientHeight;
    this.#draw();
    this.#made.get(item)?.querySelector("a, button")?.focus({ preventScroll: true });
  }
}
