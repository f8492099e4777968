// Changes and follows by graphql-ws while the server's processes are replaced, until told to stop.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { dataOf, program, until } from './program.mjs';

const START = 'query { eventCursor }';
const CREATE = `mutation Create($image: ID!, $name: String!) {
  createAnalysis(input: {imageId: $image, modelName: $name, modelVersion: "1"}) { id }
}`;
const FOLLOW = `subscription Follow($image: ID!, $after: Cursor) {
  analysisEvents(imageId: $image, after: $after) { cursor kind analysis { id modelName } }
}`;

async function once(client, query, variables) {
  for await (const result of client.iterate({ query, variables })) return dataOf(result);
  throw new Error('the operation ended without a result');
}

async function restart(url, image, lastName) {
  const codes = [];
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    lazy: false,
    retryAttempts: 1000,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 20)),
    on: { closed: (event) => codes.push(event.code) },
  });
  const variables = { image, after: (await once(client, START)).eventCursor };
  const events = [];
  let last = false;
  client.subscribe(
    { query: FOLLOW, variables },
    {
      next: (result) => {
        const event = dataOf(result).analysisEvents;
        variables.after = event.cursor; // where to go on on the next socket
        events.push({ cursor: event.cursor, id: event.analysis.id });
        last ||= event.analysis.modelName === lastName;
      },
      error: (fault) => events.push({ fault: String(fault) }),
      complete: () => events.push({ fault: 'complete' }),
    },
  );
  const created = [];
  while (!last) {
    created.push((await once(client, CREATE, { image, name: 'socket' })).createAnalysis.id);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await until(() => new Set(events.map((event) => event.id)).size >= created.length);
  await client.dispose();
  return { created, events, codes };
}

await program('SOCKET_URL IMAGE_ID LAST_NAME', restart, 85); // processes take their time to start
