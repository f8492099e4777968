// The album by urql: queries and mutations over HTTP, subscriptions over graphql-ws.
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import { albumQuery, createMutation, eventsSubscription, rowOf, type Row } from './documents.js';
import type { AnalysisEventKind } from './schema-types.js';
import { resuming } from './resuming.js';
import { until } from './until.js';

export function albumClient(url: string, socketUrl: string, fetchFn = fetch) {
  const socket = resuming(createClient({ url: socketUrl }));
  return new Client({
    url,
    fetch: fetchFn,
    preferGetMethod: false,
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = '', variables }) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });
}

/** The same, with subscriptions as server-sent events, for those who cannot hold a socket. */
export function streamingClient(url: string, fetchFn = fetch) {
  return new Client({
    url,
    fetch: fetchFn,
    preferGetMethod: false,
    fetchSubscriptions: true,
    exchanges: [cacheExchange, fetchExchange],
  });
}

async function follow(client: Client, dataset: string) {
  const variables = { dataset, found: { confidenceFrom: 0.5 } };

  // A page shows the album; urql asks again once a mutation has changed a type that it shows.
  let rows: Row[] = [];
  let cursor = '';
  const page = client.query(albumQuery, variables).subscribe(({ data, error }) => {
    if (error) throw error;
    cursor ||= data?.eventCursor ?? '';
    const edges = data?.dataset?.images.edges ?? [];
    rows = edges.flatMap(({ node }) => node.analyses.nodes.map(rowOf));
  });
  await until(() => rows.length > 0);
  const before = rows;
  const { data: album, operation } = await client.query(albumQuery, variables).toPromise();

  const events: { kind: AnalysisEventKind; id?: string }[] = [];
  const following = client
    .subscription(eventsSubscription, { dataset, after: cursor })
    .subscribe(({ data, error }) => {
      if (error) throw error;
      if (data) events.push({ kind: data.analysisEvents.kind, id: data.analysisEvents.analysis?.id });
    });
  const imageId = album?.dataset?.images.edges[0]?.node.id ?? '';
  const input = { imageId, modelName: 'urql', modelVersion: '1' };
  const { data: created } = await client.mutation(createMutation, { input }).toPromise();
  await until(() => events.length === 1 && rows.length === before.length + 1);

  following.unsubscribe();
  page.unsubscribe();
  return {
    album,
    cacheOutcome: operation.context.meta?.cacheOutcome,
    before,
    after: rows,
    created: created?.createAnalysis,
    events,
  };
}

export async function main(url: string, socketUrl: string, dataset: string) {
  const types: (string | null)[] = [];
  const fetchFn: typeof fetch = async (...given) => {
    const response = await fetch(...given);
    types.push(response.headers.get('content-type'));
    return response;
  };
  return {
    socket: await follow(albumClient(url, socketUrl, fetchFn), dataset),
    stream: await follow(streamingClient(url, fetchFn), dataset),
    types,
  };
}
