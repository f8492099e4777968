/** A grid of tiles of which only those in view exist; arrow keys move among them. */

import { make } from "./element.js";

const MORE = 2; // rows above and below what is seen
const TALLEST = 30_000_000; // CSS pixels; browsers end an element's height a little beyond
const FAST = 3; // CSS pixels a ms; while it scrolls faster, pictures wait
const SETTLED = 120; // ms

/**
 * @typedef {object} Items a list of known length, of which not all need to be there
 * @property {number} total
 * @property {(place: number) => any} at undefined where it is not there
 * @property {(first: number, last: number) => void} want says what is looked at
 */

export class VirtualGrid {
  /** @type {Items} */
  #items = { total: 0, at: () => undefined, want: () => {} };
  /** By their places. @type {Map<number, {item: any, element: HTMLElement}>} */
  #made = new Map();
  #current = 0;
  #frame = 0;
  #settle = 0;
  #before = { top: 0, time: 0 };

  /**
   * @param {object} options
   * @param {(item: any) => HTMLElement} options.tile makes an item's tile, which can take the focus;
   *   an `img` in it with `data-src` is loaded once it is not only passed by
   * @param {number} options.width least CSS pixels of a tile
   * @param {number} options.height CSS pixels of a tile
   * @param {number} options.gap CSS pixels between tiles
   * @param {HTMLElement} options.scroller what scrolls
   * @param {string} options.label for screen readers
   */
  constructor({ tile, width, height, gap, scroller, label }) {
    Object.assign(this, { tile, width, height, gap, scroller });
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

  /** Shows a list as it is now; what has not changed stays as it is. @param {Items} items */
  show(items) {
    this.#items = items;
    this.onScroll();
  }

  /** Makes one item's tile anew. @param {any} item */
  refresh(item) {
    for (const made of this.#made.values()) if (made.item === item) made.item = null;
    this.onScroll();
  }

  /** Scrolls to where somebody was before. @param {number} top CSS pixels */
  goTo(top) {
    this.#draw(); // so that it is as high as its list is long
    this.scroller.scrollTop = top;
    this.#draw();
  }

  /** Whether an item has a tile at this moment. */
  shows(item) {
    return [...this.#made.values()].some((made) => made.item === item);
  }

  leave() {
    this.scroller.removeEventListener("scroll", this.onScroll);
    this.observer.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#settle);
  }

  get #step() {
    return this.height + this.gap;
  }

  /** How far the scroller's top is below the grid's, CSS pixels. */
  get #above() {
    return this.scroller.getBoundingClientRect().top - this.element.getBoundingClientRect().top;
  }

  #draw() {
    this.#frame = 0;
    const { total } = this.#items;
    const wide = this.element.clientWidth;
    if (!wide) return;
    this.columns = Math.max(1, Math.floor((wide + this.gap) / (this.width + this.gap)));
    const rows = Math.ceil(total / this.columns);
    this.element.style.setProperty("height", `${Math.min(TALLEST, Math.max(0, rows * this.#step - this.gap))}px`);
    const above = this.#above;
    const first = Math.max(0, Math.floor(above / this.#step) - MORE) * this.columns;
    const last = Math.min(total, (Math.ceil((above + this.scroller.clientHeight) / this.#step) + MORE) * this.columns);
    for (const [place, { element }] of this.#made) {
      // What has the focus stays, or the keyboard would lose its place.
      if ((place >= first && place < last) || (place < total && element.contains(document.activeElement))) continue;
      element.remove();
      this.#made.delete(place);
    }
    const tileWidth = (wide - this.gap * (this.columns - 1)) / this.columns;
    for (let place = first; place < last; place += 1) this.#place(place, tileWidth);
    this.#loadPictures();
    if (last > first) this.#items.want(first, last);
  }

  #place(place, tileWidth) {
    const item = this.#items.at(place);
    let made = this.#made.get(place);
    if (!made || made.item !== item) {
      const focused = made?.element.contains(document.activeElement);
      made?.element.remove();
      const tile = item === undefined ? make("div", { class: "tile pending", "aria-busy": "true" }) : this.tile(item);
      made = { item, element: make("div", { class: "virtual-tile", role: "listitem", "aria-posinset": place + 1 }, tile) };
      this.#made.set(place, made);
      this.element.append(made.element);
      if (focused) focus(made.element);
    }
    const { element } = made;
    element.setAttribute("aria-setsize", String(this.#items.total));
    const [row, column] = [Math.floor(place / this.columns), place % this.columns];
    element.style.setProperty("width", `${tileWidth}px`);
    element.style.setProperty("height", `${this.height}px`);
    element.style.setProperty("transform", `translate(${column * (tileWidth + this.gap)}px, ${row * this.#step}px)`);
  }

  /** Of what is only passed by, no picture is asked for. */
  #loadPictures() {
    const now = performance.now();
    const { scrollTop } = this.scroller;
    const speed = Math.abs(scrollTop - this.#before.top) / Math.max(1, now - this.#before.time);
    this.#before = { top: scrollTop, time: now };
    clearTimeout(this.#settle);
    if (speed > FAST) {
      this.#settle = setTimeout(() => this.#loadPictures(), SETTLED);
      return;
    }
    for (const picture of this.element.querySelectorAll("img[data-src]")) {
      picture.src = picture.dataset.src;
      picture.removeAttribute("data-src");
    }
  }

  #key(event) {
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const to = Math.min(this.#items.total - 1, Math.max(0, this.#current + moves[event.key]));
    this.#current = to;
    const above = this.#above;
    const top = Math.floor(to / this.columns) * this.#step;
    if (top < above) this.scroller.scrollTop -= above - top;
    else if (top + this.height > above + this.scroller.clientHeight) this.scroller.scrollTop += top + this.height - above - this.scroller.clientHeight;
    this.#draw();
    focus(this.#made.get(to)?.element);
  }
}

/** A tile that is still being read takes the focus itself, and hands it on when it is there. */
function focus(element) {
  const inside = element?.querySelector("a, button") ?? element;
  if (inside === element) element?.setAttribute("tabindex", "-1");
  inside?.focus({ preventScroll: true });
}
