/** Keeps the scene of an image as the server has it: reads what events tell of, once for many. */

import { ask } from "../server/graphql.js";
import { ANALYSIS_ANNOTATIONS, FOLLOW, IMAGE, OLDER_ANALYSES, ONE_ANALYSIS } from "../server/documents.js";
import { Following } from "../server/following.js";
import { notify, say } from "./announcer.js";
import { make } from "./element.js";
import { analysisName, liveText, plain } from "./wording.js";

const PAUSE = 120; // ms in which events of one analysis become one reading
const ENDED = new Set(["COMPLETED", "FAILED", "CANCELLED"]);

/** In the order in which they get their colours. */
const oldestFirst = (image) => [...image.analyses.nodes].reverse();

export class LiveImage {
  #due = new Map();
  #stopped = false;
  #after = null;

  /**
   * @param {import("../drawing/scene.js").Scene} scene
   * @param {any} image with its analyses
   * @param {string} cursor read with the image
   */
  constructor(scene, image, cursor) {
    this.scene = scene;
    this.imageId = image.id;
    this.badge = make("span", { class: "live", role: "status" });
    for (const analysis of oldestFirst(image)) this.#take(analysis);
    this.#after = image.analyses.pageInfo.endCursor;
    this.#count(image.analyses);
    this.following = new Following(FOLLOW, { after: cursor, imageId: image.id }, {
      onEvent: (event) => this.#told(event),
      onResync: () => this.#readAnew(),
      onState: (state) => {
        this.badge.className = `live ${state === "live" ? "on" : state}`;
        this.badge.textContent = liveText(state);
      },
    });
  }

  stop() {
    this.#stopped = true;
    this.following.stop();
    this.#due.forEach((timer) => clearTimeout(timer));
  }

  /** Reads the next older analyses; what they found is read once they are shown. */
  async readOlder() {
    const { image } = await ask(OLDER_ANALYSES, { id: this.imageId, after: this.#after });
    if (!image || this.#stopped) return;
    for (const { annotations, ...analysis } of oldestFirst(image)) {
      if (this.scene.layers.some((layer) => layer.id === analysis.id)) continue;
      const layer = this.scene.put(analysis);
      Object.assign(layer, { visible: false, read: false, total: annotations.totalCount });
    }
    this.#after = image.analyses.pageInfo.endCursor ?? this.#after;
    this.#count(image.analyses);
    this.scene.changed();
  }

  /** Shows or hides an analysis; what it found is read with the first showing. */
  async show(layer, visible) {
    layer.visible = visible;
    layer.chosen = true;
    this.scene.changed();
    if (!visible || layer.read) return;
    layer.read = true;
    const { analysis } = await ask(ONE_ANALYSIS, { id: layer.id });
    if (analysis && !this.#stopped) this.#take(analysis);
  }

  /** Reads one analysis that may be among the older ones. */
  async bring(id) {
    if (this.scene.layers.some((layer) => layer.id === id)) return;
    const { analysis } = await ask(ONE_ANALYSIS, { id });
    if (analysis?.image.id === this.imageId) this.#take(analysis);
  }

  #count({ totalCount, pageInfo }) {
    this.scene.older = pageInfo.hasNextPage ? Math.max(0, totalCount - this.scene.layers.length) : 0;
  }

  #told(event) {
    if (event.kind === "ARTIFACT_STORED") say(`A file was stored: ${event.artifactName}`);
    const layer = this.scene.layers.find((one) => one.id === event.analysisId);
    if (event.kind === "PROGRESS" && layer) {
      layer.text = event.text;
      this.scene.changed();
      return;
    }
    if (layer && event.status) {
      // The status is shown at once; what was found follows with the reading.
      layer.analysis = { ...layer.analysis, status: event.analysis?.status ?? event.status };
      this.scene.changed();
    }
    if (event.analysis && ENDED.has(event.kind)) say(`${analysisName(event.analysis)}: ${plain(event.kind)}`);
    this.#readSoon(event.analysisId);
  }

  #readSoon(id) {
    if (this.#due.has(id)) return;
    this.#due.set(id, setTimeout(async () => {
      this.#due.delete(id);
      try {
        const { analysis } = await ask(ONE_ANALYSIS, { id });
        if (analysis && !this.#stopped) this.#take(analysis);
      } catch (error) {
        notify(error.message, "error");
      }
    }, PAUSE));
  }

  async #readAnew() {
    const { image, eventCursor } = await ask(IMAGE, { id: this.imageId });
    for (const analysis of image ? oldestFirst(image) : []) this.#take(analysis);
    return eventCursor;
  }

  #take({ annotations, ...analysis }) {
    const { scene } = this;
    const layer = scene.put(analysis);
    if (ENDED.has(analysis.status)) layer.text = null;
    const here = layer.findings.length;
    if (layer.cursor && here >= annotations.nodes.length && here <= annotations.totalCount) {
      // Annotations are only ever added: what is here stays, and what came since follows it.
      if (here < annotations.totalCount) this.#readRest(layer, layer.cursor);
    } else {
      scene.found(layer, annotations.nodes, annotations.totalCount);
      layer.cursor = annotations.pageInfo.endCursor;
      if (annotations.pageInfo.hasNextPage) this.#readRest(layer, layer.cursor);
    }
    scene.changed();
  }

  async #readRest(layer, cursor) {
    const turn = {};
    layer.reading = turn; // an older reading of the same layer gives way
    try {
      for (let after = cursor; after; ) {
        const { analysis } = await ask(ANALYSIS_ANNOTATIONS, { id: layer.id, after });
        if (this.#stopped || layer.reading !== turn || !analysis) return;
        this.scene.more(layer, analysis.annotations.nodes, analysis.annotations.totalCount);
        layer.cursor = analysis.annotations.pageInfo.endCursor ?? layer.cursor;
        this.scene.changed();
        after = analysis.annotations.pageInfo.hasNextPage ? layer.cursor : null;
      }
    } catch (error) {
      notify(error.message, "error");
    }
  }
}
