// Subscriptions that go on where a lost socket left them.
import type { Client, FormattedExecutionResult } from 'graphql-ws';

interface Following {
  analysisEvents?: { cursor?: string };
}

/**
 * The client, but each subscription with the variable `$after` continues after its newest cursor:
 * graphql-ws connects again by itself, and then sends the variables as they are at that moment.
 */
export function resuming(client: Client): Client {
  const subscribe: Client['subscribe'] = (payload, sink) => {
    const variables = { ...payload.variables };
    return client.subscribe(
      { ...payload, variables },
      {
        next: (result) => {
          const { data } = result as FormattedExecutionResult<Following>;
          if (data?.analysisEvents?.cursor) variables['after'] = data.analysisEvents.cursor;
          sink.next(result as Parameters<typeof sink.next>[0]);
        },
        error: (fault) => sink.error(fault),
        complete: () => sink.complete(),
      },
    );
  };
  return { ...client, subscribe };
}
