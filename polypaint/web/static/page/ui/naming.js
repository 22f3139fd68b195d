/** Made-up names of drawings, and the colours of people. */

import { words } from "../i18n/index.js";
import { h, hidden } from "./dom.js";

/** What people are shown in; never without their initial or name. */
export const PEOPLE = [
  "#0072B2",
  "#D55E00",
  "#009E73",
  "#CC79A7",
  "#E69F00",
  "#56B4E9",
  "#7A4FB5",
  "#6B6B6B",
];
/** Of these, those on which white can be read. */
const DARK = new Set(["#0072B2", "#7A4FB5", "#6B6B6B"]);

/**
 * A readable name for a new drawing.
 *
 * @param {number} tries how many were taken already
 */
export function madeUpName(tries) {
  const adjective = any(words("adjectives"));
  const noun = any(words("nouns"));
  const number = tries ? ` ${1 + Math.floor(Math.random() * 99 * 10 ** tries)}` : "";
  const [first, second] = adjective.startsWith("…") ? [noun, adjective.slice(1)] : [adjective, noun];
  return `${first} ${second}${number}`;
}

/** @param {readonly string[]} list */
function any(list) {
  return list[Math.floor(Math.random() * list.length)] ?? "";
}

/** What the server says somebody is shown in. @type {Map<string, string | number>} */
const given = new Map();

/**
 * From now on somebody is shown in this: `#rrggbb`, or a number of `PEOPLE`.
 *
 * @param {string} name
 * @param {string | number | undefined} colour
 */
export function show(name, colour) {
  if (colour !== undefined) given.set(name, colour);
}

/**
 * The colour of somebody: the server's, or one that follows from the name.
 *
 * @param {string} name
 * @returns {string}
 */
export function colourOf(name) {
  const colour = given.get(name);
  if (typeof colour === "string") return colour.toUpperCase();
  const number = colour ?? spread(name);
  return PEOPLE[number % PEOPLE.length] ?? "#6B6B6B";
}

/**
 * A number that similar names do not share: FNV-1a.
 *
 * @param {string} name
 */
function spread(name) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return (hash ^ (hash >>> 15)) >>> 0;
}

/**
 * A person as a coloured circle with the initial.
 *
 * @param {string} name
 */
export function avatar(name) {
  const [initial = "?"] = name;
  const shown = colourOf(name);
  const circle = h("span", { class: "avatar", "aria-hidden": "true" }, initial.toUpperCase());
  circle.style.setProperty("--person", shown);
  circle.classList.toggle("on-dark", DARK.has(shown));
  return circle;
}

/**
 * The same, with the name for who hears the page and as a tooltip.
 *
 * @param {string} name
 */
export function namedAvatar(name) {
  return h("span", { class: "person", title: name }, avatar(name), hidden(name));
}
