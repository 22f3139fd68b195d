/** Made-up names of drawings, and the colours of people. */

import { words } from "../i18n/index.js";
import { COLOURS, colourOfName, inkOn } from "../surface/people.js";
import { h, hidden } from "./dom.js";

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

/** What the server says somebody is shown in: a number of `COLOURS`. @type {Map<string, number>} */
const given = new Map();

/**
 * From now on somebody is shown in this.
 *
 * @param {string} name
 * @param {number | undefined} colour a number of `COLOURS`
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
  return COLOURS[given.get(name) ?? -1] ?? colourOfName(name);
}

/**
 * A person as a coloured circle with the initial.
 *
 * @param {string} name
 */
export function avatar(name) {
  const [initial = "?"] = name;
  const colour = colourOf(name);
  const circle = h("span", { class: "avatar", "aria-hidden": "true" }, initial.toUpperCase());
  circle.style.setProperty("--person", colour);
  circle.style.setProperty("--on-person", inkOn(colour));
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
