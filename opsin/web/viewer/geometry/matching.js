/** Two sets of boxes compared: who found what the other found too, by intersection over union. */

/** @typedef {import("./shapes.js").Box} Box */
/** @typedef {{className: string | null, confidence: number | null, box: Box}} Boxed */
/**
 * @typedef {object} Comparison
 * @property {{left: number, right: number, overlap: number}[]} matched numbers in the two lists
 * @property {number[]} onlyLeft
 * @property {number[]} onlyRight
 * @property {number} agreement matched pairs by all that was found by either (Jaccard), 0 to 1
 * @property {number} meanOverlap of the matched, 0 to 1; 0 where none is
 */

/**
 * Intersection over union of two boxes, 0 to 1.
 * @param {Box} one
 * @param {Box} other
 */
export function intersectionOverUnion(one, other) {
  const across = Math.min(one[0] + one[2], other[0] + other[2]) - Math.max(one[0], other[0]);
  const down = Math.min(one[1] + one[3], other[1] + other[3]) - Math.max(one[1], other[1]);
  if (across <= 0 || down <= 0) return 0;
  const shared = across * down;
  return shared / (one[2] * one[3] + other[2] * other[3] - shared);
}

/**
 * Pairs each box with at most one of the other list, the best overlap first.
 * @param {Boxed[]} left
 * @param {Boxed[]} right
 * @param {{threshold: number, sameClass: boolean}} rule least overlap; whether classes must agree
 * @returns {Comparison}
 */
export function compare(left, right, { threshold, sameClass }) {
  const candidates = candidatePairs(left, right, threshold, sameClass);
  candidates.sort((a, b) => b.overlap - a.overlap || a.left - b.left || a.right - b.right);
  const [takenLeft, takenRight] = [new Set(), new Set()];
  const matched = candidates.filter((pair) => {
    if (takenLeft.has(pair.left) || takenRight.has(pair.right)) return false;
    takenLeft.add(pair.left);
    takenRight.add(pair.right);
    return true;
  });
  const all = left.length + right.length - matched.length;
  const overlap = matched.reduce((sum, pair) => sum + pair.overlap, 0);
  return {
    matched,
    onlyLeft: [...left.keys()].filter((at) => !takenLeft.has(at)),
    onlyRight: [...right.keys()].filter((at) => !takenRight.has(at)),
    agreement: all ? matched.length / all : 1,
    meanOverlap: matched.length ? overlap / matched.length : 0,
  };
}

/** Only boxes that overlap along x are looked at: both lists are swept from left to right. */
function candidatePairs(left, right, threshold, sameClass) {
  const order = [...right.keys()].sort((a, b) => right[a].box[0] - right[b].box[0]);
  const widest = right.reduce((most, { box }) => Math.max(most, box[2]), 0);
  const pairs = [];
  left.forEach((one, number) => {
    const end = one.box[0] + one.box[2];
    for (let at = lowerBound(order, right, one.box[0] - widest); at < order.length; at += 1) {
      const other = right[order[at]];
      if (other.box[0] > end) break;
      if (sameClass && one.className !== other.className) continue;
      const overlap = intersectionOverUnion(one.box, other.box);
      if (overlap > 0 && overlap >= threshold) pairs.push({ left: number, right: order[at], overlap });
    }
  });
  return pairs;
}

/** The first place in `order` whose box begins at `x` or further right. */
function lowerBound(order, boxes, x) {
  let [low, high] = [0, order.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (boxes[order[middle]].box[0] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}
