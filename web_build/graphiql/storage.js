// Where GraphiQL keeps its tabs, settings and history: the browser's storage, less the headers of past queries.
// GraphiQL would keep those, API keys included, also where the user has not asked it to persist headers.
const PREFIX = 'graphiql:';
const HISTORY = new Set([`${PREFIX}queries`, `${PREFIX}favorites`]);

const ownKeys = () => Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
const dropHeaders = (name, value) => (name === 'headers' ? undefined : value);

export const storage = {
  getItem: (key) => localStorage.getItem(key),
  setItem(key, value) {
    localStorage.setItem(key, HISTORY.has(key) ? JSON.stringify(JSON.parse(value), dropHeaders) : value);
  },
  removeItem: (key) => localStorage.removeItem(key),
  clear: () => ownKeys().forEach((key) => localStorage.removeItem(key)),
  get length() {
    return ownKeys().length;
  },
};
