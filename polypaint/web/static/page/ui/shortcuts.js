/** Keys that work wherever the focus is, but for fields of text, menus and dialogs. */

import { t } from "../i18n/index.js";
import { help } from "./help.js";
import { preference } from "./preferences.js";

/** @import { Desk } from "./desk.js" */
/** @import { Surface } from "../surface/surface.js" */

/** @type {Readonly<Record<string, (surface: Surface, mode: "stroke" | "pixel") => void>>} */
const KEYS = {
  p: (surface, mode) => (surface.tool = mode === "pixel" ? "brush" : "pen"),
  e: (surface) => (surface.tool = "eraser"),
  s: (surface) => (surface.tool = "select"),
  h: (surface) => (surface.tool = "hand"),
  f: (surface, mode) => {
    if (mode === "pixel") surface.tool = "fill";
  },
  "+": (surface) => surface.zoomIn(),
  "=": (surface) => surface.zoomIn(),
  "-": (surface) => surface.zoomOut(),
  0: (surface) => surface.fit(),
};

/** @param {Desk} desk */
export function shortcuts(desk) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || elsewhere(event.target)) return;
    if (handle(event, desk)) event.preventDefault();
  });
}

/** Single keys can be switched off. */
export function singleKeys() {
  return preference("shortcuts", "on") === "on";
}

/**
 * Does a key mean something else where it was pressed?
 *
 * @param {EventTarget | null} target
 */
function elsewhere(target) {
  if (document.querySelector("dialog[open]")) return true;
  if (!(target instanceof Element)) return false;
  if (target.closest("textarea, select, [role=menu]")) return true;
  const input = target.closest("input");
  return input !== null && !["range", "color", "radio", "checkbox"].includes(input.type);
}

/**
 * @param {KeyboardEvent} event
 * @param {Desk} desk
 * @returns {boolean} was it for us?
 */
function handle(event, desk) {
  const { surface, mode } = desk;
  const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
  const letter = key.toLowerCase();
  if (ctrlKey || metaKey) {
    if (altKey) return false;
    if (letter === "z" && !shiftKey) surface.undo();
    else if (letter === "y" || letter === "z") surface.redo();
    else return false;
    return true;
  }
  if (altKey) return false;
  if (key === "Delete" || key === "Backspace") {
    if (!surface.selection) return false;
    surface.deleteSelection();
    return true;
  }
  if (key === "Escape") return escape(desk);
  if (!singleKeys()) return false;
  if (key === "Tab") return !shiftKey && tab(event, desk);
  if (key === "?") {
    help(desk);
    return true;
  }
  const act = KEYS[letter];
  const range = event.target instanceof HTMLInputElement && ["+", "-"].includes(key);
  if (!act || range) return false;
  act(surface, mode);
  return true;
}

/** @param {Desk} desk */
function escape({ element, panels, surface }) {
  if (element.classList.contains("bare")) element.classList.remove("bare");
  else if (panels.open) panels.close();
  else if (surface.selection) surface.releaseSelection();
  else return false;
  return true;
}

/**
 * Tab on the drawing hides all controls. Tab once more brings them back with the focus on the
 * first, so that Tab alone goes round the whole page.
 *
 * @param {KeyboardEvent} event
 * @param {Desk} desk
 */
function tab({ target }, { element, host, status }) {
  const onDrawing = target === document.body || (target instanceof Node && host.contains(target));
  if (!onDrawing) return false;
  const bare = element.classList.toggle("bare");
  if (bare) status.say(t("bare"));
  else {
    const first = element.querySelector("a, button");
    if (first instanceof HTMLElement) first.focus();
  }
  return true;
}
