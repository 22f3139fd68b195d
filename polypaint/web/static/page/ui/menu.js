/** A button that opens a menu. */

import { icon } from "../icons.js";
import { h, iconButton } from "./dom.js";

/** @import { Icon } from "../icons.js" */

/**
 * One entry. href: it is a link that saves a file. checked: it is a switch. Without a label it is
 * a line between groups.
 *
 * @typedef {Object} Entry
 * @property {string} [label]
 * @property {Icon} [icon]
 * @property {() => void} [run]
 * @property {string} [href]
 * @property {string} [download]
 * @property {boolean} [checked]
 */

/**
 * @param {string} label
 * @param {() => Entry[]} entries made anew each time it opens
 * @param {Icon} [name]
 */
export function menuButton(label, entries, name = "more") {
  /** @type {HTMLElement | null} */
  let menu = null;
  const button = iconButton(name, label, () => (menu ? close(false) : open()), {
    "aria-haspopup": "menu",
    "aria-expanded": "false",
  });
  const holder = h("div", { class: "menu-holder" }, button);

  function open() {
    menu = h("div", { class: "menu island", role: "menu", "aria-label": label });
    for (const entry of entries()) menu.append(item(entry, () => close(true)));
    menu.addEventListener("keydown", onKey);
    holder.append(menu);
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside, true);
    keepInside(menu);
    move(menu, "Home");
  }

  /** @param {boolean} back is the button focused again? */
  function close(back) {
    if (!menu) return;
    menu.remove();
    menu = null;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    if (back) button.focus();
  }

  /** @param {Event} event */
  function outside(event) {
    if (event.target instanceof Node && !holder.contains(event.target)) close(false);
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    event.stopPropagation();
    if (event.key === "Escape") close(true);
    else if (event.key === "Tab") close(false);
    else if (menu && move(menu, event.key)) event.preventDefault();
  }

  return holder;
}

/**
 * @param {Entry} entry
 * @param {() => void} close
 */
function item({ label, icon: name, run, href, download, checked }, close) {
  if (!label) return h("hr", {});
  const role = checked === undefined ? "menuitem" : "menuitemcheckbox";
  const state = checked === undefined ? {} : { "aria-checked": String(checked) };
  const shown = checked === undefined ? name : checked ? "check" : undefined;
  const sign = shown ? icon(shown) : h("span", { class: "icon" });
  const chosen = () => {
    close();
    run?.();
  };
  const props = { role, tabindex: "-1", class: "entry", onclick: chosen, ...state };
  if (href) return h("a", { ...props, href, download: download ?? true }, sign, label);
  return h("button", { ...props, type: "button" }, sign, label);
}

/**
 * Move the focus as a key says.
 *
 * @param {HTMLElement} menu
 * @param {string} key
 */
function move(menu, key) {
  const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll(".entry")]);
  const at = items.findIndex((each) => each === document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[key];
  if (next === undefined) return false;
  const chosen = items.at(next % items.length);
  for (const each of items) each.tabIndex = each === chosen ? 0 : -1;
  chosen?.focus();
  return true;
}

/**
 * Where a menu would leave the window it opens to the other side.
 *
 * @param {HTMLElement} menu
 */
function keepInside(menu) {
  const { right, bottom } = menu.getBoundingClientRect();
  menu.classList.toggle("leftwards", right > innerWidth - 8);
  menu.classList.toggle("upwards", bottom > innerHeight - 8);
}
