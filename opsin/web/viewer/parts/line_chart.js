/** A line of measured values over time, as SVG; whoever cannot see it has the table beside it. */

import { placed, timeTicks, valueTicks } from "../geometry/chart_scales.js";
import { drawn } from "./element.js";
import { day, measured } from "./wording.js";

const [WIDTH, HEIGHT] = [340, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [40, 12, 10, 24];

/**
 * @param {{at: number, value: number, label: string}[]} points oldest first, at least one; `at` in ms
 * @param {object} more
 * @param {string} more.label what it shows, in words
 * @param {boolean} more.isScore its scale goes from 0 to 100
 * @param {number | null} [more.level] a line across, such as a smoothed value
 */
export function lineChart(points, { label, isScore, level = null }) {
  const values = points.map((one) => one.value);
  const ticks = isScore ? [0, 25, 50, 75, 100] : valueTicks(level === null ? values : [...values, level]);
  const [from, to] = [points[0].at, points.at(-1).at];
  const x = (at) => placed(at, from, to, LEFT + 4, WIDTH - RIGHT - 4);
  const y = (value) => placed(value, ticks[0], ticks.at(-1), HEIGHT - BOTTOM, TOP);
  const place = ({ at, value }) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`;
  const times = timeTicks(from, to);
  return drawn("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    ticks.map((tick) => drawn("line", { class: "chart-grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) })),
    ticks.map((tick) => drawn("text", { class: "chart-tick", x: LEFT - 7, y: y(tick) + 3.5, "text-anchor": "end" }, measured(tick))),
    times.map((at, number) => drawn("text", { class: "chart-tick", x: x(at), y: HEIGHT - 7, "text-anchor": anchor(number, times.length) }, day(at))),
    level !== null && drawn("line", { class: "chart-level", x1: LEFT, x2: WIDTH - RIGHT, y1: y(level), y2: y(level) }),
    points.length > 1 && drawn("polyline", { class: "chart-line", points: points.map(place).join(" ") }),
    points.length <= 120 && points.map((one) => drawn("circle", { class: "chart-point", cx: x(one.at), cy: y(one.value), r: points.length > 40 ? 2 : 3.5 }, drawn("title", {}, one.label))));
}

const anchor = (number, count) => (count === 1 ? "middle" : number === 0 ? "start" : number === count - 1 ? "end" : "middle");
