// The album by Apollo Client: one normalised cache that pages, mutations and events all write.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { relayStylePagination } from '@apollo/client/utilities';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import { albumQuery, createMutation, eventsSubscription, moveMutation, rowOf } from './documents.js';
import type { AnalysisEventKind } from './schema-types.js';
import { resuming } from './resuming.js';
import { until } from './until.js';

export function albumClient(url: string, socketUrl: string, fetchFn = fetch) {
  const socket = createClient({ url: socketUrl, retryWait: async () => {} });
  const client = new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(resuming(socket)),
      new HttpLink({ uri: url, fetch: fetchFn }),
    ),
    cache: new InMemoryCache({
      typePolicies: { Dataset: { fields: { images: relayStylePagination() } } },
    }),
  });
  return { client, socket };
}

export async function main(url: string, socketUrl: string, dataset: string) {
  let requests = 0;
  const { client, socket } = albumClient(url, socketUrl, (...given) => {
    requests += 1;
    return fetch(...given);
  });
  const variables = { dataset, first: 2, found: { confidenceFrom: 0.5 } };

  // Two pages in one list.
  const album = client.watchQuery({ query: albumQuery, variables });
  const showing = album.subscribe(({ error }) => {
    if (error) throw error;
  });
  const images = () => {
    const { data, dataState } = album.getCurrentResult();
    return dataState === 'complete' ? data.dataset?.images : undefined;
  };
  await until(() => images() !== undefined);
  const first = images();
  await album.fetchMore({ variables: { after: first?.pageInfo.endCursor } });
  await until(() => images()?.pageInfo.hasNextPage === false);
  const whole = images();

  const imageId = whole?.edges[0]?.node.id ?? '';
  const input = { imageId, modelName: 'apollo', modelVersion: '1' };
  const { data: created } = await client.mutate({ mutation: createMutation, variables: { input } });
  const analysisId = created?.createAnalysis.id ?? '';
  await album.refetch();

  // Events alone keep the page current.
  const statusShown = () =>
    images()
      ?.edges.flatMap(({ node }) => node.analyses.nodes.map(rowOf))
      .find(({ id }) => id === analysisId)?.status;
  const statuses = [statusShown()];
  const events: { kind: AnalysisEventKind; cursor: string }[] = [];
  const { eventCursor } = album.getCurrentResult().data as { eventCursor: string };
  const following = client
    .subscribe({ query: eventsSubscription, variables: { dataset, after: eventCursor } })
    .subscribe(({ data, error }) => {
      if (error) throw error;
      if (data) events.push(data.analysisEvents);
    });
  for (const status of ['PROCESSING', 'FAILED'] as const) {
    const elsewhere = albumClient(url, socketUrl).client; // somebody else's browser
    await elsewhere.mutate({ mutation: moveMutation, variables: { input: { analysisId, status } } });
    await until(() => statusShown() === status);
    statuses.push(statusShown());
    socket.terminate(); // as when the network goes; the second event comes over another socket
  }

  following.unsubscribe();
  showing.unsubscribe();
  await socket.dispose();
  const cached = Object.keys(client.cache.extract() as object);
  return { first, whole, created: created?.createAnalysis, statuses, events, requests, cached };
}
