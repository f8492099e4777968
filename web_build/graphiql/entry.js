// The whole GraphiQL page: queries over fetch, subscriptions over graphql-transport-ws, both at /graphql.
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';

import 'graphiql/graphiql.css';
import './page.css';
import { storage } from './storage.js';

const DEFAULT_QUERY = `{
  operations {
    name
    version
    available
    unavailableReason
  }
}
`;

const endpoint = new URL('/graphql', window.location.href);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === 'https:' ? 'wss:' : 'ws:';

// What the header editor holds goes with every request, and opens every subscription's own socket.
function fetcher(parameters, options) {
  const connect = {
    url: socket.href,
    connectionParams: options?.headers,
    // Without retries a refused key shows as an error now, not after half a minute of trying again.
    retryAttempts: 0,
  };
  const fetchOrSubscribe = createGraphiQLFetcher({
    url: endpoint.href,
    wsClient: createClient(connect), // opens no socket until something is subscribed to
    // The server has no @defer or @stream, and asking for them would only change how errors come back.
    enableIncrementalDelivery: false,
  });
  return fetchOrSubscribe(parameters, options);
}

createRoot(document.getElementById('graphiql')).render(
  createElement(GraphiQL, { fetcher, storage, defaultQuery: DEFAULT_QUERY, isHeadersEditorEnabled: true }),
);
