/** What the image page shows at this moment: layers, filter, display and selection. */

import { analysisColor } from "../geometry/color_maps.js";
import { Layer, classOf, isReading } from "./layer.js";

/**
 * @typedef {object} Display
 * @property {"analysis" | "class"} colorBy
 * @property {number} opacity of fills, 0 to 1
 * @property {number} heatOpacity 0 to 1
 * @property {string} colorMap
 * @property {boolean} labels
 */

const PAUSE = 120; // ms between two tellings to what is read and not watched

/**
 * Tells of changes by an event "change" at most once a frame, for what follows a hand; by "settle"
 * less often, for lists and words; and of a selection by "select".
 */
export class Scene extends EventTarget {
  /** Oldest first. @type {Layer[]} */
  layers = [];
  /** How many analyses there are on the server that are not here. */
  older = 0;
  /** @type {import("./layer.js").Filter} */
  filter = { from: 0, to: 1, hidden: new Set() };
  /** @type {Display} */
  display = { colorBy: "class", opacity: 0.18, heatOpacity: 0.6, colorMap: "inferno", labels: true };
  /** @type {import("./layer.js").Finding | null} */
  selected = null;
  #telling = 0;
  #settling = 0;
  #told = -Infinity;

  /** @param {{width: number, height: number}} image */
  constructor(image) {
    super();
    this.image = image;
  }

  /** Adds an analysis where it belongs by its age, or takes it as it is now; gives its layer. */
  put(analysis) {
    let layer = this.layers.find((one) => one.id === analysis.id);
    if (!layer) {
      layer = new Layer(analysis, this.image, analysisColor(this.layers.length));
      const later = this.layers.findIndex((one) => one.id > analysis.id); // ids are in the order of time
      this.layers.splice(later < 0 ? this.layers.length : later, 0, layer);
    }
    layer.analysis = analysis;
    return layer;
  }

  /** Replaces what a layer found. @param {Layer} layer @param {any[]} annotations @param {number} total */
  found(layer, annotations, total) {
    if (this.selected?.layer === layer) this.selected = null;
    layer.clear();
    this.more(layer, annotations, total);
  }

  more(layer, annotations, total) {
    const before = layer.measures;
    layer.take(annotations);
    if (!before) this.#showOne(layer);
    layer.total = total;
    layer.filter(this.filter);
  }

  /** The places of several measures over each other show none of them: at first, one of a run's is shown. */
  #showOne(layer) {
    const together = this.layers.filter((one) => one === layer || (one.analysis.run && one.analysis.run.id === layer.analysis.run?.id));
    const [first] = together.filter((one) => one.measures);
    if (!first) return;
    for (const one of together) if (one !== first && !one.chosen) one.visible = false;
  }

  /** Applies what was changed in `filter`. */
  refilter() {
    for (const layer of this.layers) layer.filter(this.filter);
    if (this.selected && !this.selected.layer.drawn.includes(this.selected)) this.selected = null;
    this.changed();
  }

  /** Tells of it before the next frame, once for all that changes till then. */
  changed() {
    this.#telling ||= requestAnimationFrame(() => {
      this.#telling = 0;
      this.dispatchEvent(new Event("change"));
      const wait = PAUSE - (performance.now() - this.#told);
      this.#settling ||= setTimeout(() => {
        this.#settling = 0;
        this.dispatchEvent(new Event("settle"));
        this.#told = performance.now();
      }, Math.max(0, wait));
    });
  }

  /** @param {import("./layer.js").Finding | null} finding */
  select(finding) {
    this.selected = finding;
    this.dispatchEvent(new Event("select"));
  }

  get visibleLayers() {
    return this.layers.filter((layer) => layer.visible);
  }

  /** What is listed: of the visible layers, what is drawn. @returns {import("./layer.js").Finding[]} */
  get listed() {
    return this.visibleLayers.flatMap((layer) => layer.drawn);
  }

  /** How many findings of each class the visible layers have. @returns {Map<string, number>} */
  classes() {
    const counts = new Map();
    for (const layer of this.visibleLayers) {
      for (const finding of layer.findings) {
        if (isReading(finding)) continue;
        const name = classOf(finding.annotation);
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
    return new Map([...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)));
  }
}
