/** Who a subject is: its name, day of birth and sex. */

import { make } from "./element.js";

const SEXES = [["male", "Male"], ["female", "Female"]];

/**
 * @param {{name?: string, birthDate?: string | null, sex?: string | null}} before
 * @param {string} action the button's text
 * @param {(given: {name: string, birthDate: string | null, sex: string | null}) => Promise<void>} save
 */
export function subjectForm(before, action, save) {
  const name = make("input", { id: "subject-name", required: true, maxlength: 512, value: before.name ?? "", autocomplete: "off" });
  const born = make("input", { id: "subject-born", type: "date", value: before.birthDate ?? "" });
  const sex = make("select", { id: "subject-sex" }, make("option", { value: "" }, "Not told"), SEXES.map(([value, text]) => make("option", { value, selected: value === before.sex }, text)));
  const failure = make("p", { class: "analysis-error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    failure.textContent = "";
    try {
      await save({ name: name.value, birthDate: born.value || null, sex: sex.value || null });
    } catch (error) {
      failure.textContent = error.message;
    }
  };
  const field = (control, label) => make("div", { class: "field" }, make("label", { for: control.id }, label), control);
  return make("form", { onsubmit: submit }, field(name, "Name"), field(born, "Day of birth"), field(sex, "Sex"), failure,
    make("div", { class: "dialog-actions" }, make("button", { type: "submit", class: "button primary" }, action)));
}
