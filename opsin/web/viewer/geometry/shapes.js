/** What an annotation's `data` draws, in pixels of its image; the same reading as the exports'. */

import { boxAndArea, readCounts } from "./run_lengths.js";

/** @typedef {[number, number]} Point */
/** @typedef {[number, number, number, number]} Box x, y, width, height in pixels */
/** @typedef {{name: string, x: number, y: number, visibility: number}} Keypoint visibility as COCO's: 0 absent, 1 hidden, 2 seen */
/** @typedef {{counts: number[], rows: number, columns: number, area: number}} Mask */
/**
 * @typedef {object} Shape
 * @property {Box} box
 * @property {Point[][]} [polygons]
 * @property {Mask} [mask]
 * @property {Keypoint[]} [keypoints]
 * @property {[number, number][]} [skeleton] pairs of numbers of keypoints, from 0
 */

/**
 * The geometry in an annotation's `data` for an image of this size; null where there is none.
 * Numbers are pixels unless `normalized` or `format` says that they are parts of the sides, or
 * `image_width` and `image_height` tell of which size they are the pixels.
 * @param {any} data
 * @param {number} width
 * @param {number} height
 * @returns {Shape | null}
 */
export function readShape(data, width, height) {
  try {
    return read(data, width, height);
  } catch {
    return null; // whatever a pipeline sent is stored as it is; only what can be drawn is drawn
  }
}

function read(data, width, height) {
  const scale = readScale(data, width, height);
  const box = readBox(data, scale);
  const mask = readMask(data, width, height);
  const polygons = (mask ? [] : readPolygons(data)).map((polygon) => polygon.map((point) => scaled(point, scale)));
  // A point may stand for itself, but an outline has points only where it says so.
  const keypoints = (mask || polygons.length) && !("keypoints" in data) ? [] : readKeypoints(data, scale);
  const points = keypoints.length ? { keypoints, skeleton: readSkeleton(data, keypoints) } : {};
  if (mask) return { box: box ?? boxAndArea(mask.counts, mask.rows).box, mask, ...points };
  if (polygons.length) return { box: box ?? extent(polygons.flat()), polygons, ...points };
  if (keypoints.length) {
    const seen = keypoints.filter((point) => point.visibility).map(({ x, y }) => [x, y]);
    const around = box ?? (seen.length ? extent(seen) : [0, 0, 0, 0]);
    return { box: around, ...points };
  }
  return box && { box };
}

/** @returns {Point} what numbers are multiplied by to be pixels */
function readScale(data, width, height) {
  if (data.normalized === true || readFormat(data).normalized) return [width, height];
  if ("image_width" in data && "image_height" in data) {
    return [width / number(data.image_width), height / number(data.image_height)];
  }
  return [1, 1];
}

function readFormat(data) {
  const name = typeof data.format === "string" ? data.format.toLowerCase() : "";
  for (const ending of ["_normalized", "n"]) {
    const plain = name.endsWith(ending) ? name.slice(0, -ending.length) : "";
    if (Object.hasOwn(BOXES, plain)) return { name: plain, normalized: true };
  }
  return { name, normalized: false };
}

/** @type {Record<string, (a: number, b: number, c: number, d: number) => Box>} */
const BOXES = {
  xywh: (x, y, width, height) => [x, y, width, height],
  xyxy: (left, top, right, bottom) => [left, top, right - left, bottom - top],
  cxcywh: (x, y, width, height) => [x - width / 2, y - height / 2, width, height],
};
const FORMS = /** @type {const} */ ([
  [["x_min", "y_min", "x_max", "y_max"], "xyxy"],
  [["left", "top", "right", "bottom"], "xyxy"],
  [["x", "y", "width", "height"], "xywh"],
]);

/** @returns {Box | null} */
function readBox(data, [across, down]) {
  let box;
  if ("bbox" in data) {
    const { name } = readFormat(data);
    const read = Object.hasOwn(BOXES, name) ? BOXES[name] : BOXES.xywh;
    if (data.bbox.length !== 4) throw new RangeError("a box has four numbers");
    box = read(...data.bbox.map(number));
  } else {
    const form = FORMS.find(([names]) => names.every((name) => name in data));
    if (!form) return null;
    box = BOXES[form[1]](...form[0].map((name) => number(data[name])));
  }
  const [x, y, width, height] = box;
  if (width < 0 || height < 0) return null;
  return [x * across, y * down, width * across, height * down];
}

/** @returns {Mask | null} */
function readMask(data, width, height) {
  const given = data.rle ?? data.segmentation;
  if (given === null || typeof given !== "object" || !("counts" in given)) return null;
  const [rows, columns] = (given.size ?? [height, width]).map(Math.trunc);
  if (!(rows >= 1 && columns >= 1 && rows * columns <= 1e9)) throw new RangeError("no mask");
  const counts = readCounts(given.counts);
  return { counts, rows, columns, area: boxAndArea(counts, rows).area };
}

/** Pairs, or COCO's flat lists, of one polygon or of several. @returns {Point[][]} */
function readPolygons(data) {
  const name = ["points", "polygon", "polygons", "segmentation"].find((key) => key in data);
  const given = name ? data[name] : null;
  if (!Array.isArray(given) || !given.length) return [];
  if (!Array.isArray(given[0])) return [pairs(given)];
  const several = Array.isArray(given[0][0]) || given[0].length > 2;
  return several ? given.map(pairs) : [pairs(given)];
}

/** @returns {Point[]} three at least */
function pairs(given) {
  const flat = given.flat().map(number);
  if (flat.length < 6 || flat.length % 2) throw new RangeError("a polygon has three points");
  return Array.from({ length: flat.length / 2 }, (_, at) => [flat[2 * at], flat[2 * at + 1]]);
}

/** @returns {Keypoint[]} */
function readKeypoints(data, scale) {
  let given = data.keypoints ?? [];
  if (!given.length && "x" in data && "y" in data && !("width" in data)) given = [data];
  if (!Array.isArray(given)) return [];
  return given.map((point, at) => {
    const list = Array.isArray(point);
    const [x, y] = scaled(list ? point.map(number) : [number(point.x), number(point.y)], scale);
    const seen = list ? 2 : (point.visibility ?? (point.visible === false ? 1 : 2));
    return { name: String((list ? null : point.name) ?? at), x, y, visibility: Math.trunc(seen) };
  });
}

/** Pairs of numbers or of names of keypoints; what names none is left out. */
function readSkeleton(data, keypoints) {
  const names = new Map(keypoints.map((point, at) => [point.name, at]));
  const place = (end) => (typeof end === "number" ? end : names.get(end));
  return (Array.isArray(data.skeleton) ? data.skeleton : [])
    .map((pair) => pair.map(place))
    .filter((pair) => pair.length === 2 && pair.every((end) => end in keypoints));
}

/** @returns {Point} */
const scaled = ([x, y], [across, down]) => [x * across, y * down];

/** @returns {Box} */
function extent(points) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x);
    bottom = Math.max(bottom, y);
  }
  return [left, top, right - left, bottom - top];
}

function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new RangeError("not a number");
  return value;
}
