/** The head that the pages of a dataset share: its name, and the way from one to the others. */

import { make } from "./element.js";

const TABS = [["", "Images"], ["/subjects", "Subjects"], ["/applications", "Applications"], ["/about", "Classes and details"]];

/**
 * @param {{id: string, name: string, description: string, imageType: any}} dataset
 * @param {string} current the end of the address of the page that it is for
 * @param {any[]} [tools]
 */
export function datasetHead({ id, name, description, imageType }, current, tools = []) {
  return [
    make("header", { class: "page-head" },
      make("div", {},
        make("nav", { class: "crumbs", "aria-label": "Path" }, make("a", { href: "#/" }, "Datasets")),
        make("h1", {}, name),
        (description || imageType) && make("p", { class: "muted" }, [imageType?.title, description].filter(Boolean).join(" · "))),
      make("div", { class: "page-tools" }, tools)),
    make("nav", { class: "tabs", "aria-label": "Dataset" }, TABS.map(([end, title]) =>
      make("a", { href: `#/datasets/${id}${end}`, "aria-current": end === current ? "page" : null }, title))),
  ];
}
