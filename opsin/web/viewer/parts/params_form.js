/** A form for an operation's params, made of their JSON Schema. */

import { make } from "./element.js";
import { titled } from "./wording.js";

let forms = 0;

/**
 * @param {any} schema paramsSchema of an operation
 * @param {string[]} targets those it can be run on here, as the API writes them
 * @param {string} defaultTarget offered as such where it is one of these
 * @returns {{element: HTMLElement, read: () => Record<string, unknown>}} `read` leaves out what was
 *   not filled in; it throws an Error for people where a text is not what the schema asks for
 */
export function paramsForm(schema, targets, defaultTarget) {
  forms += 1;
  const prefix = `params-${forms}-`;
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, given]) => {
    const rules = resolve(given, schema);
    const offered = { enum: targets.map((target) => target.toLowerCase()), hasNoDefault: !targets.includes(defaultTarget) };
    const type = name === "target" ? { ...rules, ...offered } : rules;
    return field(name, type, prefix + name, required.has(name));
  });
  const element = make("div", { class: "form" }, fields.map((one) => one.element));
  const read = () => {
    const params = {};
    for (const { name, value } of fields) {
      const given = value();
      if (given !== undefined) params[name] = given;
    }
    return params;
  };
  return { element, read };
}

/** Follows references, and takes what `anyOf [..., null]` offers besides null. */
function resolve(given, schema) {
  const option = given.anyOf?.find((one) => one.type !== "null") ?? given;
  const name = option.$ref?.split("/").pop();
  const { description, default: standard } = given;
  return { ...(name ? schema.$defs?.[name] : option), description, default: standard };
}

function field(name, rules, id, required) {
  const hint = rules.description ? `${id}-hint` : null;
  const common = { id, name, "aria-describedby": hint, required };
  const { control, value } = controlFor(rules, common, required);
  const label = make("label", { for: id }, titled(name), required && make("span", { class: "required" }, " (required)"));
  const described = hint && make("p", { id: hint, class: "hint" }, sentence(rules.description));
  const checkbox = control.type === "checkbox";
  const element = make("div", { class: checkbox ? "field check" : "field" },
    checkbox ? [make("div", { class: "check-line" }, control, label), described] : [label, control, described]);
  return { name, element, value };
}

const sentence = (text) => text.replaceAll("`", "").replace(/^./, (first) => first.toUpperCase());

function controlFor(rules, common, required) {
  if (rules.enum) return choice(rules, common, required);
  if (rules.type === "boolean") {
    const control = make("input", { ...common, required: false, type: "checkbox", checked: rules.default === true });
    return { control, value: () => control.checked };
  }
  if (rules.type === "integer" || rules.type === "number") return number(rules, common);
  if (rules.type === "array") return lines(rules, common);
  if (rules.type === "object") return json(common);
  const control = make("input", { ...common, type: "text", maxlength: rules.maxLength, value: rules.default ?? "" });
  return { control, value: () => (control.value === "" ? undefined : control.value) };
}

function choice(rules, common, required) {
  const standard = rules.default ?? null;
  const control = make("select", common,
    standard === null && !required && !rules.hasNoDefault && make("option", { value: "" }, "Default"),
    rules.enum.map((one) => make("option", { value: one, selected: one === standard }, titled(String(one)))));
  return { control, value: () => (control.value === "" ? undefined : control.value) };
}

function number(rules, common) {
  const control = make("input", {
    ...common,
    type: "number",
    step: rules.type === "integer" ? 1 : "any",
    min: rules.minimum,
    max: rules.maximum,
    value: rules.default ?? "",
  });
  return { control, value: () => (control.value === "" ? undefined : control.valueAsNumber) };
}

function lines(rules, common) {
  const control = make("textarea", { ...common, rows: 3, placeholder: "One a line", value: (rules.default ?? []).join("\n") });
  const value = () => {
    const texts = control.value.split("\n").map((text) => text.trim()).filter(Boolean);
    if (!texts.length) return undefined;
    const numeric = rules.items?.type === "integer" || rules.items?.type === "number";
    return numeric ? texts.map(Number) : texts;
  };
  return { control, value };
}

function json(common) {
  const control = make("textarea", { ...common, rows: 3, placeholder: "{ }", spellcheck: "false" });
  const value = () => {
    if (control.value.trim() === "") return undefined;
    try {
      return JSON.parse(control.value);
    } catch {
      throw new Error(`${titled(common.name)} is not JSON.`);
    }
  };
  return { control, value };
}
