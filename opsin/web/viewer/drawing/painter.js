/** Draws findings on a canvas: thousands of boxes a frame, colour after colour. */

import { classColor } from "../geometry/color_maps.js";
import { paintLabels } from "./labels.js";
import { isRaster } from "./layer.js";

const HALO = "rgb(0 0 0 / 0.55)"; // lets a line be seen on any picture
const HALO_MOST = 1500; // shapes in view; beyond that, halos cost more than they show
const LABELS_MOST = 80; // shapes in view
const SPECK = 3; // CSS pixels; what is smaller is a filled dot
const STEP = 250; // shapes that are painted without a pause
const APART = 0.7; // CSS pixels; points of a polygon that are nearer are one

/** @typedef {import("./layer.js").Finding} Finding */

/**
 * Paints in steps, so that thousands of shapes never hold up the page: whoever runs it goes on, or
 * lets a frame pass, at each `yield`.
 * @param {CanvasRenderingContext2D} context in CSS pixels of the window
 * @param {import("../geometry/viewport.js").Viewport} viewport
 * @param {import("./layer.js").Layer[]} layers
 * @param {import("./scene.js").Display} display
 * @param {import("./rasters.js").Rasters} rasters
 * @param {(finding: Finding) => string | null} [colorOf] another colour; null leaves it out
 */
export function* painting(context, viewport, layers, display, rasters, colorOf = ordinaryColor(display)) {
  context.clearRect(0, 0, viewport.width, viewport.height);
  for (const layer of layers) yield* paintRasters(context, viewport, layer, display, rasters, colorOf);
  const groups = groupByColor(viewport, layers, colorOf);
  yield;
  const inView = [...groups.values()].reduce((sum, group) => sum + group.length, 0);
  if (inView <= HALO_MOST) {
    context.strokeStyle = HALO;
    context.lineWidth = 3.5;
    for (const group of groups.values()) yield* inSteps(group, (part) => outline(context, viewport, part));
  }
  context.lineWidth = inView > HALO_MOST ? 1 : 1.75;
  for (const [color, group] of groups) {
    context.fillStyle = color;
    context.strokeStyle = color;
    // Areas of many boxes hide the picture without telling more than their outlines.
    const boxes = group.length <= HALO_MOST;
    yield* inSteps(group, (part) => fillAreas(context, viewport, part, display.opacity, boxes));
    yield* inSteps(group, (part) => outline(context, viewport, part));
    paintKeypoints(context, viewport, group);
  }
  if (display.labels && inView <= LABELS_MOST) paintLabels(context, viewport, groups);
}

function* inSteps(group, paintPart) {
  for (let at = 0; at < group.length; at += STEP) {
    paintPart(group.slice(at, at + STEP));
    yield;
  }
}

/** Draws one finding above the others. @param {Finding} finding */
export function paintSelected(context, viewport, finding, color) {
  if (!finding.shape) return;
  const group = [finding];
  context.strokeStyle = "rgb(0 0 0 / 0.8)";
  context.lineWidth = 6;
  outline(context, viewport, group, true);
  context.strokeStyle = "#ffffff";
  context.lineWidth = 3.5;
  outline(context, viewport, group, true);
  context.strokeStyle = color;
  context.lineWidth = 1.5;
  outline(context, viewport, group, true);
  paintKeypoints(context, viewport, group);
  paintLabels(context, viewport, new Map([[color, group]]));
}

/** The colour of a finding as the display says. @param {import("./scene.js").Display} display */
export function ordinaryColor(display) {
  if (display.colorBy === "analysis") return (finding) => finding.layer.color;
  const known = new Map();
  return ({ annotation: { className } }) => {
    let color = known.get(className);
    if (!color) known.set(className, (color = classColor(className)));
    return color;
  };
}

/** @returns {Map<string, Finding[]>} what is in view */
function groupByColor(viewport, layers, colorOf) {
  const [left, top, right, bottom] = viewport.seen();
  const groups = new Map();
  for (const layer of layers) {
    for (const finding of layer.drawn) {
      if (!finding.shape) continue;
      const [x, y, width, height] = finding.shape.box;
      if (x > right || y > bottom || x + width < left || y + height < top) continue;
      const color = colorOf(finding);
      if (color === null) continue;
      const group = groups.get(color);
      if (group) group.push(finding);
      else groups.set(color, [finding]);
    }
  }
  return groups;
}

