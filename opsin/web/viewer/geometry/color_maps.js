/** Colour maps for heatmaps, and colours that keep classes and analyses apart. */

/** @typedef {[number, number, number]} Color red, green, blue; 0 to 255 */

// Every eighth part of matplotlib's maps, which are in the public domain (CC0).
const STOPS = {
  viridis: ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"],
  inferno: ["000004", "210c4a", "57106e", "8a226a", "bc3754", "e45a31", "f98e09", "f9cb35", "fcffa4"],
  magma: ["000004", "1d1147", "51127c", "832681", "b73779", "e75263", "fc8961", "fec488", "fcfdbf"],
  turbo: ["30123b", "4662d8", "36aaf9", "1ae4b6", "72fe5e", "c8ef34", "faba39", "f66b19", "7a0403"],
  grey: ["000000", "ffffff"],
};

export const COLOR_MAPS = Object.keys(STOPS);

/** @param {string} hex six digits @returns {Color} */
const parse = (hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));

/**
 * The 256 colours of a map, three bytes each.
 * @param {string} name one of COLOR_MAPS
 * @returns {Uint8Array} 768 bytes
 */
export function colorTable(name) {
  const stops = (STOPS[name] ?? STOPS.viridis).map(parse);
  const table = new Uint8Array(768);
  for (let level = 0; level < 256; level += 1) {
    const place = (level / 255) * (stops.length - 1);
    const from = Math.min(Math.floor(place), stops.length - 2);
    for (let part = 0; part < 3; part += 1) {
      const [low, high] = [stops[from][part], stops[from + 1][part]];
      table[level * 3 + part] = Math.round(low + (high - low) * (place - from));
    }
  }
  return table;
}

/**
 * Paints grey levels by a colour map, in place: the level becomes colour, and also opacity where
 * `fade`, so that what is cold lets the picture through.
 * @param {Uint8ClampedArray} pixels red, green, blue, alpha
 * @param {Uint8Array} table of `colorTable`
 * @param {boolean} fade
 */
export function applyColorMap(pixels, table, fade) {
  for (let at = 0; at < pixels.length; at += 4) {
    const level = Math.round(0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2]);
    pixels[at] = table[level * 3];
    pixels[at + 1] = table[level * 3 + 1];
    pixels[at + 2] = table[level * 3 + 2];
    if (fade) pixels[at + 3] = (pixels[at + 3] * Math.min(255, 64 + level)) / 255;
  }
}

// Apart from each other also with the common colour vision deficiencies; readable on pictures.
const ANALYSIS_COLORS = ["#3ea6ff", "#ffb000", "#e8508a", "#2fc28b", "#a88bff", "#ff7a45", "#38d0d8", "#d5d94b"];

/** The colour of the n-th analysis. @param {number} number from 0 */
export const analysisColor = (number) => ANALYSIS_COLORS[number % ANALYSIS_COLORS.length];

/** A colour for a class, the same on every page. @param {string | null} name */
export function classColor(name) {
  if (name === null || name === undefined) return "hsl(210 22% 70%)";
  let hash = 2166136261;
  for (const character of name) {
    hash = Math.imul(hash ^ character.codePointAt(0), 16777619) >>> 0;
  }
  // The golden angle keeps neighbours apart; the lightness alternates for those that are near.
  const hue = Math.round(((hash % 997) * 137.508) % 360);
  return `hsl(${hue} 85% ${hash & 1 ? 66 : 58}%)`;
}

const DARK = "#000000"; // only full black and white leave no ground without 4.5:1
const LIGHT = "#ffffff";

/**
 * The text colour that can be read on a ground: dark or light, whichever has the greater contrast.
 * @param {string} ground as #rrggbb
 */
export function readableOn(ground) {
  const on = luminance(ground) + 0.05;
  return on / (luminance(DARK) + 0.05) >= (luminance(LIGHT) + 0.05) / on ? DARK : LIGHT;
}

/** As WCAG 2 defines it, 0 to 1. */
function luminance(hex) {
  const [red, green, blue] = parse(hex.slice(1)).map((level) => {
    const share = level / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
