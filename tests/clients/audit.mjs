// Checks a GraphQL endpoint against the GraphQL over HTTP specification: node audit.mjs URL [API_KEY]
import { serverAudits } from 'graphql-http';

// graphql-http names a failed audit by its level: MUST -> error, SHOULD -> warn, MAY -> notice.
const FAILING = new Set(['error', 'warn']);

const [url, apiKey] = process.argv.slice(2);
if (!url) {
  console.error('usage: node audit.mjs URL [API_KEY]');
  process.exit(2);
}

function fetchFn(address, options = {}) {
  const headers = new Headers(options.headers);
  if (apiKey) headers.set('authorization', `Bearer ${apiKey}`);
  return fetch(address, { ...options, headers });
}

async function run(audit) {
  try {
    const { id, name, status, reason = null } = await audit.fn();
    return { id, name, status, reason };
  } catch (fault) {
    // An audit throws only when it could not be made at all, as when nothing listens on the URL.
    return { id: audit.id, name: audit.name, status: 'error', reason: `not made: ${fault.cause ?? fault}` };
  }
}

const results = await Promise.all(serverAudits({ url, fetchFn }).map(run));
const failed = results.some(({ status }) => FAILING.has(status));

// Some audits leave their response unread, and its socket would keep the process alive.
process.stdout.write(`${JSON.stringify({ results })}\n`, () => process.exit(failed ? 1 : 0));
