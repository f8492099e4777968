// How a program of this folder runs: one JSON text on stdout, or a reason on stderr and status 1.

const TIME_LIMIT_SECONDS = 45;

function describe(fault) {
  // Clients throw GraphQL errors, socket close events and ordinary errors alike.
  if (Array.isArray(fault)) return JSON.stringify(fault);
  if (typeof fault?.code === 'number') return `socket closed: ${fault.code} ${fault.reason}`;
  return fault?.stack ?? String(fault);
}

/** Runs `main` with the command line's arguments and prints what it gives. */
export async function program(usage, main, seconds = TIME_LIMIT_SECONDS) {
  const given = process.argv.slice(2);
  if (given.length < usage.split(' ').length) {
    console.error(`usage: node ${process.argv[1]} ${usage}`);
    process.exit(2);
  }
  setTimeout(() => {
    console.error(`not done within ${seconds} s`);
    process.exit(1);
  }, seconds * 1000).unref();
  try {
    process.stdout.write(`${JSON.stringify(await main(...given))}\n`);
  } catch (fault) {
    console.error(describe(fault));
    process.exit(1); // an open socket would keep the process alive
  }
}

/** The data of a result without errors. */
export function dataOf({ data, errors, error }) {
  if (error) throw error;
  if (errors?.length) throw errors;
  return data;
}

/** Waits until `condition` gives something true, which it returns. */
export async function until(condition) {
  for (;;) {
    const met = condition();
    if (met) return met;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** An operation by plain HTTP, as another program would send it. */
export async function post(url, query, variables) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  return dataOf(await response.json());
}
