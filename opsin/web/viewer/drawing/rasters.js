/** Heatmaps and masks as canvases that can be drawn at any size, made once. */

import { applyColorMap, colorTable } from "../geometry/color_maps.js";
import { decodeMask } from "../geometry/run_lengths.js";
import { ownAddress } from "../server/graphql.js";

const MOST_PIXELS = 2 ** 24; // of a mask that is drawn; a larger one is drawn coarser
const KEPT = 64; // canvases; what has not been used for longest goes first

export class Rasters {
  /** @type {Map<string, HTMLCanvasElement | null>} */
  #made = new Map();
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

  /** A mask from run lengths. @param {string} id @param {import("../geometry/shapes.js").Mask} mask */
  mask(id, mask, color) {
    const key = `${id} ${color}`;
    return this.#keep(key, () => {
      const { counts, rows, columns } = mask;
      const inside = decodeMask(counts, rows, columns);
      const step = Math.max(1, Math.ceil(Math.sqrt((rows * columns) / MOST_PIXELS)));
      const [width, height] = [Math.ceil(columns / step), Math.ceil(rows / step)];
      const canvas = blank(width, height);
      const context = canvas.getContext("2d");
      const data = context.createImageData(width, height);
      const [red, green, blue] = readColor(color);
      const word = new Uint32Array(data.data.buffer);
      const ink = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // as bytes lie in memory
      for (let row = 0; row < height; row += 1) {
        for (let column = 0; column < width; column += 1) {
          if (inside[row * step * columns + column * step]) word[row * width + column] = ink;
        }
      }
      context.putImageData(data, 0, 0);
      return canvas;
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
    this.#made.set(key, made);
    if (this.#made.size > KEPT) this.#made.delete(this.#made.keys().next().value);
    return made;
  }

  #file(annotation, kind, paint) {
    // The address is signed anew each time; the annotation's file stays the same.
    const key = `${annotation.id} ${kind}`;
    return this.#keep(key, () => {
      this.#load(annotation)
        .then((bitmap) => {
          const canvas = blank(bitmap.width, bitmap.height);
          const context = canvas.getContext("2d", { willReadFrequently: true });
          context.drawImage(bitmap, 0, 0);
          const data = context.getImageData(0, 0, canvas.width, canvas.height);
          paint(data.data);
          context.putImageData(data, 0, 0);
          this.#made.set(key, canvas);
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
