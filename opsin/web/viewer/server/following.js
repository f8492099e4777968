/** Follows what happens live: graphql-transport-ws, with the cursor from where to go on. */

import { authorization } from "./credentials.js";
import { VIEWER } from "./documents.js";
import { ask } from "./graphql.js";

const LONGEST_PAUSE = 15_000; // ms between attempts to connect

/** @typedef {"connecting" | "live" | "lost"} State */

/** One subscription on one socket; it comes back after losses until `stop`. */
export class Following {
  #socket = null;
  #stopped = false;
  #attempts = 0;
  #timer = 0;

  /**
   * @param {string} document a subscription to one field, with `$after`
   * @param {{after: string, datasetId?: string, imageId?: string}} variables where it begins, of what
   * @param {object} told
   * @param {(event: any) => void} told.onEvent an event, never RESYNC
   * @param {() => Promise<string>} told.onResync reads the state anew, gives its eventCursor
   * @param {(state: State) => void} told.onState
   */
  constructor(document, variables, { onEvent, onResync, onState }) {
    this.document = document;
    this.variables = { ...variables };
    this.onEvent = onEvent;
    this.onResync = onResync;
    this.onState = onState;
    this.#connect();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
  }

  #connect() {
    if (this.#stopped) return;
    this.onState("connecting");
    const address = new URL("/graphql", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, "graphql-transport-ws");
    this.#socket = socket;
    const send = (message) => socket.send(JSON.stringify(message));
    socket.onopen = () => send({ type: "connection_init", payload: authorization() });
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data), send, socket);
    socket.onclose = ({ code }) => this.#lost(socket, code);
  }

  #receive(message, send, socket) {
    if (socket !== this.#socket || this.#stopped) return;
    if (message.type === "connection_ack") {
      this.#attempts = 0;
      send({ id: "1", type: "subscribe", payload: { query: this.document, variables: this.variables } });
      this.onState("live");
    } else if (message.type === "ping") {
      send({ type: "pong" });
    } else if (message.type === "next" && message.payload.errors) {
      this.#refused(message.payload.errors);
    } else if (message.type === "next") {
      this.#take(Object.values(message.payload.data ?? {})[0]);
    } else if (message.type === "error" || message.type === "complete") {
      if (message.type === "error") this.#refused(message.payload);
      this.#attempts = Math.max(this.#attempts, 4); // what was refused just now is not asked for at once
      socket.close(1000);
    }
  }

  /** Whether the key is still good, a question tells, and all of the page hears of it. */
  #refused(errors) {
    if (errors.some((error) => error.extensions?.code === "UNAUTHENTICATED")) ask(VIEWER).catch(() => {});
  }

  #take(event) {
    if (!event) return;
    if (event.kind === "RESYNC") {
      this.#resync();
      return;
    }
    // Kept only once it was dealt with: after a loss, what broke off comes again.
    this.onEvent(event);
    this.variables.after = event.cursor;
  }

  /** Current rather than complete: the state is read anew, and followed from there. */
  async #resync() {
    const behind = this.#socket;
    this.#socket = null;
    behind?.close(1000);
    try {
      this.variables.after = await this.onResync();
      this.#connect();
    } catch {
      this.#lost(null, 1006);
    }
  }

  #lost(socket, code) {
    if (this.#stopped || socket !== this.#socket) return;
    this.#socket = null;
    this.onState("lost");
    if (code === 4401 || code === 4403) {
      ask(VIEWER).catch(() => {}); // without a right to it, to go on is no use
      return;
    }
    const pause = Math.min(LONGEST_PAUSE, 500 * 2 ** this.#attempts) * (0.75 + Math.random() / 2);
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.#connect(), pause);
  }
}
