/** The images before and after one in its dataset, by the time at which they were taken in. */

import { ask } from "../server/graphql.js";

const PAGE = `query Page($after: String, $dataset: ID!) {
  images(first: 1000, after: $after, filter: {datasetId: $dataset}) { nodes { id } pageInfo { hasNextPage endCursor } }
}`;

/** @type {{dataset: string, ids: string[]} | null} the list in which one moved last */
let known = null;

/** @param {any} image @returns {Promise<{previous: string | null, next: string | null}>} */
export async function neighbours(image) {
  const dataset = image.dataset.id;
  if (known?.dataset !== dataset || !known.ids.includes(image.id)) known = { dataset, ids: await readIds(dataset, image.id) };
  const at = known.ids.indexOf(image.id);
  return { previous: known.ids[at - 1] ?? null, next: known.ids[at + 1] ?? null };
}

/** Up to the page after the one that holds the image. */
async function readIds(dataset, wanted) {
  const ids = [];
  for (let after = null, enough = false; ; ) {
    const { images } = await ask(PAGE, { after, dataset });
    ids.push(...images.nodes.map((node) => node.id));
    if (!images.pageInfo.hasNextPage || enough) return ids;
    enough = ids.includes(wanted);
    after = images.pageInfo.endCursor;
  }
}
