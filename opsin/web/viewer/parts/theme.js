/** Light or dark: as the system has it, until the person chooses. */

const NAME = "opsin.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

/** Takes up what was chosen before. */
export function restoreTheme() {
  const chosen = localStorage.getItem(NAME);
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}

/** @returns {"light" | "dark"} what it is now */
export function toggleTheme() {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  localStorage.setItem(NAME, chosen);
  return chosen;
}
