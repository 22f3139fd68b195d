/** The colours that people are shown in. */

/** Never without an initial or a name beside them. */
export const COLOURS = [
  "#0072B2",
  "#D55E00",
  "#009E73",
  "#CC79A7",
  "#E69F00",
  "#56B4E9",
  "#7A4FB5",
  "#6B6B6B",
];

/**
 * The same for the same name, everywhere.
 *
 * @param {string} name
 */
export function colourOfName(name) {
  let hash = 0x811c9dc5; // FNV-1a
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return COLOURS[((hash ^ (hash >>> 15)) >>> 0) % COLOURS.length];
}

/** From this luminance on, black has more contrast than white. */
const LIGHT = 0.179;

/**
 * White or black, whichever is easier to read on a colour.
 *
 * @param {string} colour `#rrggbb`
 */
export function inkOn(colour) {
  const number = parseInt(colour.slice(1), 16);
  const linear = (/** @type {number} */ byte) => ((byte / 255 + 0.055) / 1.055) ** 2.4;
  const [red, green, blue] = [number >> 16, (number >> 8) & 255, number & 255].map(linear);
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > LIGHT ? "#000000" : "#FFFFFF";
}
