/** What the caller may do: in the whole company, and in single datasets. */

import { ask } from "./graphql.js";
import { PERMISSIONS } from "./documents.js";

const KEPT = 60_000; // ms; what is refused all the same says so
const EVERYTHING = ["read", "annotate", "upload", "analyze", "report", "admin"];

/** By dataset, and under "" in the whole company. @type {Map<string, {until: number, read: Promise<string[]>}>} */
const known = new Map();

/** @param {string} [datasetId] @returns {Promise<string[]>} their names, in small letters */
export async function permissionsIn(datasetId) {
  const everywhere = await remembered("");
  return !datasetId || everywhere.length === EVERYTHING.length ? everywhere : remembered(datasetId);
}

/** Somebody else may be signed in now. */
export function forgetPermissions() {
  known.clear();
}

function remembered(datasetId) {
  const there = known.get(datasetId);
  if (there && there.until > Date.now()) return there.read;
  // Where it cannot be told, everything is offered: the server refuses what may not be.
  const read = ask(PERMISSIONS, { id: datasetId || null })
    .then(({ viewer }) => viewer.permissions.map((one) => one.toLowerCase()))
    .catch(() => EVERYTHING);
  known.set(datasetId, { until: Date.now() + KEPT, read });
  return read;
}

/** Hides in an element what takes other permissions, by the rules of controls.css. @param {HTMLElement} element @param {string[]} allowed */
export function showAllowed(element, allowed) {
  element.dataset.may = allowed.join(" ");
}

/** Whether the page in the window may be used for this. @param {string} permission */
export const may = (permission) => (document.getElementById("main")?.dataset.may ?? permission).split(" ").includes(permission);

/** What is to be said of them; empty when there is nothing. @param {string[]} allowed */
export function inWords(allowed) {
  if (EVERYTHING.every((one) => allowed.includes(one))) return "";
  const able = [["annotate", "classify and comment"], ["upload", "upload"], ["analyze", "run operations"], ["admin", "administer"]].filter(([name]) => allowed.includes(name)).map(([, text]) => text);
  return able.length ? `You may look, ${able.join(", ")}` : "You may look, and change nothing";
}
