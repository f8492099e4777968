/** Draws findings on a canvas: thousands of boxes a frame, colour after colour. */

import { classColor } from "../geometry/color_maps.js";
import { isRaster } from "./layer.js";

const HALO = "rgb(0 0 0 / 0.55)"; // lets a line be seen on any picture
const HALO_MOST = 1500; // shapes in view; beyond that, halos cost more than they show
const LABELS_MOST = 80; // shapes in view
const SPECK = 3; // CSS pixels; what is smaller is a filled dot

/** @typedef {import("./layer.js").Finding} Finding */

/**
 * @param {CanvasRenderingContext2D} context in CSS pixels of the window
 * @param {import("../geometry/viewport.js").Viewport} viewport
 * @param {import("./layer.js").Layer[]} layers
 * @param {import("./scene.js").Display} display
 * @param {import("./rasters.js").Rasters} rasters
 * @param {(finding: Finding) => string | null} [colorOf] another colour; null leaves it out
 */
export function paint(context, viewport, layers, display, rasters, colorOf = ordinaryColor(display)) {
  context.clearRect(0, 0, viewport.width, viewport.height);
  for (const layer of layers) paintRasters(context, viewport, layer, display, rasters, colorOf);
  const groups = groupByColor(viewport, layers, colorOf);
  const inView = [...groups.values()].reduce((sum, group) => sum + group.length, 0);
  if (inView <= HALO_MOST) {
    context.strokeStyle = HALO;
    context.lineWidth = 3.5;
    for (const group of groups.values()) outline(context, viewport, group);
  }
  context.lineWidth = inView > HALO_MOST ? 1 : 1.75;
  for (const [color, group] of groups) {
    context.fillStyle = color;
    context.strokeStyle = color;
    fillAreas(context, viewport, group, display.opacity);
    outline(context, viewport, group);
    paintKeypoints(context, viewport, group);
  }
  if (display.labels && inView <= LABELS_MOST) paintLabels(context, viewport, groups);
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
    } else if (keypoints) {
      traceSkeleton(context, shape, scale, left, top);
      if (always) context.strokeRect(box[0] * scale + left, box[1] * scale + top, box[2] * scale, box[3] * scale);
    } else if (!mask || always) {
      const [width, height] = [box[2] * scale, box[3] * scale];
      if (width < SPECK && height < SPECK && !always) {
        context.fillRect(box[0] * scale + left, box[1] * scale + top, SPECK - 1, SPECK - 1);
      } else {
        context.strokeRect(box[0] * scale + left, box[1] * scale + top, width, height);
      }
    }
  }
}

function fillAreas(context, { scale, left, top }, group, opacity) {
  if (opacity <= 0) return;
  context.globalAlpha = opacity;
  // Areas of many boxes hide the picture without telling more than their outlines.
  const boxes = group.length <= HALO_MOST;
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
    polygon.forEach(([x, y], at) => {
      if (at) context.lineTo(x * scale + left, y * scale + top);
      else context.moveTo(x * scale + left, y * scale + top);
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

function paintRasters(context, { scale, left, top }, layer, display, rasters, colorOf) {
  const { width, height } = layer.image;
  context.imageSmoothingEnabled = scale < 8;
  for (const finding of layer.drawn) {
    const { annotation, shape } = finding;
    const heat = annotation.annotationType === "heatmap";
    if (!shape?.mask && !isRaster(annotation)) continue;
    const color = colorOf(finding);
    if (color === null) continue;
    const canvas = shape?.mask
      ? rasters.mask(annotation.id, shape.mask, color)
      : heat
        ? rasters.heatmap(annotation, display.colorMap)
        : rasters.maskFile(annotation, color);
    if (!canvas) continue;
    context.globalAlpha = heat ? display.heatOpacity : Math.min(1, display.opacity * 2 + 0.15);
    const [x, y, wide, high] = shape && !shape.mask ? shape.box : [0, 0, width, height];
    context.drawImage(canvas, x * scale + left, y * scale + top, wide * scale, high * scale);
  }
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = true;
}

function paintLabels(context, { scale, left, top, width, height, margin }, groups) {
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const [color, group] of groups) {
    for (const { annotation, shape } of group) {
      const [boxLeft, boxTop] = [shape.box[0] * scale + left, shape.box[1] * scale + top];
      const [boxRight, boxBottom] = [boxLeft + shape.box[2] * scale, boxTop + shape.box[3] * scale];
      // Labels are held inside the window, so those of what lies beyond it are left out.
      if (boxRight < margin || boxBottom < margin || boxLeft > width - margin || boxTop > height - margin) continue;
      const sure = annotation.confidence === null ? "" : ` ${Math.round(annotation.confidence * 100)}%`;
      const text = `${annotation.className ?? annotation.annotationType}${sure}`;
      const across = context.measureText(text).width + 10;
      const x = Math.min(Math.max(margin, boxLeft - 1), width - margin - across);
      const above = boxTop - 18;
      const y = above < margin ? Math.max(margin, boxTop) : above;
      context.fillStyle = color;
      context.fillRect(x, y, across, 18);
      context.fillStyle = "#0b0e12";
      context.fillText(text, x + 5, y + 9.5);
    }
  }
}
