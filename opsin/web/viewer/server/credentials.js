/** The API key of this window, for servers that ask for one; gone when the window closes. */

const NAME = "opsin.key";

/** @returns {string | null} */
export const readKey = () => sessionStorage.getItem(NAME);

/** @param {string | null} key null forgets it */
export function keepKey(key) {
  if (key) sessionStorage.setItem(NAME, key);
  else sessionStorage.removeItem(NAME);
}

/** @returns {Record<string, string>} headers, or the payload of connection_init */
export function authorization() {
  const key = readKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}
