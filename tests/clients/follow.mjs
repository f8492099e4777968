// Follows one analysis until it ends: node follow.mjs WS_URL ANALYSIS_ID [AFTER_CURSOR] [API_KEY]
// An empty AFTER_CURSOR starts with the events from now on.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const TIME_LIMIT_MS = 60_000;
const TERMINAL = new Set(['COMPLETED', 'FAILED', 'CANCELLED']);
const QUERY = `subscription ($id: ID!, $after: Cursor) {
  analysisEvents(analysisId: $id, after: $after) { cursor kind analysis { id status } }
}`;

const [url, id, after, apiKey] = process.argv.slice(2);
if (!url || !id) {
  console.error('usage: node follow.mjs WS_URL ANALYSIS_ID [AFTER_CURSOR] [API_KEY]');
  process.exit(2);
}

function describe(fault) {
  // graphql-ws throws GraphQL errors, socket close events and ordinary errors alike.
  if (Array.isArray(fault)) return JSON.stringify(fault);
  if (typeof fault?.code === 'number') return `socket closed: ${fault.code} ${fault.reason}`;
  return String(fault?.message ?? fault);
}

async function follow(client) {
  for await (const { data, errors } of client.iterate({ query: QUERY, variables: { id, after: after || null } })) {
    if (errors) throw errors;
    const event = data.analysisEvents;
    console.log(JSON.stringify(event));
    if (TERMINAL.has(event.analysis.status)) return;
  }
  throw new Error('the server ended the subscription before the analysis ended');
}

setTimeout(() => {
  console.error(`no end of the analysis within ${TIME_LIMIT_MS / 1000} s`);
  process.exit(1);
}, TIME_LIMIT_MS).unref();

const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: apiKey ? { Authorization: `Bearer ${apiKey}` } : undefined,
  retryAttempts: 0,
});

try {
  await follow(client);
} catch (fault) {
  console.error(describe(fault));
  process.exitCode = 1;
} finally {
  await client.dispose();
}
