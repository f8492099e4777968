/** A dataset's images as far as they have been read, and which of them are wanted. */

import { ask } from "../server/graphql.js";
import { IMAGES } from "../server/documents.js";

export class ImageList {
  /** @type {any[]} */
  images = [];
  complete = false;
  wanted = { text: "", status: "", model: "" };
  /** What the server itself filters by. */
  filter = {};
  #after = null;
  #reading = null;
  #turn = 0;

  /** @param {string} datasetId */
  constructor(datasetId) {
    this.datasetId = datasetId;
  }

  /** Reads the next page; gives false where there is none, or one is being read. */
  async readMore() {
    if (this.complete || this.#reading) return false;
    const turn = this.#turn;
    this.#reading = ask(IMAGES, { after: this.#after, filter: { datasetId: this.datasetId, ...this.filter } });
    try {
      const { images } = await this.#reading;
      if (turn !== this.#turn) return false;
      const known = new Set(this.images.map((image) => image.id));
      this.images.push(...images.nodes.filter((image) => !known.has(image.id)));
      this.#after = images.pageInfo.endCursor;
      this.complete = !images.pageInfo.hasNextPage;
      return true;
    } finally {
      this.#reading = null;
    }
  }

  /** Begins anew with another filter of the server. */
  async restart(filter) {
    this.#turn += 1;
    await this.#reading?.catch(() => {});
    Object.assign(this, { filter, images: [], complete: false });
    this.#after = null;
    await this.readMore();
  }

  /** Adds an image that was stored just now. */
  add(image) {
    if (!this.images.some((one) => one.id === image.id)) this.images.push(image);
  }

  /** Takes an image as it is now; gives its object, or undefined where it has not been read. */
  replace(image) {
    const known = this.images.find((one) => one.id === image.id);
    return known && Object.assign(known, image);
  }

  get filtering() {
    return Object.values(this.wanted).some(Boolean) || Object.keys(this.filter).length > 0;
  }

  get shown() {
    const { text, status, model } = this.wanted;
    return this.images.filter(({ filename, analyses: { nodes } }) => {
      if (text && !filename.toLowerCase().includes(text)) return false;
      if (status === "NONE") return nodes.length === 0;
      if (!status && !model) return true;
      return nodes.some((one) => (!status || one.status === status) && (!model || (one.operation ?? one.modelName) === model));
    });
  }

  /** The operations and models of what has been read. @returns {string[]} */
  models() {
    return [...new Set(this.images.flatMap(({ analyses }) => analyses.nodes.map((one) => one.operation ?? one.modelName)))].sort();
  }
}
