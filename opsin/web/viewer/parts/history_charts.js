/** The main metric of each operation over a subject's time: charts, and the same numbers as tables. */

import { ask } from "../server/graphql.js";
import { HISTORY_LENGTH, SMOOTHED } from "../server/application_documents.js";
import { fill, make } from "./element.js";
import { lineChart } from "./line_chart.js";
import { count, counted, day, measured, time, titled } from "./wording.js";

const PAUSE = 250; // ms after the last key, before the server is asked
const METHODS = [["MEAN", "Mean"], ["MEAN_WITHOUT_OUTLIERS", "Mean without outliers"], ["LINEAR_APPROXIMATION", "Straight line"]];

const keyOf = ({ operation, applicationId, name }) => JSON.stringify([operation, applicationId, name]);
/** "skin_redness" as "Redness": what all of an application's steps begin with says nothing. */
const shortName = (operation) => titled(operation.replace(/^skin_/, ""));

export class HistoryCharts {
  #points = [];
  #titles = new Map();
  #smoothed = new Map();
  #turn = 0;
  #timer = 0;

  /** @param {string} subjectId */
  constructor(subjectId) {
    this.subjectId = subjectId;
    const number = (id, value, max) => make("input", { id, type: "number", min: 1, max, step: 1, value, oninput: () => this.#soon() });
    this.method = make("select", { id: "smoothing", onchange: () => this.#smooth() }, METHODS.map(([value, text]) => make("option", { value }, text)));
    this.days = number("window-days", 14, 365);
    this.size = number("max-size", 10, 100);
    this.failure = make("p", { class: "analysis-error", role: "alert" });
    this.note = make("p", { class: "hint" });
    this.charts = make("div", { class: "charts" });
    const field = (control, label, unit) => make("div", { class: "smoothing-field" }, make("label", { for: control.id }, label), control, unit && make("span", { class: "muted" }, unit));
    this.controls = make("div", { class: "smoothing", role: "group", "aria-label": "Smoothing" }, field(this.method, "Smoothed by"), field(this.days, "over", "days"), field(this.size, "of at most", "images"));
    this.element = make("section", { class: "history" }, make("div", { class: "section-head" }, make("h2", { class: "part-title" }, "History"), this.controls), this.failure, this.charts, this.note);
  }

  /** @param {any[]} points newest first @param {{id: string, title: string}[]} applications */
  show(points, applications) {
    this.#points = points.filter((one) => one.score !== null || one.value !== null).reverse();
    this.#titles = new Map(applications.map((one) => [one.id, one.title]));
    this.controls.hidden = this.#points.length === 0;
    this.note.textContent = points.length >= HISTORY_LENGTH ? `The newest ${count(HISTORY_LENGTH)} values.` : "";
    this.#render();
    if (this.#points.length) this.#smooth();
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#smooth(), PAUSE);
  }

  async #smooth() {
    this.#turn += 1;
    const mine = this.#turn;
    if (!this.days.validity.valid || !this.size.validity.valid || !this.days.value || !this.size.value) {
      this.failure.textContent = "1 to 365 days, of 1 to 100 images.";
      return;
    }
    try {
      const { subject } = await ask(SMOOTHED, { id: this.subjectId, days: this.days.valueAsNumber, size: this.size.valueAsNumber, method: this.method.value });
      if (mine !== this.#turn) return;
      this.failure.textContent = "";
      this.#smoothed = new Map(subject?.smoothed.map((one) => [keyOf(one), one]));
      this.#render();
    } catch (error) {
      if (mine === this.#turn) this.failure.textContent = error.message;
    }
  }

  #render() {
    const series = new Map();
    for (const point of this.#points) {
      const key = keyOf(point);
      if (!series.has(key)) series.set(key, []);
      series.get(key).push(point);
    }
    const several = new Set(this.#points.map((one) => one.applicationId)).size > 1;
    const open = new Set([...this.charts.querySelectorAll("details[open]")].map((one) => one.dataset.key));
    fill(this.charts, series.size
      ? [...series].sort(([, [one]], [, [other]]) => one.operation.localeCompare(other.operation)).map(([key, points]) => figure(key, points, this.#smoothed.get(key), several && this.#titles.get(points[0].applicationId), open.has(key)))
      : make("p", { class: "hint" }, "Nothing measured yet. What applications of the dataset measure in the subject’s pictures is shown here."));
  }
}

function figure(key, points, smoothed, application, isOpen) {
  const last = points.at(-1);
  const isScore = last.score !== null;
  const number = (one) => (isScore ? one.score : one.value);
  const text = (value) => (isScore ? String(Math.round(value)) : [measured(Number(value.toPrecision(3))), last.unit].filter(Boolean).join(" "));
  const title = shortName(last.operation);
  const kept = points.filter((one) => number(one) !== null);
  const drawn = kept.map((one) => ({ at: new Date(one.takenAt).getTime(), value: number(one), label: `${time(one.takenAt)}: ${text(number(one))}` }));
  const [low, high] = [Math.min(...drawn.map((one) => one.value)), Math.max(...drawn.map((one) => one.value))];
  const label = `${title}${isScore ? ", score" : ""}: ${counted(drawn.length, "value")}, ${drawn.length > 1 ? `from ${text(low)} to ${text(high)}, ` : ""}the last ${text(number(last))} on ${day(drawn.at(-1).at)}`;
  return make("figure", { class: "history-figure" },
    make("figcaption", {},
      make("span", {}, make("strong", {}, title), application && make("span", { class: "muted" }, ` ${application}`)),
      make("span", { class: "history-number" }, make("strong", {}, text(number(last))), make("span", { class: "muted" }, isScore ? " of 100" : "")),
      make("span", { class: "muted smoothed" }, smoothed ? `smoothed ${text(smoothed.value)}, of ${counted(smoothed.count, "image")}` : "")),
    lineChart(drawn, { label, isScore, level: smoothed ? smoothed.value : null }),
    make("details", { class: "raw", dataset: { key }, open: isOpen }, make("summary", {}, "Values"),
      make("div", { class: "table-frame tall", tabindex: "0", role: "region", "aria-label": `Values of ${title}` }, make("table", { class: "small" },
        make("thead", {}, make("tr", {}, [["Taken", ""], [isScore ? "Score" : "Value", "number"], isScore && last.value !== null && ["Measured", "number"]].filter(Boolean).map(([head, kind]) => make("th", { scope: "col", class: kind || null }, head)))),
        make("tbody", {}, [...kept].reverse().map((one) => make("tr", {},
          make("th", { scope: "row" }, make("a", { href: `#/images/${one.imageId}` }, time(one.takenAt))),
          make("td", { class: "number" }, text(number(one))),
          isScore && last.value !== null && make("td", { class: "number" }, one.value === null ? "" : `${measured(one.value)} ${one.unit ?? ""}`))))))));
}
