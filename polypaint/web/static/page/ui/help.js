/** Help: the shortcuts, drawing without a pointer, and what can be switched. */

import { t } from "../i18n/index.js";
import { tell } from "./dialog.js";
import { h } from "./dom.js";
import { languages } from "./languages.js";
import { keep, preference } from "./preferences.js";

/** @import { Desk } from "./desk.js" */
/** @import { Key } from "../i18n/index.js" */

/** @type {readonly (readonly [string, Key])[]} */
const COMMON = [
  ["P", "pen"],
  ["E", "eraser"],
  ["S", "select"],
  ["H", "hand"],
];
/** @type {readonly (readonly [string, Key])[]} */
const OTHERS = [
  ["Ctrl-Z", "undo"],
  ["Ctrl-Shift-Z · Ctrl-Y", "redo"],
  ["Delete", "deleteSelection"],
  ["+ · −", "zoom"],
  ["0", "fit"],
  ["Tab", "hideControls"],
  ["?", "help"],
];
/** @type {readonly (readonly [Key, Key])[]} */
const KEYBOARD = [
  ["keyArrows", "moveCross"],
  ["keyShiftArrows", "moveCrossFar"],
  ["keySpace", "penDown"],
  ["keyEscape", "penLeave"],
];
/** @type {readonly (readonly [Key, Key])[]} */
const TOUCH = [
  ["twoFingers", "panAndZoom"],
  ["twoFingerTap", "undo"],
  ["threeFingerTap", "redo"],
];

/** @param {Desk} desk */
export function help({ mode }) {
  const letters = COMMON.map(([key, text]) => {
    const what = text === "pen" && mode === "pixel" ? "brush" : text;
    return /** @type {const} */ ([key, t(what)]);
  });
  if (mode === "pixel") letters.push(["F", t("fill")]);
  const rest = OTHERS.map(([key, text]) => /** @type {const} */ ([local(key), t(text)]));
  const spoken = (/** @type {readonly (readonly [Key, Key])[]} */ rows) =>
    rows.map(([key, text]) => /** @type {const} */ ([t(key), t(text)]));
  tell(
    t("help"),
    h(
      "div",
      { class: "columns" },
      h("section", {}, h("h3", {}, t("shortcuts")), table([...letters, ...rest]), switches()),
      h(
        "section",
        {},
        h("h3", {}, t("keyboardPen")),
        h("p", { class: "hint" }, t("keyboardPenText")),
        table(spoken(KEYBOARD)),
        h("h3", {}, t("touch")),
        table(spoken(TOUCH)),
        h("h3", {}, t("language")),
        languages(),
      ),
    ),
  );
}

/** Names of keys in the person's language. @param {string} keys */
function local(keys) {
  return keys
    .replaceAll("Ctrl", t("ctrl"))
    .replaceAll("Shift", t("shift"))
    .replaceAll("Delete", t("keyDelete"));
}

/** @param {readonly (readonly [string, string])[]} rows */
function table(rows) {
  const cells = rows.flatMap(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)]);
  return h("dl", { class: "keys" }, ...cells);
}

function switches() {
  const box = h("input", {
    type: "checkbox",
    checked: preference("shortcuts", "on") === "on",
    onchange: () => keep("shortcuts", box.checked ? "on" : "off"),
  });
  return h("label", { class: "choice" }, box, h("span", {}, t("singleKeys")));
}
