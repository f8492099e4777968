/** Lets what a `details` element shows close as menus do: with Escape, or when something else is used. */

/** @param {HTMLDetailsElement} details @returns {HTMLDetailsElement} the same */
export function closesByItself(details) {
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !details.open) return;
    details.open = false;
    details.querySelector("summary").focus();
    event.stopPropagation();
  });
  details.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !details.contains(relatedTarget)) details.open = false;
  });
  const outside = ({ target }) => {
    if (!details.contains(target)) details.open = false;
  };
  details.addEventListener("toggle", () => {
    if (details.open) document.addEventListener("pointerdown", outside);
    else document.removeEventListener("pointerdown", outside);
  });
  return details;
}
