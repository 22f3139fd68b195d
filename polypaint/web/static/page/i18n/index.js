/** What the page says, in the person's language. */

import { keep, preference } from "../ui/preferences.js";
import { en } from "./en.js";
import { fr } from "./fr.js";

/** @typedef {keyof typeof en} Key */
/** @typedef {string | readonly string[] | { one: string, other: string }} Text */
/** @typedef {"en" | "fr"} Language */

/** @type {Record<Language, Record<Key, Text>>} */
const TEXTS = { en, fr };

/** @type {readonly (readonly [Language, string])[]} */
export const LANGUAGES = [
  ["en", "English"],
  ["fr", "Français"],
];

/** @type {Language} */
export const language = preferred();
const plurals = new Intl.PluralRules(language);

/** @returns {Language} */
function preferred() {
  for (const wanted of [preference("language", ""), ...navigator.languages, navigator.language]) {
    const short = wanted.slice(0, 2).toLowerCase();
    if (short === "fr" || short === "en") return short;
  }
  return "en";
}

/**
 * One text. In it, `{name}` stands for a value; `n` chooses between one and many.
 *
 * @param {Key} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const text = /** @type {Text} */ (TEXTS[language][key]);
  const chosen =
    typeof text === "object" && "one" in text
      ? text[plurals.select(Number(values["n"])) === "one" ? "one" : "other"]
      : String(text);
  return chosen.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * A list of words.
 *
 * @param {"adjectives" | "nouns"} key
 * @returns {readonly string[]}
 */
export function words(key) {
  return /** @type {readonly string[]} */ (TEXTS[language][key]);
}

/**
 * Use another language from now on.
 *
 * @param {Language} wanted
 */
export function speak(wanted) {
  keep("language", wanted);
  location.reload();
}

const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
/** @type {readonly (readonly [Intl.RelativeTimeFormatUnit, number])[]} */
const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/**
 * How long ago something was.
 *
 * @param {number} seconds since 1970
 */
export function ago(seconds) {
  const past = Math.max(0, Date.now() / 1000 - seconds);
  for (const [unit, length] of UNITS) {
    if (past >= length) return relative.format(-Math.floor(past / length), unit);
  }
  return t("justNow");
}

const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });

/**
 * The time of day.
 *
 * @param {number} seconds since 1970
 */
export function timeOfDay(seconds) {
  return clock.format(seconds * 1000);
}
