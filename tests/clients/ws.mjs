// A query, mutations and a resumed subscription on one socket, by graphql-ws.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { dataOf, post, program, until } from './program.mjs';

const START = `query Start($image: ID!) {
  eventCursor
  image(id: $image) { filename analyses { nodes { modelName annotations { totalCount } } } }
}`;
const CREATE = `mutation Create($image: ID!) {
  createAnalysis(input: {imageId: $image, modelName: "walker", modelVersion: "1"}) { id status }
}`;
const MOVE = `mutation Move($id: ID!, $status: AnalysisStatus!) {
  updateAnalysisStatus(input: {analysisId: $id, status: $status}) { status }
}`;
const FOLLOW = `subscription Follow($image: ID!, $after: Cursor) {
  analysisEvents(imageId: $image, after: $after) { cursor kind status analysis { modelName } }
}`;

async function once(client, query, variables) {
  for await (const result of client.iterate({ query, variables })) return dataOf(result);
  throw new Error('the operation ended without a result');
}

/** Follows into `events`; after a lost socket, graphql-ws sends `variables` as they are then. */
function follow(client, variables, events) {
  return client.subscribe(
    { query: FOLLOW, variables },
    {
      next: (result) => {
        const event = dataOf(result).analysisEvents;
        variables.after = event.cursor; // where to go on after a lost connection
        events.push(event);
      },
      error: (fault) => events.push({ fault: String(fault) }),
      complete: () => events.push({ fault: 'complete' }),
    },
  );
}

await program('HTTP_URL SOCKET_URL IMAGE_ID', async (httpUrl, url, image) => {
  let sockets = 0;
  let mayReturn = false;
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    lazy: false, // keeps one socket, also while nothing is asked
    retryWait: () => until(() => mayReturn),
    on: { opened: () => (sockets += 1) },
  });

  const start = await once(client, START, { image });
  const events = [];
  const unsubscribe = follow(client, { image, after: start.eventCursor }, events);
  const { createAnalysis: created } = await once(client, CREATE, { image });
  await once(client, MOVE, { id: created.id, status: 'PROCESSING' });
  await until(() => events.length === 2);

  client.terminate(); // as when the network goes
  await post(httpUrl, MOVE, { id: created.id, status: 'FAILED' });
  mayReturn = true;
  await until(() => events.length === 3);
  await once(client, CREATE, { image }); // lives on after what was missed
  await until(() => events.length === 4);

  unsubscribe();
  await client.dispose();
  return { start, created, events, sockets };
});
