/** Panels at the side (on a phone: sheets from below), of which one at most is open. */

import { t } from "../i18n/index.js";
import { h, iconButton } from "./dom.js";

/** @import { Icon } from "../icons.js" */

/**
 * @typedef {Object} Panel
 * @property {HTMLElement} element
 * @property {HTMLButtonElement} button opens and closes it
 * @property {(() => void) | undefined} opened
 */

export class Panels {
  #element = h("div", { class: "panels" });
  /** @type {Map<string, Panel>} */
  #panels = new Map();
  /** Which one is open; empty: none. */
  open = "";

  get element() {
    return this.#element;
  }

  /**
   * A panel, and the button that opens it.
   *
   * @param {string} name
   * @param {string} title
   * @param {Icon} sign
   * @param {Node[]} content
   * @param {() => void} [opened]
   * @returns {HTMLButtonElement}
   */
  add(name, title, sign, content, opened) {
    const id = `panel-${name}`;
    const button = iconButton(sign, title, () => this.toggle(name), {
      "aria-expanded": "false",
      "aria-controls": id,
    });
    const close = iconButton("close", t("close"), () => this.close());
    const head = h("header", {}, h("h2", { id: `${id}-title` }, title), close);
    const element = h(
      "section",
      { class: "panel island", id, "aria-labelledby": `${id}-title`, hidden: true },
      head,
      h("div", { class: "body" }, ...content),
    );
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      this.close();
    });
    this.#element.append(element);
    this.#panels.set(name, { element, button, opened });
    return button;
  }

  /**
   * Something else that opens and closes like a panel.
   *
   * @param {string} name
   * @param {HTMLElement} element
   * @param {HTMLButtonElement} button
   */
  adopt(name, element, button) {
    element.hidden = true;
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => this.toggle(name));
    this.#panels.set(name, { element, button, opened: undefined });
  }

  /** @param {string} name */
  toggle(name) {
    const before = this.open;
    if (before) this.#show(before, false);
    this.open = before === name ? "" : name;
    if (this.open) this.#show(name, true);
  }

  /**
   * Close what is open. Its button has the focus again; where that is in a menu, which has closed,
   * the drawing has it.
   */
  close() {
    const panel = this.#panels.get(this.open);
    if (!panel) return;
    this.#show(this.open, false);
    this.open = "";
    const next = panel.button.isConnected ? panel.button : document.querySelector(".surface");
    if (next instanceof HTMLElement) next.focus();
  }

  /**
   * @param {string} name
   * @param {boolean} shown
   */
  #show(name, shown) {
    const panel = this.#panels.get(name);
    if (!panel) return;
    panel.element.hidden = !shown;
    panel.button.setAttribute("aria-expanded", String(shown));
    if (!shown) return;
    panel.opened?.();
    const first = panel.element.querySelector("[data-first]");
    if (first instanceof HTMLElement) first.focus();
  }
}
