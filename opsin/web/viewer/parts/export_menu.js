/** Where results can be taken along: JSON, CSV and COCO, by links that need no further rights. */

import { icon, make } from "./element.js";
import { closesByItself } from "./popover.js";
import { ownAddress } from "../server/graphql.js";

/** @param {{json: string, csv: string, coco: string}} links of an image, a dataset or an analysis */
export function exportMenu(links, label = "Export") {
  const link = (name, address) =>
    make("a", { class: "menu-item", href: ownAddress(address), download: "" }, name);
  const menu = closesByItself(make("details", { class: "menu" },
    make("summary", { class: "button" }, icon("download"), label),
    make("div", { class: "menu-list" }, link("JSON", links.json), link("CSV", links.csv), link("COCO", links.coco))));
  menu.addEventListener("click", (event) => {
    if (event.target.closest("a")) menu.open = false;
  });
  return menu;
}
