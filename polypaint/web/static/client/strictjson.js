/**
 * JSON as the protocol allows it: stricter than `JSON.parse`.
 *
 * Not allowed: numbers out of range, lone surrogates, an object with a key twice, more than 8
 * levels; and in what a program sends, more than 1000 elements.
 */

import { ProtocolError } from "./errors.js";

const DEPTH_MAX = 8;
/** Members, items and containers of an object of strings, all together. */
const ELEMENTS_MAX = 1000;
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Is this text without surrogates that have no partner?
 *
 * @param {string} text
 */
export function isWellFormed(text) {
  return !LONE_SURROGATE.test(text);
}

/**
 * The value of a JSON text.
 *
 * @param {string} text
 * @returns {unknown}
 * @throws {ProtocolError} that says what is wrong with it
 */
export function parse(text) {
  const { colons, depth } = shape(text);
  if (depth > DEPTH_MAX) throw new ProtocolError(`JSON is nested deeper than ${DEPTH_MAX} levels`);
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ProtocolError(`not JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (keys(value) !== colons) throw new ProtocolError("JSON has an object with the same key twice");
  return value;
}

/**
 * A JSON object's values for these keys, which must all be strings; other keys are ignored.
 *
 * @param {string} text
 * @param {readonly string[]} wanted
 * @returns {Record<string, string>}
 * @throws {ProtocolError}
 */
export function parseStrings(text, wanted) {
  if (shape(text).elements > ELEMENTS_MAX) {
    throw new ProtocolError(`JSON has more than ${ELEMENTS_MAX} elements`);
  }
  const value = parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError("JSON is not an object");
  }
  const object = /** @type {Record<string, unknown>} */ (value);
  /** @type {Record<string, string>} */
  const found = {};
  for (const key of wanted) {
    if (!Object.hasOwn(object, key)) throw new ProtocolError(`JSON has no key ${key}`);
    const string = object[key];
    if (typeof string !== "string") throw new ProtocolError(`JSON key ${key} is not a string`);
    found[key] = string;
  }
  return found;
}

/**
 * Colons, the greatest depth, and commas and opening brackets, outside strings, of a text that need
 * not be valid. An object with a key twice has more colons than keys.
 *
 * @param {string} text
 */
function shape(text) {
  let colons = 0;
  let level = 0;
  let depth = 0;
  let elements = 0;
  let inside = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (inside) {
      if (letter === "\\") i++;
      else if (letter === '"') inside = false;
    } else if (letter === '"') inside = true;
    else if (letter === ":") colons++;
    else if (letter === ",") elements++;
    else if (letter === "{" || letter === "[") {
      elements++;
      depth = Math.max(depth, ++level);
    } else if (letter === "}" || letter === "]") level--;
  }
  return { colons, depth, elements };
}

/**
 * How many keys all objects in a value have together. Its depth is bounded.
 *
 * @param {unknown} value
 * @returns {number}
 */
function keys(value) {
  if (typeof value === "string" && !isWellFormed(value)) {
    throw new ProtocolError("JSON has a lone surrogate");
  }
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new ProtocolError("JSON has a number that is out of range");
  }
  if (typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value)) return value.reduce((sum, item) => sum + keys(item), 0);
  let sum = 0;
  for (const [key, item] of Object.entries(value)) sum += 1 + keys(key) + keys(item);
  return sum;
}
