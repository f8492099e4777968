/** Heatmaps and masks as canvases that can be drawn at any size, made once. */

import { applyColorMap, colorTable } from "../geometry/color_maps.js";
import { boxAndArea, decodeMask } from "../geometry/run_lengths.js";
import { ownAddress } from "../server/graphql.js";

const MOST_PIXELS = 2 ** 22; // of one raster; a larger one is drawn coarser
const KEPT_PIXELS = 2 ** 26; // of all; what has not been used for longest goes first

export class Rasters {
  /** @type {Map<string, any>} */
  #made = new Map();
  #pixels = 0;
  /** @type {Map<string, Promise<ImageBitmap>>} */
  #files = new Map();

  /** @param {() => void} onReady told when something that was asked for can be drawn */
  constructor(onReady) {
    this.onReady = onReady;
  }

  /** A heatmap in the colours of a map; null until it is there. @param {any} annotation */
  heatmap(annotation, colorMap) {
    return this.#file(annotation, `heat ${colorMap}`, (pixels) => applyColorMap(pixels, colorTable(colorMap), true));
  }

  /** A mask from a file: what is bright is inside. @param {any} annotation */
  maskFile(annotation, color) {
    return this.#file(annotation, `mask ${color}`, (pixels) => {
      const [red, green, blue] = readColor(color);
      for (let at = 0; at < pixels.length; at += 4) {
        const inside = Math.max(pixels[at], pixels[at + 1], pixels[at + 2]);
        pixels.set([red, green, blue, (pixels[at + 3] * inside) / 255], at);
      }
    });
  }

  /**
   * A mask from run lengths, as large as what is inside.
   * @param {string} id
   * @param {import("../geometry/shapes.js").Mask} mask
   * @returns {{canvas: HTMLCanvasElement, box: number[]} | null} the box in pixels of the mask
   */
  mask(id, mask, color) {
    return this.#keep(`${id} ${color}`, () => {
      const { counts, rows, columns } = mask;
      const [left, top, wide, high] = boxAndArea(counts, rows).box;
      const box = [left, top, Math.min(wide, columns - left), Math.min(high, rows - top)];
      if (!(box[2] > 0 && box[3] > 0)) return null;
      const step = Math.max(1, Math.ceil(Math.sqrt((box[2] * box[3]) / MOST_PIXELS)));
      const inside = decodeMask(counts, rows, columns, box, step);
      const canvas = blank(Math.ceil(box[2] / step), Math.ceil(box[3] / step));
      const context = canvas.getContext("2d");
      const data = context.createImageData(canvas.width, canvas.height);
      const [red, green, blue] = readColor(color);
      const words = new Uint32Array(data.data.buffer);
      const ink = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // as bytes lie in memory
      for (let at = 0; at < inside.length; at += 1) if (inside[at]) words[at] = ink;
      context.putImageData(data, 0, 0);
      return { canvas, box };
    });
  }

  #keep(key, produce) {
    const known = this.#made.get(key);
    if (known !== undefined) {
      this.#made.delete(key); // to the end: it was used just now
      this.#made.set(key, known);
      return known;
    }
    const made = produce();
    this.#store(key, made);
    return made;
  }

  #store(key, made) {
    this.#made.set(key, made);
    this.#pixels += area(made);
    for (const [oldest, canvas] of this.#made) {
      if (this.#pixels <= KEPT_PIXELS || oldest === key) break;
      this.#pixels -= area(canvas);
      this.#made.delete(oldest);
    }
  }

  #file(annotation, kind, paint) {
    // The address is signed anew each time; the annotation's file stays the same.
    const key = `${annotation.id} ${kind}`;
    return this.#keep(key, () => {
      this.#load(annotation)
        .then((bitmap) => {
          const shrunk = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
          const canvas = blank(Math.ceil(bitmap.width * shrunk), Math.ceil(bitmap.height * shrunk));
          const context = canvas.getContext("2d", { willReadFrequently: true });
          context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
          const data = context.getImageData(0, 0, canvas.width, canvas.height);
          paint(data.data);
          context.putImageData(data, 0, 0);
          this.#store(key, canvas);
          this.onReady();
        })
        .catch(() => {}); // a file that is no picture is still listed among the artifacts
      return null;
    });
  }

  #load(annotation) {
    const known = this.#files.get(annotation.id);
    if (known) return known;
    const loading = fetch(ownAddress(annotation.url)).then(async (response) => {
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      return createImageBitmap(await response.blob());
    });
    this.#files.set(annotation.id, loading);
    return loading;
  }
}

const area = (made) => (made ? (made.canvas ?? made).width * (made.canvas ?? made).height : 0);

function blank(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** Red, green and blue of any CSS colour. */
function readColor(color) {
  const context = blank(1, 1).getContext("2d", { willReadFrequently: true });
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
}
