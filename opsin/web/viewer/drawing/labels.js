/** Names and confidences of findings; where many lie close, the surest are named. */

import { readableOn } from "../geometry/color_maps.js";

const HEIGHT = 18; // CSS pixels
const GAP = 1;

/**
 * @param {CanvasRenderingContext2D} context in CSS pixels of the window
 * @param {import("../geometry/viewport.js").Viewport} viewport
 * @param {Map<string, import("./layer.js").Finding[]>} groups by colour
 */
export function paintLabels(context, viewport, groups) {
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "middle";
  // What a measure found has one name, which its table tells.
  const named = (group) => group.filter(({ layer }) => !layer.measures);
  const all = [...groups].flatMap(([color, group]) => named(group).map((finding) => ({ color, finding })));
  const sure = ({ finding }) => finding.annotation.confidence ?? 1;
  all.sort((a, b) => sure(b) - sure(a));
  /** @type {number[][]} left, top, right, bottom */
  const taken = [];
  for (const { color, finding } of all) {
    const text = labelOf(finding.annotation);
    const place = findPlace(viewport, finding.shape.box, context.measureText(text).width + 10, taken);
    if (!place) continue;
    const [left, top, right] = place;
    taken.push(place);
    context.fillStyle = color;
    const ground = context.fillStyle; // however it was written, it is read as #rrggbb
    context.fillRect(left, top, right - left, HEIGHT);
    context.fillStyle = typeof ground === "string" && ground.startsWith("#") ? readableOn(ground) : "#000000";
    context.fillText(text, left + 5, top + HEIGHT / 2 + 0.5);
  }
}

function labelOf({ className, annotationType, confidence }) {
  const sure = confidence === null ? "" : ` ${Math.round(confidence * 100)}%`;
  const name = className ?? annotationType;
  return (name.length > 40 ? `${name.slice(0, 39)}…` : name) + sure;
}

/** Above a box, else inside it or below it, in the window; null where others are already. */
function findPlace({ scale, left, top, width, height, margin }, box, across, taken) {
  const [boxLeft, boxTop] = [box[0] * scale + left, box[1] * scale + top];
  const [boxRight, boxBottom] = [boxLeft + box[2] * scale, boxTop + box[3] * scale];
  // Labels are held inside the window, so those of what lies beyond it are left out.
  if (boxRight < margin || boxBottom < margin || boxLeft > width - margin || boxTop > height - margin) return null;
  const x = Math.min(Math.max(margin, boxLeft - 1), width - margin - across);
  for (const y of [boxTop - HEIGHT, Math.max(margin, boxTop), boxBottom]) {
    if (y < margin || y + HEIGHT > height - margin) continue;
    const place = [x, y, x + across, y + HEIGHT];
    if (taken.every((one) => place[0] > one[2] + GAP || place[2] < one[0] - GAP || place[1] >= one[3] + GAP || place[3] <= one[1] - GAP)) return place;
  }
  return null;
}
