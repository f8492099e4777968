// The album by Relay: what relay-compiler wrote into a folder, run by relay-runtime.
import { pathToFileURL } from 'node:url';
import { createClient } from 'graphql-ws';
import relay from 'relay-runtime';
import { dataOf, program, until } from './program.mjs';

const { Environment, Network, Observable, RecordSource, Store } = relay;
const { commitMutation, createOperationDescriptor, fetchQuery, getSelector } = relay;

/** How Relay names a document: by its text, or by its id where the compiler wrote a manifest. */
function request({ id, text }, variables) {
  return text === null ? { documentId: id, variables } : { query: text, variables };
}

async function send(url, body) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  return { data: dataOf(await response.json()) };
}

function environment(url, socket) {
  const network = Network.create(
    (document, variables) => send(url, request(document, variables)),
    (document, variables) =>
      // graphql-ws wants a text, also where an id takes its place.
      Observable.create((sink) =>
        socket.subscribe({ query: '', ...request(document, variables) }, sink),
      ),
  );
  return new Environment({ network, store: new Store(new RecordSource()) });
}

await program('FOLDER HTTP_URL SOCKET_URL DATASET_ID', async (folder, url, socketUrl, dataset) => {
  async function artifact(name) {
    const path = `${folder}/__generated__/${name}.graphql.js`;
    return (await import(pathToFileURL(path).href)).default;
  }
  const albumQuery = await artifact('AlbumQuery');
  const pageQuery = await artifact('AlbumPageQuery');
  const album = await artifact('Album_images');
  const picture = await artifact('Picture_image');
  const socket = createClient({ url: socketUrl });
  const relayed = environment(url, socket);
  const mutate = (browser, mutation, input) =>
    new Promise((onCompleted, onError) => {
      commitMutation(browser, { mutation, variables: { input }, onCompleted, onError });
    });

  const root = await fetchQuery(relayed, albumQuery, { dataset }).toPromise();
  const operation = createOperationDescriptor(albumQuery, { dataset });
  relayed.retain(operation);
  // What a component would be given that reads this fragment.
  const read = (fragment, reference) => relayed.lookup(getSelector(fragment, reference)).data;
  const images = () => read(album, relayed.lookup(operation.fragment).data.dataset).images;
  const analyses = () =>
    images().edges.flatMap((image) =>
      read(picture, image.node).analyses.edges.map(({ node }) => node),
    );

  const first = images();
  const filenames = (connection) => connection.edges.map(({ node }) => node.filename);
  // As `loadNext` of usePaginationFragment does: the query that the compiler made of the fragment.
  const page = { id: dataset, count: 2, cursor: first.pageInfo.endCursor };
  await fetchQuery(relayed, pageQuery, page).toPromise();
  const whole = images();
  const shown = analyses();

  const imageId = whole.edges[0].node.id;
  const { createAnalysis: created } = await mutate(
    relayed,
    await artifact('CreateMutation'),
    { imageId, modelName: 'relay', modelVersion: '1' },
  );
  const status = () => analyses().find(({ id }) => id === created.id)?.status;
  const statuses = [status()];
  const kinds = [];
  let failure = null;
  const following = relay.requestSubscription(relayed, {
    subscription: await artifact('EventsSubscription'),
    variables: { dataset, after: root.eventCursor },
    onNext: ({ analysisEvents }) => kinds.push(analysisEvents.kind),
    onError: (fault) => (failure = fault),
  });
  const met = (condition) =>
    until(() => {
      if (failure) throw failure;
      return condition();
    });
  await met(() => kinds.length === 1);
  const elsewhere = environment(url, socket);
  await mutate(elsewhere, await artifact('FinishMutation'), { analysisId: created.id });
  await met(() => status() === 'COMPLETED');
  statuses.push(status());

  const things = [];
  const thingQuery = await artifact('ThingQuery');
  for (const id of [dataset, imageId, created.id]) {
    things.push((await fetchQuery(relayed, thingQuery, { id }).toPromise()).node);
  }
  following.dispose();
  await socket.dispose();
  return {
    pages: [filenames(first), filenames(whole)],
    hasNextPage: [first.pageInfo.hasNextPage, whole.pageInfo.hasNextPage],
    shown,
    statuses,
    kinds,
    things,
  };
});
