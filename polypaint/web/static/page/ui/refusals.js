/** Why something did not count, in the person's language. The surface says it in English. */

import { language, t } from "../i18n/index.js";

/** @import { Key } from "../i18n/index.js" */

/** @type {readonly (readonly [RegExp, Key])[]} */
const KNOWN = [
  [/^(?<who>.+) holds this\.$/, "refusedHeldBy"],
  [/another user holds/, "refusedHeld"],
  [/drawing is full/, "refusedFull"],
  [/starts off the canvas/, "refusedOffPaper"],
  [/connection|closed|not connected/, "refusedOffline"],
];

/** @param {string} text as the surface says it */
export function refusal(text) {
  for (const [pattern, key] of KNOWN) {
    const found = pattern.exec(text);
    if (found) return t(key, { ...found.groups });
  }
  return language === "en" ? text : t("refused");
}
