/** API keys: made, shown once, revoked. */

import { ask } from "../server/graphql.js";
import { CREATE_KEY, KEYS, REVOKE_KEY } from "../server/documents.js";
import { notify, reportFailure, say } from "../parts/announcer.js";
import { confirm, openDialog } from "../parts/dialog.js";
import { fill, icon, make } from "../parts/element.js";
import { ago, time } from "../parts/wording.js";

export async function keysPage() {
  const rows = make("tbody", {});
  const name = make("input", { id: "key-name", required: true, maxlength: 255, placeholder: "e.g. detector pipeline" });
  const { viewer } = await ask(KEYS);

  async function refresh() {
    render((await ask(KEYS)).viewer);
  }

  function render({ apiKeys }) {
    fill(rows, apiKeys.length ? apiKeys.map((key) => row(key, refresh)) : make("tr", {}, make("td", { colspan: 5, class: "empty" }, "No keys yet.")));
  }

  async function create(event) {
    event.preventDefault();
    const { createApiKey } = await ask(CREATE_KEY, { name: name.value });
    name.value = "";
    showOnce(createApiKey.key);
    await refresh();
  }

  render(viewer);
  const element = make("div", { class: "page narrow" },
    make("header", { class: "page-head" }, make("div", {},
      make("h1", {}, "API keys"),
      make("p", { class: "muted" }, `For programs that act for ${viewer.company}. Revoking a key ends it at once.`))),
    make("p", { class: "hint", dataset: { without: "admin" } }, "Only administrators of the company make and revoke keys."),
    make("form", { class: "inline-form", dataset: { needs: "admin" }, onsubmit: (event) => reportFailure(create(event)) },
      make("div", { class: "field" }, make("label", { for: "key-name" }, "Name of a new key"), name),
      make("button", { type: "submit", class: "button primary" }, icon("plus"), "Make key")),
    make("div", { class: "table-frame" }, make("table", { class: "keys" },
      make("caption", { class: "visually-hidden" }, "API keys, newest first"),
      make("thead", {}, make("tr", {}, ["Name", "Begins with", "Made", "Last used", ""].map((text) => make("th", { scope: "col" }, text || make("span", { class: "visually-hidden" }, "Actions"))))),
      rows)));
  return { title: "API keys", element };
}

function row({ id, name, prefix, createdAt, lastUsedAt, revokedAt }, refresh) {
  const revoke = async () => {
    if (!(await confirm("Revoke this key?", `Programs that use “${name}” will be refused from now on. This cannot be undone.`, "Revoke"))) return;
    await ask(REVOKE_KEY, { id });
    say(`${name} was revoked.`);
    await refresh();
  };
  const action = revokedAt
    ? make("span", { class: "muted" }, `revoked ${ago(revokedAt)}`)
    : make("button", { type: "button", class: "button", dataset: { needs: "admin" }, "aria-label": `Revoke ${name}`, onclick: () => reportFailure(revoke()) }, "Revoke");
  return make("tr", { class: revokedAt ? "ended" : "" },
    make("th", { scope: "row" }, name),
    make("td", {}, make("code", {}, `opsin_${prefix}…`)),
    make("td", { title: time(createdAt) }, ago(createdAt)),
    make("td", { title: time(lastUsedAt) }, ago(lastUsedAt)),
    make("td", { class: "actions" }, action));
}

function showOnce(key) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(key);
      notify("The key was copied.");
    } catch {
      notify("The browser does not let this page copy: select the key instead.", "error");
    }
  };
  openDialog("Your new key", [
    make("p", {}, "Keep it now: it is not shown again."),
    make("code", { class: "secret", tabindex: "0" }, key),
    make("div", { class: "dialog-actions" }, make("button", { type: "button", class: "button primary", onclick: copy }, "Copy")),
  ]);
}
