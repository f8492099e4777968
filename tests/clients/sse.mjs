// A query and a resumed subscription by server-sent events: graphql-sse, one connection each.
import { createClient } from 'graphql-sse';
import { dataOf, post, program } from './program.mjs';

const START = `query Start($image: ID!) {
  eventCursor
  image(id: $image) { filename analyses { nodes { modelName annotations { totalCount } } } }
}`;
const CREATE = `mutation Create($image: ID!) {
  createAnalysis(input: {imageId: $image, modelName: "streamer", modelVersion: "1"}) { id status }
}`;
const FINISH = `mutation Finish($id: ID!) {
  finalizeAnalysis(input: {analysisId: $id, summary: {people: 2}}) { status }
}`;
const FOLLOW = `subscription Follow($image: ID!, $after: Cursor) {
  analysisEvents(imageId: $image, after: $after) { cursor kind status analysis { modelName } }
}`;

async function once(client, query, variables) {
  const results = [];
  for await (const result of client.iterate({ query, variables })) results.push(dataOf(result));
  if (results.length !== 1) throw new Error(`${results.length} results of one operation`);
  return results[0];
}

await program('HTTP_URL IMAGE_ID', async (url, image) => {
  const client = createClient({ url, retryAttempts: 0 });
  const start = await once(client, START, { image });
  const { createAnalysis: created } = await once(client, CREATE, { image });

  const events = [];
  let after = start.eventCursor;
  async function follow(enough) {
    for await (const result of client.iterate({ query: FOLLOW, variables: { image, after } })) {
      const event = dataOf(result).analysisEvents;
      after = event.cursor;
      events.push(event);
      if (events.length === enough) return; // leaving the loop ends the request
    }
  }
  await follow(1);
  await post(url, FINISH, { id: created.id });
  await follow(2);
  client.dispose();
  return { start, created, events };
});