function outline(context, { scale, left, top }, group, always = false) {
  for (const { shape } of group) {
    const { box, polygons, mask, keypoints } = shape;
    if (polygons) {
      tracePolygons(context, polygons, scale, left, top);
      context.stroke();
    }
    if (keypoints) {
      traceSkeleton(context, shape, scale, left, top);
      if (always) context.strokeRect(box[0] * scale + left, box[1] * scale + top, box[2] * scale, box[3] * scale);
    } else if (!polygons && (!mask || always)) {
      const [width, height] = [box[2] * scale, box[3] * scale];
      if (width < SPECK && height < SPECK && !always) {
        context.fillRect(box[0] * scale + left, box[1] * scale + top, SPECK - 1, SPECK - 1);
      } else {
        context.strokeRect(box[0] * scale + left, box[1] * scale + top, width, height);
      }
    }
  }
}

function fillAreas(context, { scale, left, top }, group, opacity, boxes) {
  if (opacity <= 0) return;
  context.globalAlpha = opacity;
  for (const { shape } of group) {
    const { box, polygons, mask, keypoints } = shape;
    if (polygons) {
      tracePolygons(context, polygons, scale, left, top);
      context.fill("evenodd");
    } else if (boxes && !mask && !keypoints) {
      context.fillRect(box[0] * scale + left, box[1] * scale + top, box[2] * scale, box[3] * scale);
    }
  }
  context.globalAlpha = 1;
}

function tracePolygons(context, polygons, scale, left, top) {
  context.beginPath();
  for (const polygon of polygons) {
    let [beforeX, beforeY] = [Infinity, Infinity];
    polygon.forEach(([pictureX, pictureY], at) => {
      const [x, y] = [pictureX * scale + left, pictureY * scale + top];
      if (Math.abs(x - beforeX) < APART && Math.abs(y - beforeY) < APART) return;
      if (at) context.lineTo(x, y);
      else context.moveTo(x, y);
      [beforeX, beforeY] = [x, y];
    });
    context.closePath();
  }
}

function traceSkeleton(context, { keypoints, skeleton }, scale, left, top) {
  if (!skeleton?.length) return;
  context.beginPath();
  for (const [from, to] of skeleton) {
    if (!keypoints[from].visibility || !keypoints[to].visibility) continue;
    context.moveTo(keypoints[from].x * scale + left, keypoints[from].y * scale + top);
    context.lineTo(keypoints[to].x * scale + left, keypoints[to].y * scale + top);
  }
  context.stroke();
}

function paintKeypoints(context, { scale, left, top }, group) {
  for (const { shape } of group) {
    for (const { x, y, visibility } of shape.keypoints ?? []) {
      if (!visibility) continue;
      context.beginPath();
      context.arc(x * scale + left, y * scale + top, 4, 0, 2 * Math.PI);
      if (visibility > 1) context.fill();
      else context.stroke(); // hidden in the picture, known all the same
    }
  }
}

function* paintRasters(context, { scale, left, top }, layer, display, rasters, colorOf) {
  const { width, height } = layer.image;
  context.imageSmoothingEnabled = scale < 8;
  for (const finding of layer.drawn) {
    const { annotation, shape } = finding;
    const heat = annotation.annotationType === "heatmap";
    if (!shape?.mask && !isRaster(annotation)) continue;
    const color = colorOf(finding);
    if (color === null) continue;
    const mask = shape?.mask && rasters.mask(annotation.id, shape.mask, color);
    const file = shape?.mask ? null : heat ? rasters.heatmap(annotation, display.colorMap) : rasters.maskFile(annotation, color);
    const canvas = mask ? mask.canvas : file;
    if (!canvas) continue;
    context.globalAlpha = heat ? display.heatOpacity : Math.min(1, display.opacity * 2 + 0.15);
    const [x, y, wide, high] = mask ? inPicture(mask.box, shape.mask, layer.image) : (shape?.box ?? [0, 0, width, height]);
    context.drawImage(canvas, x * scale + left, y * scale + top, wide * scale, high * scale);
    yield;
  }
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = true;
}

/** A box of a mask's pixels in those of the picture. */
function inPicture([x, y, wide, high], { rows, columns }, { width, height }) {
  const [across, down] = [width / columns, height / rows];
  return [x * across, y * down, wide * across, high * down];
}
