/** Asks the GraphQL endpoint: documents with variables, and uploads that tell how far they are. */

import { authorization } from "./credentials.js";

const ENDPOINT = "/graphql";

/** Tells when a request was refused for want of a key: an event "refused" each time. */
export const session = new EventTarget();

/** What the server, or the way to it, answered in place of data. */
export class RequestError extends Error {
  /**
   * @param {string} message for people
   * @param {string} code of the server's list, or OFFLINE
   */
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/**
 * @param {string} query a GraphQL document
 * @param {Record<string, unknown>} [variables]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} its data
 * @throws {RequestError}
 */
export async function ask(query, variables = {}, signal = undefined) {
  let response;
  try {
    response = await fetch(ENDPOINT, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json", ...authorization() },
      body: JSON.stringify({ query, variables }),
      signal,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestError("The server cannot be reached.", "OFFLINE");
  }
  return readAnswer(await response.text());
}

/**
 * Stores a picture by the GraphQL multipart request specification.
 * @param {string} query a mutation with `$input: UploadImageInput!`
 * @param {{datasetId: string}} input of the mutation, but for the file
 * @param {File} file
 * @param {(share: number) => void} onProgress share of the bytes that were sent, 0 to 1
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export function upload(query, input, file, onProgress, signal) {
  const form = new FormData();
  form.append("operations", JSON.stringify({ query, variables: { input: { ...input, file: null } } }));
  form.append("map", JSON.stringify({ 0: ["variables.input.file"] }));
  form.append("0", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much it has sent
    request.open("POST", ENDPOINT);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("GraphQL-Require-Preflight", "1");
    Object.entries(authorization()).forEach(([name, value]) => request.setRequestHeader(name, value));
    request.upload.onprogress = (event) => onProgress(event.loaded / (event.total || 1));
    request.onerror = () => reject(new RequestError("The upload was cut off.", "OFFLINE"));
    request.onabort = () => reject(new RequestError("Cancelled.", "CANCELLED"));
    request.onload = () => {
      try {
        resolve(readAnswer(request.responseText));
      } catch (error) {
        reject(error);
      }
    };
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/** @param {string} text */
function readAnswer(text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new RequestError("The server's answer cannot be read.", "INTERNAL");
  }
  if (!answer.errors?.length) return answer.data;
  const [first] = answer.errors;
  const code = first.extensions?.code ?? "INTERNAL";
  if (code === "UNAUTHENTICATED") session.dispatchEvent(new Event("refused"));
  throw new RequestError(first.message, code);
}

/**
 * The same file by this page's own origin: a public URL may name another, which our policy forbids.
 * @param {string} address
 */
export function ownAddress(address) {
  const { pathname, search } = new URL(address, location.href);
  return pathname + search;
}
