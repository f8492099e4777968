/** Asks for an API key, where the server wants one. */

import { ask } from "../server/graphql.js";
import { keepKey } from "../server/credentials.js";
import { VIEWER } from "../server/documents.js";
import { make } from "../parts/element.js";

/** @param {() => void} onEntered */
export function signInPage(onEntered) {
  const failure = make("p", { class: "analysis-error", role: "alert" });
  const input = make("input", { id: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const submit = async (event) => {
    event.preventDefault();
    failure.textContent = "";
    keepKey(input.value.trim());
    try {
      await ask(VIEWER);
      onEntered();
    } catch (error) {
      keepKey(null);
      failure.textContent = error.code === "UNAUTHENTICATED" ? "The server does not know this key." : error.message;
    }
  };
  const element = make("form", { class: "message sign-in", onsubmit: submit },
    make("h1", {}, "Sign in"),
    make("p", { class: "muted" }, "This server asks for an API key. It is kept until this window is closed."),
    make("div", { class: "field" }, make("label", { for: "key" }, "API key"), input),
    failure,
    make("button", { type: "submit", class: "button primary" }, "Sign in"));
  return { title: "Sign in", element };
}
