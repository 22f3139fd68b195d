/** The one line that says what is wrong: the connection is away, or something was refused. */

import { t } from "../i18n/index.js";
import { icon } from "../icons.js";
import { h } from "./dom.js";

const SHOWN_MS = 6000;

export class Status {
  #text = h("span", { role: "status" });
  #note = h("span", { class: "muted" });
  #sign = h("span", { class: "sign" });
  #offline = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  constructor() {
    this.element = h("div", { class: "status island empty" }, this.#sign, this.#text, this.#note);
  }

  /** The connection is away, or back. @param {boolean} away */
  offline(away) {
    this.#offline = away;
    this.#show("");
  }

  /**
   * Say something for some seconds; while the connection is away, that is said again afterwards.
   *
   * @param {string} text
   */
  say(text) {
    clearTimeout(this.#timer);
    this.#show(text);
    this.#timer = setTimeout(() => this.#show(""), SHOWN_MS);
  }

  /** @param {string} text */
  #show(text) {
    const away = this.#offline && !text;
    this.#text.textContent = away ? t("offline") : text;
    this.#note.textContent = away ? t("offlineNote") : "";
    this.#sign.replaceChildren(...(away ? [icon("cloud")] : []));
    this.element.classList.toggle("empty", !this.#text.textContent);
  }
}
