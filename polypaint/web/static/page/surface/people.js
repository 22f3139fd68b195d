/** The colours that people have: those of the server where it gives them, else by the name. */

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
  let hash = 0;
  for (const letter of name) hash = (31 * hash + /** @type {number} */ (letter.codePointAt(0))) >>> 0;
  return COLOURS[hash % COLOURS.length];
}

/**
 * A colour as the server names it: `#rrggbb`, or a number that counts the colours of people.
 *
 * @param {unknown} colour
 * @param {string} name
 */
export function personColour(colour, name) {
  if (typeof colour === "string" && colour.startsWith("#")) return colour;
  if (typeof colour === "number") return COLOURS[colour % COLOURS.length];
  return colourOfName(name);
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
