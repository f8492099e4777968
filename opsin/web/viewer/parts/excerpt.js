/** JSON as text, of which only the beginning is written: what is stored may be megabytes. */

/**
 * @param {unknown} value
 * @param {number} most characters
 */
export function excerpt(value, most = 4000) {
  const written = { text: "", most };
  write(value, "", written);
  return written.text.length > most ? `${written.text.slice(0, most)} …` : written.text;
}

function write(value, indent, written) {
  if (written.text.length > written.most) return;
  if (typeof value === "string") written.text += JSON.stringify(value.slice(0, written.most + 1));
  else if (value === null || typeof value !== "object") written.text += String(value);
  else if (Array.isArray(value)) writeAll(value.keys(), (at) => write(value[at], `${indent}  `, written), "[]", indent, written, value.every(isPlain));
  else writeAll(keysOf(value), (key) => {
    written.text += `${JSON.stringify(key.slice(0, 200))}: `;
    write(value[key], `${indent}  `, written);
  }, "{}", indent, written, false);
}

function writeAll(keys, writeOne, [open, close], indent, written, inOneLine) {
  const between = inOneLine ? "" : `\n${indent}  `;
  let first = true;
  written.text += open;
  for (const key of keys) {
    if (written.text.length > written.most) return;
    written.text += (first ? "" : inOneLine ? ", " : ",") + between;
    writeOne(key);
    first = false;
  }
  written.text += (first || inOneLine ? "" : `\n${indent}`) + close;
}

/** One key after the other: a list of a million is not made. */
function* keysOf(value) {
  for (const key in value) if (Object.hasOwn(value, key)) yield key;
}

const isPlain = (value) => value === null || typeof value === "number" || typeof value === "boolean";
