/** A page that says one thing, and offers the way back. */

import { t } from "../i18n/index.js";
import { h } from "./dom.js";

/**
 * @param {string} title
 * @param {string} text
 * @param {readonly [string, () => void]} [other] what else can be done
 */
export function notice(title, text, other) {
  document.title = `${title} – polypaint`;
  const action = other && h("button", { type: "button", class: "button", onclick: other[1] }, other[0]);
  document.body.append(
    h(
      "main",
      { class: "notice" },
      h(
        "section",
        { class: "paper island" },
        h("h1", {}, title),
        h("p", {}, text),
        h(
          "div",
          { class: "row" },
          h("a", { class: "button primary", href: "/" }, t("backToDrawings")),
          action,
        ),
      ),
    ),
  );
}
