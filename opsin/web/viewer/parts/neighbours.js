/** The images before and after one in its dataset, among those that were looked for there. */

import { ask } from "../server/graphql.js";
import { NEIGHBOURS } from "../server/documents.js";

/** What was looked for last, and where. @type {{dataset: string, filter: any} | null} */
let search = null;

/** @param {string} dataset @param {any} filter of the server */
export function rememberSearch(dataset, filter) {
  search = { dataset, filter };
}

/**
 * @param {any} image
 * @returns {Promise<{previous: string | null, next: string | null}>} previous is the older one
 */
export async function neighbours({ id, createdAt, dataset }) {
  const filter = { ...(search?.dataset === dataset.id ? search.filter : {}), datasetId: dataset.id };
  // Several may have been taken in within the millisecond that a Date can tell.
  const [from, to] = [0, 1].map((more) => new Date(new Date(createdAt).getTime() + more).toISOString());
  const { later, earlier } = await ask(NEIGHBOURS, {
    later: { ...filter, createdFrom: latest(filter.createdFrom, from) },
    earlier: { ...filter, createdBefore: earliest(filter.createdBefore, to) },
  });
  // Ids are in the order of time, so that it matters not whether the image itself is among them.
  return {
    next: later.nodes.find((one) => one.id > id)?.id ?? null,
    previous: earlier.nodes.find((one) => one.id < id)?.id ?? null,
  };
}

const latest = (one, other) => (one && one > other ? one : other);
const earliest = (one, other) => (one && one < other ? one : other);
