/** The link to a drawing, and the same as a QR code. */

import { t } from "../i18n/index.js";
import { icon } from "../icons.js";
import { pagePath } from "./api.js";
import { field, fill, h } from "./dom.js";
import { qrCode } from "./qr.js";

/** @import { Desk } from "./desk.js" */

const SVG = "http://www.w3.org/2000/svg";
const QUIET = 4;
const COPIED_MS = 2000;

/**
 * The button, with its panel.
 *
 * @param {Desk} desk
 */
export function share(desk) {
  const content = h("div", { class: "sharing" });
  const show = () => fill(content, ...parts(desk));
  const button = desk.panels.add("share", t("share"), "share", [content], show);
  button.classList.add("primary");
  return button;
}

/** @param {Desk} desk */
function parts({ info, passcode }) {
  const link = location.origin + pagePath(info.name, passcode);
  const text = h("input", { readonly: true, value: link, onfocus: () => text.select() });
  return [
    h("p", { class: "intro" }, rule(info.protection, passcode)),
    field(t("link"), text),
    copyButton(link, text),
    picture(link),
    h("p", { class: "hint centred" }, t("qrHint")),
  ];
}

/**
 * @param {string} link
 * @param {HTMLInputElement} text
 */
function copyButton(link, text) {
  const label = h("span", { "aria-live": "polite" }, t("copyLink"));
  const sign = h("span", { class: "sign" }, icon("copy"));
  const button = h("button", { type: "button", class: "button primary", "data-first": true });
  button.append(sign, label);
  button.addEventListener("click", async () => {
    const copied = await copy(link, text);
    label.textContent = t(copied ? "copied" : "copyByHand");
    sign.replaceChildren(icon(copied ? "check" : "copy"));
    setTimeout(() => {
      label.textContent = t("copyLink");
      sign.replaceChildren(icon("copy"));
    }, COPIED_MS);
  });
  return button;
}

/**
 * @param {string} protection
 * @param {string} passcode
 */
function rule(protection, passcode) {
  if (protection === "private") return t("sharePrivate");
  if (protection === "protected") return t(passcode ? "shareWithPasscode" : "shareNoPasscode");
  return t("shareEveryone");
}

/**
 * Copy a text; where there is no clipboard (on plain HTTP), as browsers did before.
 *
 * @param {string} text
 * @param {HTMLInputElement} input shows it, and is left selected when nothing works
 */
async function copy(text, input) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    input.select();
    return document.execCommand("copy");
  }
}

/**
 * The link's QR code; dark on white in dark mode, too: cameras want that.
 *
 * @param {string} link
 */
function picture(link) {
  const squares = qrCode(link);
  const side = squares.length + 2 * QUIET;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
  svg.setAttribute("class", "qr");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", t("qrCode"));
  const path = document.createElementNS(SVG, "path");
  const runs = squares.flatMap((row, y) =>
    row.map((dark, x) => (dark ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : "")),
  );
  path.setAttribute("d", runs.join(""));
  svg.append(path);
  return svg;
}
