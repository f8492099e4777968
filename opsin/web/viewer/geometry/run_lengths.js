/** Masks as COCO's run lengths: column after column, first the pixels outside, then those inside. */

/**
 * The run lengths of a list, or of COCO's compressed text.
 * @param {unknown} given
 * @returns {number[]}
 * @throws {RangeError} for anything else
 */
export function readCounts(given) {
  if (typeof given === "string") return decompress(given);
  if (!Array.isArray(given) || !given.every((count) => Number.isInteger(count) && count >= 0)) {
    throw new RangeError("not run lengths");
  }
  return given;
}

/**
 * The box around the pixels inside, and how many these are.
 * @param {number[]} counts
 * @param {number} rows height of the mask in pixels
 * @returns {{box: [number, number, number, number], area: number}} box as x, y, width, height
 */
export function boxAndArea(counts, rows) {
  let [area, position, left, top, right, bottom] = [0, 0, -1, rows, -1, -1];
  counts.forEach((count, number) => {
    const start = position;
    position += count;
    if (number % 2 === 0 || count === 0) return;
    area += count;
    const [firstColumn, firstRow] = [Math.floor(start / rows), start % rows];
    const [lastColumn, lastRow] = [Math.floor((position - 1) / rows), (position - 1) % rows];
    if (left < 0) left = firstColumn;
    right = lastColumn;
    // A run into the next column reaches the lowest row and goes on from the highest.
    const over = firstColumn !== lastColumn;
    top = over ? 0 : Math.min(top, firstRow);
    bottom = over ? rows - 1 : Math.max(bottom, lastRow);
  });
  if (left < 0) return { box: [0, 0, 0, 0], area: 0 };
  return { box: [left, top, right - left + 1, bottom - top + 1], area };
}

/**
 * Which pixels are inside, row after row, as image data wants them.
 * @param {number[]} counts
 * @param {number} rows
 * @param {number} columns
 * @param {[number, number, number, number]} [part] x, y, width, height; by default all of it
 * @param {number} [step] every so many pixels, each way
 * @returns {Uint8Array} 1 inside and 0 outside; the part's rows x columns, by the step
 */
export function decodeMask(counts, rows, columns, part = [0, 0, columns, rows], step = 1) {
  const [left, top, width, height] = part;
  const [across, down] = [Math.ceil(width / step), Math.ceil(height / step)];
  const mask = new Uint8Array(across * down);
  const last = Math.min(columns, left + width) * rows; // what lies behind it is not looked at
  let position = 0;
  for (let number = 0; number < counts.length && position < last; number += 1) {
    const start = position;
    position = Math.min(position + counts[number], last);
    if (number % 2 === 0) continue;
    for (let at = Math.max(start, left * rows); at < position; ) {
      const column = Math.floor(at / rows);
      const end = Math.min(position - column * rows, top + height);
      if ((column - left) % step === 0) {
        for (let row = firstOf(at - column * rows, top, step); row < end; row += step) {
          mask[((row - top) / step) * across + (column - left) / step] = 1;
        }
      }
      at = (column + 1) * rows;
    }
  }
  return mask;
}

/** The first row that is looked at, from a row on. */
const firstOf = (row, top, step) => (row <= top ? top : top + Math.ceil((row - top) / step) * step);

/**
 * COCO's text: six bits a character, five of them digits; from the third on, differences.
 * @param {string} text
 * @returns {number[]}
 */
function decompress(text) {
  /** @type {number[]} */
  const counts = [];
  let [value, shift] = [0, 0];
  for (const character of text) {
    const bits = character.charCodeAt(0) - 48;
    if (!(bits >= 0 && bits < 64)) throw new RangeError("not run lengths");
    value += (bits & 0x1f) * 2 ** shift;
    shift += 5;
    if (bits & 0x20) continue;
    if (bits & 0x10) value -= 2 ** shift;
    if (counts.length > 2) value += counts[counts.length - 2];
    if (value < 0) throw new RangeError("not run lengths");
    counts.push(value);
    [value, shift] = [0, 0];
  }
  return counts;
}
