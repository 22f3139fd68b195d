/** Making elements. */

import { icon } from "../icons.js";

/** @import { Icon } from "../icons.js" */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. props: attributes by their names; `on…` are listeners, `true` sets an attribute
 * without a value, and `false`, `null`, `undefined` leave it away.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  add(element, ...children);
  return element;
}

/**
 * Append what is there.
 *
 * @param {Element} parent
 * @param {...Child} children
 */
export function add(parent, ...children) {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) {
      parent.append(typeof child === "number" ? String(child) : child);
    }
  }
}

/**
 * Replace all children.
 *
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren();
  add(parent, ...children);
}

/**
 * A button that shows an icon. Its name is text that is not seen, and a tooltip.
 *
 * @param {Icon} name
 * @param {string} label
 * @param {() => void} run
 * @param {Record<string, unknown>} [props]
 */
export function iconButton(name, label, run, props = {}) {
  const all = { type: "button", class: "tool", title: label, onclick: run, ...props };
  return h("button", all, icon(name), hidden(label));
}

/**
 * Text for who hears the page.
 *
 * @param {string} text
 */
export function hidden(text) {
  return h("span", { class: "hidden" }, text);
}

/**
 * A labelled input: the label stands above it.
 *
 * @param {string} label
 * @param {HTMLElement} input
 * @param {string} [hint]
 */
export function field(label, input, hint) {
  const text = h("span", { class: "label" }, label);
  const id = `hint-${(count += 1)}`;
  if (hint) input.setAttribute("aria-describedby", id);
  return h(
    "div",
    { class: "field" },
    h("label", {}, text, input),
    hint && h("p", { class: "hint", id }, hint),
  );
}

let count = 0;

/**
 * Work that is done once a frame at most, however often it is asked for.
 *
 * @param {() => void} work
 */
export function eachFrame(work) {
  let frame = 0;
  return () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      work();
    });
  };
}

/**
 * Radio buttons under a legend.
 *
 * @template {string} Value
 * @param {string} legend
 * @param {string} name
 * @param {readonly (readonly [Value, string])[]} choices
 * @param {Value} chosen
 */
export function radios(legend, name, choices, chosen) {
  const boxes = choices.map(([value, label]) =>
    h(
      "label",
      { class: "choice" },
      h("input", { type: "radio", name, value, checked: value === chosen }),
      h("span", {}, label),
    ),
  );
  const group = h("div", { class: "choices" }, ...boxes);
  return h("fieldset", { class: "field" }, h("legend", { class: "label" }, legend), group);
}
