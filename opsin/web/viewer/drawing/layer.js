/** What one analysis found, read once: shapes, classes, and what passes the filter. */

import { GridIndex } from "../geometry/grid_index.js";
import { readShape } from "../geometry/shapes.js";

/**
 * @typedef {object} Finding
 * @property {any} annotation as the server has it
 * @property {import("../geometry/shapes.js").Shape | null} shape
 * @property {Layer} layer
 * @property {number} number in its layer, from 0
 */
/** @typedef {{from: number, to: number, hidden: Set<string>}} Filter confidences, and classes to leave out */

const RASTERS = new Set(["heatmap", "segmentation", "mask"]);
const READINGS = new Set(["metric", "caption", "embedding"]);

/** The class of an annotation as filters name it. */
export const classOf = (annotation) => annotation.className ?? "without a class";

export class Layer {
  /** @type {Finding[]} */
  findings = [];
  /** Those that pass the filter and draw something. @type {Finding[]} */
  drawn = [];
  /** Those that pass the filter. @type {Finding[]} */
  passing = [];
  visible = true;
  /** Whether somebody has chosen to show or to hide it. */
  chosen = false;
  /** Whether what it found has been asked for. */
  read = true;
  /** How many there are on the server, of which not all may be here yet. */
  total = 0;
  /** Where the annotations that are here end. @type {string | null} */
  cursor = null;
  /** What its operation has written so far. @type {string | null} */
  text = null;
  /** Whether it measures areas: metrics named `area.metric`, which are read in a table of their own. */
  measures = false;
  #index = null;

  /**
   * @param {any} analysis
   * @param {{width: number, height: number}} image
   * @param {string} color
   */
  constructor(analysis, image, color) {
    this.analysis = analysis;
    this.image = image;
    this.color = color;
  }

  get id() {
    return this.analysis.id;
  }

  /** @param {any[]} annotations to add */
  take(annotations) {
    const { width, height } = this.image;
    for (const annotation of annotations) {
      const shape = readShape(annotation.data, width, height);
      this.findings.push({ annotation, shape, layer: this, number: this.findings.length });
      this.measures ||= annotation.annotationType === "metric" && /^\w+\.\w+$/.test(annotation.data.name);
    }
  }

  clear() {
    this.findings = [];
    this.measures = false;
  }

  /** @param {Filter} filter */
  filter({ from, to, hidden }) {
    this.passing = this.findings.filter(({ annotation }) => {
      if (hidden.size && hidden.has(classOf(annotation))) return false;
      const sure = annotation.confidence;
      return sure === null || (sure >= from && sure <= to);
    });
    this.drawn = this.passing.filter((finding) => finding.shape || isRaster(finding.annotation));
    this.#index = null;
  }

  /** The drawn findings under a place of the picture, the smallest first. @returns {Finding[]} */
  at(x, y, reach) {
    const shaped = this.drawn.filter((finding) => finding.shape);
    this.#index ??= new GridIndex(shaped.map(({ shape }) => shape.box), this.image.width, this.image.height);
    return this.#index.at(x, y, reach).map((number) => shaped[number]);
  }
}

/** Whether it is read rather than seen: its class, if any, is a name and no kind of thing. */
export const isReading = ({ annotation: { annotationType } }) => READINGS.has(annotationType);

/** Whether an annotation's file is drawn over the picture. */
export const isRaster = (annotation) => Boolean(annotation.url) && RASTERS.has(annotation.annotationType);
