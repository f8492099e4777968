/** What images of a dataset are looked for: file name, analyses, classes, date, metadata, deleted ones. */

import { fill, icon, make } from "./element.js";
import { closesByItself } from "./popover.js";
import { titled } from "./wording.js";

const STATUSES = ["QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"];
const PAUSE = 250; // ms after the last key, before the server is asked

/**
 * @param {object} given
 * @param {URLSearchParams} given.query what was looked for before, as `words` gives it
 * @param {any[]} given.classes of the dataset
 * @param {string[]} given.operations names of operations; another name is a model's
 * @param {() => Iterable<string>} given.models names that were seen, to offer
 * @param {(wanted: {filter: any, order: string, words: URLSearchParams}) => void} onChange told of what the server
 *   is to filter by, and of the same for the address
 */
export function imageFilters({ query, classes, operations, models }, onChange) {
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(tell, PAUSE);
  };
  const value = (name) => query.get(name) ?? "";
  const text = (name, label, more = {}) => make("input", { type: "text", name, value: value(name), "aria-label": label, oninput: soon, ...more });
  const select = (name, label, any, options) => {
    const control = make("select", { name, "aria-label": label, onchange: tell }, make("option", { value: "" }, any),
      options.map(([key, words]) => make("option", { value: key, selected: key === value(name) }, words)));
    return control;
  };
  const search = text("name", "Search by file name", { type: "search", placeholder: "Search by file name" });
  const status = select("status", "Status of an analysis", "Any status", STATUSES.map((one) => [one, titled(one)]));
  const labels = select("class", "Class of the image", "Any class", classes.map((one) => [one.id, one.name]));
  const order = select("order", "Order", "Oldest first", [["newest", "Newest first"]]);
  const more = [
    ["Operation or model", text("model", "Operation or model", { list: "known-models", autocomplete: "off" })],
    ["Found class", text("found", "Found class", { placeholder: "e.g. boat" })],
    ["Confidence at least", text("sure", "Confidence at least, in percent", { type: "number", min: 0, max: 100, step: 1, placeholder: "%" })],
    ["Taken in from", text("from", "Taken in on or after", { type: "date" })],
    ["Taken in until", text("until", "Taken in on or before", { type: "date" })],
    ["Taken in by", text("by", "Taken in by")],
    ["Metadata key", text("key", "Metadata key")],
    ["Metadata contains", text("value", "The metadata contains")],
    ["Deleted images", select("deleted", "Deleted images", "Left out", [["INCLUDED", "Shown too"], ["ONLY", "Only these"]])],
  ];
  const known = make("datalist", { id: "known-models" });
  const note = make("span", { class: "count-note", hidden: true });
  const clear = make("button", { type: "button", class: "link", hidden: true, onclick: empty }, "Clear filters");
  const controls = [search, status, labels, order, ...more.map(([, control]) => control)];
  const element = [
    make("div", { class: "search" }, icon("search"), search), status, classes.length > 0 && labels,
    closesByItself(make("details", { class: "more-filters", ontoggle: offer },
      make("summary", { class: "button" }, icon("filter"), "Filters", note),
      make("div", { class: "filter-fields" }, more.map(([label, control]) => make("label", {}, make("span", { class: "hint" }, label), control)), known))),
    order, clear,
  ];

  function empty() {
    for (const control of controls) control.value = "";
    tell();
    search.focus();
  }

  /** Says how many are filled in; gives what they ask for. */
  function look() {
    const words = new URLSearchParams(controls.filter((one) => one.value.trim()).map((one) => [one.name, one.value.trim()]));
    const number = more.filter(([, control]) => control.value).length;
    note.textContent = String(number);
    note.hidden = number === 0;
    clear.hidden = words.size === 0;
    return { filter: serverFilter(words, operations), order: order.value ? "CREATED_DESC" : "CREATED_ASC", words };
  }

  function tell() {
    clearTimeout(timer);
    onChange(look());
  }

  function offer() {
    fill(known, [...new Set([...operations, ...models()])].sort().map((name) => make("option", { value: name })));
  }

  return { element, first: look(), leave: () => clearTimeout(timer) };
}

/** As ImageFilter has it; only what was filled in. @param {URLSearchParams} words */
function serverFilter(words, operations) {
  const of = (name) => words.get(name)?.trim() || null;
  const model = of("model");
  const isOperation = model !== null && operations.includes(model);
  const sure = of("sure");
  const analysis = given({
    status: of("status") && [of("status")],
    operation: isOperation ? model : null,
    modelName: isOperation ? null : model,
    className: of("found") && [of("found")],
    confidenceFrom: sure === null || Number.isNaN(Number(sure)) ? null : Math.min(100, Math.max(0, Number(sure))) / 100,
  });
  return given({
    filenameContains: of("name"),
    classId: of("class"),
    analysis: Object.keys(analysis).length ? analysis : null,
    uploadedBy: of("by"),
    metadata: of("key") && { key: of("key"), contains: of("value") ?? "" },
    createdFrom: day(of("from"), 0),
    createdBefore: day(of("until"), 1),
    deleted: of("deleted"),
  });
}

const given = (values) => Object.fromEntries(Object.entries(values).filter(([, one]) => one !== null));

/** The beginning of a day here, or of one after it. @param {string | null} date as 2026-01-31 */
function day(date, after) {
  if (!date) return null;
  const moment = new Date(`${date}T00:00:00`);
  if (Number.isNaN(moment.getTime())) return null;
  moment.setDate(moment.getDate() + after);
  return moment.toISOString();
}
