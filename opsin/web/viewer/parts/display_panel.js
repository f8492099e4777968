/** How findings are drawn: colours, opacity, labels, the colour map of heatmaps. */

import { COLOR_MAPS } from "../geometry/color_maps.js";
import { make } from "./element.js";
import { titled } from "./wording.js";

/** @param {import("../drawing/scene.js").Scene} scene */
export function displayPanel(scene) {
  const { display } = scene;
  const change = (name, value) => {
    display[name] = value;
    scene.changed();
  };
  const colorBy = make("select", { id: "color-by", onchange: () => change("colorBy", colorBy.value) },
    make("option", { value: "class" }, "By class"), make("option", { value: "analysis" }, "By analysis"));
  const colorMap = make("select", { id: "color-map", onchange: () => change("colorMap", colorMap.value) },
    COLOR_MAPS.map((name) => make("option", { value: name }, titled(name))));
  const labels = make("input", { type: "checkbox", id: "labels", onchange: () => change("labels", labels.checked) });
  const slider = (id, name) => {
    const input = make("input", { type: "range", id, min: 0, max: 100, oninput: () => change(name, input.valueAsNumber / 100) });
    return input;
  };
  const opacity = slider("fill-opacity", "opacity");
  const heat = slider("heat-opacity", "heatOpacity");

  function render() {
    colorBy.value = display.colorBy;
    colorMap.value = display.colorMap;
    labels.checked = display.labels;
    opacity.value = String(display.opacity * 100);
    heat.value = String(display.heatOpacity * 100);
  }
  scene.addEventListener("change", render);
  render();
  const line = (control, label) => make("div", { class: "control-line" }, make("label", { for: control.id }, label), control);
  return [
    line(colorBy, "Colours"),
    line(opacity, "Fill"),
    line(heat, "Heatmap"),
    line(colorMap, "Colour map"),
    make("div", { class: "control-line" }, make("label", { for: "labels" }, "Labels"), labels),
  ];
}
