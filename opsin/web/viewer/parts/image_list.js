/** A dataset's images as a list of known length, of which pages are read where they are looked at. */

import { ask } from "../server/graphql.js";
import { FIRST_IMAGES, IMAGES, SKIP_IMAGES } from "../server/documents.js";

const PAGE = 200; // images
const SKIPS = [25, 5]; // pages that are passed over at once on the way to a far place
const KEPT = 40; // pages; those far from what is seen are read again when they are needed

/** Tells of every change by an event "change", of what could not be read by "failed" with `detail`. */
export class ImageList extends EventTarget {
  total = 0;
  /** What the server filters by, besides the dataset. */
  filter = {};
  /** @type {"CREATED_ASC" | "CREATED_DESC"} */
  order = "CREATED_ASC";
  /** @type {Map<number, any[]>} */
  #pages = new Map();
  /** Pages that are as the server had them since `restart` or `reread`. @type {Set<number>} */
  #fresh = new Set();
  /** Where a page begins; null is the beginning of all. @type {Map<number, string | null>} */
  #cursors = new Map([[0, null]]);
  #wanted = [0, 0];
  #reading = false;
  #turn = 0;

  /** @param {string} datasetId */
  constructor(datasetId) {
    super();
    this.datasetId = datasetId;
  }

  /** The image at a place from 0, or undefined while it has not been read. */
  at(place) {
    return this.#pages.get(Math.floor(place / PAGE))?.[place % PAGE];
  }

  /** Says which places are looked at: what of them is missing is read. */
  want(first, last) {
    this.#wanted = [Math.floor(first / PAGE), Math.floor(Math.max(first, last - 1) / PAGE)];
    this.#read();
  }

  /** Begins anew with another filter of the server and order. @throws {RequestError} */
  async restart(filter, order) {
    Object.assign(this, { filter, order });
    const images = await this.#readFirst();
    if (!images) return;
    this.#pages = new Map([[0, images.nodes]]);
    this.#wanted = [0, 0];
    this.#changed();
  }

  /** Reads what is seen anew; what was read before is shown till then. */
  async reread() {
    const images = await this.#readFirst();
    if (!images) return;
    this.#pages.set(0, images.nodes);
    this.#changed();
    this.#read();
  }

  /** Takes an image as it is now; gives its object, or undefined where it has not been read. */
  replace(image) {
    const known = this.find(image.id);
    return known && Object.assign(known, image);
  }

  find(id) {
    for (const images of this.#pages.values()) {
      const found = images.find((image) => image.id === id);
      if (found) return found;
    }
    return undefined;
  }

  /** An image is no longer as it was read: its page is read again when it is looked at. */
  outdate(id) {
    for (const [page, images] of this.#pages) if (images.some((image) => image.id === id)) this.#fresh.delete(page);
  }

  /** The models and operations of what has been read. @returns {Set<string>} */
  get models() {
    const analyses = [...this.#pages.values()].flat().flatMap((image) => image.analyses.nodes);
    return new Set(analyses.map((one) => one.operation ?? one.modelName));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** The first page with how many there are; null where another turn began meanwhile. */
  async #readFirst() {
    this.#turn += 1;
    const turn = this.#turn;
    const { images } = await ask(FIRST_IMAGES, { first: PAGE, ...this.#asked });
    if (turn !== this.#turn) return null;
    this.total = images.totalCount;
    this.#cursors = new Map([[0, null], [1, images.pageInfo.endCursor]]);
    this.#fresh = new Set([0]);
    return images;
  }

  get #asked() {
    return { filter: { datasetId: this.datasetId, ...this.filter }, order: this.order };
  }

  /** The first page that is looked at and not here. */
  #missing() {
    const end = Math.ceil(this.total / PAGE);
    for (let page = this.#wanted[0]; page <= Math.min(this.#wanted[1], end - 1); page += 1) {
      const size = Math.min(PAGE, this.total - page * PAGE);
      if (!this.#fresh.has(page) || (this.#pages.get(page)?.length ?? 0) < size) return page;
    }
    return null;
  }

  /** One request after the other, each for what is looked at by then. */
  async #read() {
    if (this.#reading) return;
    this.#reading = true;
    try {
      for (let page = this.#missing(); page !== null; page = this.#missing()) await this.#approach(page);
    } catch (error) {
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    } finally {
      this.#reading = false;
    }
  }

  /** Reads a page, or passes over some on the way to it: only where one ends does the next begin. */
  async #approach(page) {
    const turn = this.#turn;
    let known = page;
    while (!this.#cursors.has(known)) known -= 1;
    const after = this.#cursors.get(known);
    const pages = SKIPS.find((size) => page - known >= size) ?? 1;
    const far = pages > 1;
    const { images } = await ask(far ? SKIP_IMAGES : IMAGES, { first: pages * PAGE, after, ...this.#asked });
    if (turn !== this.#turn) return;
    if (images.pageInfo.hasNextPage) this.#cursors.set(known + pages, images.pageInfo.endCursor);
    if (!far) this.#store(known, images.nodes);
    if (!images.pageInfo.hasNextPage) await this.#end(known, far ? null : images.nodes.length);
    this.#changed();
  }

  #store(page, images) {
    this.#pages.set(page, images);
    this.#fresh.add(page);
    if (this.#pages.size <= KEPT) return;
    const distance = (one) => Math.abs(one - this.#wanted[0]);
    const farthest = [...this.#pages.keys()].sort((a, b) => distance(b) - distance(a));
    for (const one of farthest.slice(0, this.#pages.size - KEPT)) this.#pages.delete(one);
  }

  /** The list ends here, whatever was said before: images come and go. */
  async #end(page, length) {
    if (length !== null) {
      this.total = page * PAGE + length;
      return;
    }
    const images = await this.#readFirst();
    if (images) this.#pages.set(0, images.nodes);
  }
}
