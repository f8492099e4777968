/** The viewer: its frame, and which page the address names. */

import { session, ask } from "./server/graphql.js";
import { readKey, keepKey } from "./server/credentials.js";
import { VIEWER } from "./server/documents.js";
import { forgetPermissions, inWords, permissionsIn, showAllowed } from "./server/permissions.js";
import { announcerElements, say } from "./parts/announcer.js";
import { fill, iconButton, make } from "./parts/element.js";
import { restoreTheme, toggleTheme } from "./parts/theme.js";
import { applicationsPage } from "./pages/applications.js";
import { comparePage } from "./pages/compare.js";
import { datasetPage } from "./pages/dataset.js";
import { datasetAboutPage } from "./pages/dataset_about.js";
import { datasetsPage } from "./pages/datasets.js";
import { imagePage } from "./pages/image.js";
import { keysPage } from "./pages/keys.js";
import { operationsPage } from "./pages/operations.js";
import { signInPage } from "./pages/sign_in.js";
import { subjectPage } from "./pages/subject.js";
import { subjectsPage } from "./pages/subjects.js";

/**
 * @typedef {object} Page
 * @property {string} title
 * @property {HTMLElement} element
 * @property {string} [datasetId] in which what it offers is done
 * @property {() => void} [shown] it is in the window now
 * @property {(query: URLSearchParams) => void} [changed] the address's query changed
 * @property {() => void} [leave]
 */

/** Which function makes the page of an address. @type {[RegExp, string, Function][]} */
const PAGES = [
  [/^\/?$/, "datasets", datasetsPage],
  [/^\/datasets\/([\w-]+)$/, "datasets", datasetPage],
  [/^\/datasets\/([\w-]+)\/about$/, "datasets", datasetAboutPage],
  [/^\/datasets\/([\w-]+)\/applications$/, "datasets", applicationsPage],
  [/^\/datasets\/([\w-]+)\/subjects$/, "datasets", subjectsPage],
  [/^\/subjects\/([\w-]+)$/, "datasets", subjectPage],
  [/^\/images\/([\w-]+)$/, "datasets", imagePage],
  [/^\/images\/([\w-]+)\/compare$/, "datasets", comparePage],
  [/^\/operations$/, "operations", operationsPage],
  [/^\/keys$/, "keys", keysPage],
];

restoreTheme();

const who = make("span", { class: "who muted" });
const rights = make("span", { class: "who muted", hidden: true });
const links = { datasets: link("#/", "Datasets"), operations: link("#/operations", "Operations"), keys: link("#/keys", "API keys") };
const main = make("main", { id: "main", tabindex: "-1" });
const signOut = make("button", { type: "button", class: "button quiet", hidden: true, onclick: () => { keepKey(null); location.reload(); } }, "Sign out");

function link(href, text) {
  return make("a", { href }, text);
}

document.body.append(
  make("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "Skip to the content"),
  make("header", { class: "bar" },
    make("a", { class: "brand", href: "#/" }, "Opsin"),
    make("nav", { "aria-label": "Main" }, Object.values(links)),
    make("div", { class: "bar-end" }, rights, who, make("a", { class: "button quiet", href: "/graphql" }, "GraphQL"), signOut,
      iconButton("theme", "Light or dark", () => say(`${toggleTheme()} colours`)))),
  main,
  ...announcerElements(),
);

/** @type {Page | null} */
let page = null;
let path = null;
let turn = 0;

async function go() {
  const [wanted, query = ""] = location.hash.replace(/^#/, "").split("?");
  const parameters = new URLSearchParams(query);
  if (wanted === path && page) {
    page.changed?.(parameters);
    return;
  }
  turn += 1;
  const mine = turn;
  const [pattern, name, makePage] = PAGES.find(([one]) => one.test(wanted)) ?? [null, "", notFound];
  for (const [key, element] of Object.entries(links)) {
    if (key === name) element.setAttribute("aria-current", "page");
    else element.removeAttribute("aria-current");
  }
  main.setAttribute("aria-busy", "true");
  let next;
  let allowed = null;
  try {
    next = await makePage(pattern?.exec(wanted)[1], parameters, again);
    allowed = await permissionsIn(next.datasetId);
  } catch (error) {
    next = failed(error);
  }
  if (mine !== turn) {
    next.leave?.(); // another address was asked for meanwhile
    return;
  }
  page?.leave?.();
  const first = page === null;
  [page, path] = [next, wanted];
  document.title = `${next.title} · Opsin`;
  if (allowed) tellRights(allowed);
  fill(main, next.element);
  main.scrollTop = 0;
  next.shown?.();
  main.removeAttribute("aria-busy");
  if (!first) {
    main.focus({ preventScroll: true });
    say(next.title);
  }
}

/** Makes the same page anew. */
function again() {
  path = null;
  return go();
}

function failed(error) {
  if (error.code === "UNAUTHENTICATED") return signInPage(enter);
  const retry = make("button", { type: "button", class: "button", onclick: again }, "Try again");
  return message("This page cannot be shown", error.message, retry);
}

const notFound = () => message("There is no such page", "The address may be old.", link("#/", "All datasets"));

function message(title, text, action) {
  return { title, element: make("div", { class: "message" }, make("h1", {}, title), make("p", {}, text), action) };
}

/** @param {string[]} allowed on the page that is shown */
function tellRights(allowed) {
  showAllowed(main, allowed);
  rights.textContent = inWords(allowed);
  rights.hidden = !rights.textContent;
}

async function enter() {
  forgetPermissions();
  await again();
  await tellWho();
}

async function tellWho() {
  signOut.hidden = readKey() === null;
  try {
    const { viewer } = await ask(VIEWER);
    who.textContent = viewer.name;
    who.title = `Company: ${viewer.company}`;
  } catch {
    who.textContent = "";
  }
}

session.addEventListener("refused", () => {
  if (page && page.title !== "Sign in" && path !== null) {
    page.leave?.();
    page = signInPage(enter);
    path = null;
    fill(main, page.element);
  }
});
addEventListener("hashchange", go);
go();
tellWho();
