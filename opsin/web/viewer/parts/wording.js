/** Numbers, times and states as people read them. */

const NUMBER = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** @param {number} value */
export const count = (value) => NUMBER.format(value);

/** "1 image", "2,000 images". */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** @param {string | null} iso */
export const time = (iso) => (iso ? TIME.format(new Date(iso)) : "");

/** "3 Nov 26". @param {number} moment ms */
export const day = (moment) => DAY.format(moment);

/** A day without a time, such as one of birth. @param {string | null} iso */
export const date = (iso) => (iso ? DATE.format(new Date(iso)) : "");

/** "3 minutes ago". @param {string | null} iso */
export function ago(iso) {
  if (!iso) return "never";
  const seconds = (new Date(iso).getTime() - Date.now()) / 1000;
  const steps = [[60, "second", 1], [3600, "minute", 60], [86_400, "hour", 3600], [2_592_000, "day", 86_400]];
  const [, unit, size] = steps.find(([limit]) => Math.abs(seconds) < limit) ?? [0, "month", 2_592_000];
  return Math.abs(seconds) < 5 ? "just now" : RELATIVE.format(Math.round(seconds / size), unit);
}

/** @param {number | null} bytes */
export function bytes(bytes) {
  if (bytes === null || bytes === undefined) return "";
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** How long an analysis took. @param {{startedAt: string | null, completedAt: string | null}} analysis */
export function duration({ startedAt, completedAt }) {
  if (!startedAt || !completedAt) return "";
  const milliseconds = new Date(completedAt).getTime() - new Date(startedAt).getTime();
  return milliseconds < 1000 ? `${Math.max(0, Math.round(milliseconds))} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** "detect_bounding_box" as "detect bounding box". @param {string} name */
export const plain = (name) => name.replaceAll("_", " ").toLowerCase();

/** As "Detect bounding box". @param {string} name */
export const titled = (name) => plain(name).replace(/^./, (first) => first.toUpperCase());

/** How an analysis is called: its operation, or the model that ran elsewhere. */
export const analysisName = (analysis) => (analysis.operation ? titled(analysis.operation) : analysis.modelName);

/** The version by which two runs of the same are told apart. */
export const analysisVersion = (analysis) =>
  analysis.operation ? `version ${analysis.operationVersion}` : `version ${analysis.modelVersion}`;

/** A share of one, 0.934 as "93.4%". @param {unknown} share */
export const percent = (share) => (typeof share !== "number" ? "" : `${(share * 100).toFixed(1)}%`);

/** A measured number without needless digits. */
export const measured = (value) =>
  typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value).slice(0, 200);

/** How the connection stands. @param {"live" | "connecting" | "lost"} state */
export const liveText = (state) => ({ live: "Live", connecting: "Connecting …", lost: "Offline" })[state];
