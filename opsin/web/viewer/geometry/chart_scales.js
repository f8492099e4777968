/** Scales of charts: where values and times lie, and the round numbers written beside them. */

const STEPS = [1, 2, 2.5, 5, 10];
const DAY = 86_400_000; // ms

/**
 * Round numbers from below the least to above the greatest of some values.
 * @param {number[]} values at least one
 * @param {number} most steps between them
 * @returns {number[]} two at least, rising evenly
 */
export function valueTicks(values, most = 4) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - Math.max(Math.abs(low) * 0.05, 1e-6), high + Math.max(Math.abs(high) * 0.05, 1e-6)];
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  for (const factor of [...STEPS, 20, 25, 50]) {
    const step = factor * power;
    const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
    if (last - first <= most) {
      return Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)));
    }
  }
  return [low, high];
}

/**
 * Days to write below a chart: the first, the last and some between, evenly apart.
 * @param {number} from ms of the epoch
 * @param {number} to not before it
 * @param {number} most
 * @returns {number[]} ms; one alone where both are of one moment
 */
export function timeTicks(from, to, most = 3) {
  if (to - from < 1) return [from];
  const steps = Math.max(1, Math.min(most - 1, Math.floor((to - from) / DAY) || 1));
  return Array.from({ length: steps + 1 }, (_, at) => from + ((to - from) * at) / steps);
}

/**
 * A place along an axis.
 * @param {number} value
 * @param {number} from at `start`
 * @param {number} to at `end`
 */
export const placed = (value, from, to, start, end) =>
  to === from ? (start + end) / 2 : start + ((value - from) / (to - from)) * (end - start);
