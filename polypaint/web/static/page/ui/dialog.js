/** Modal dialogs: a form with one thing to do, and a way out. */

import { t } from "../i18n/index.js";
import { h, iconButton } from "./dom.js";

let count = 0;

/**
 * @template T
 * @typedef {Object} Question
 * @property {string} title
 * @property {(Node | string)[]} content
 * @property {string} confirm what the button says that does it
 * @property {string} [cancel]
 * @property {(values: Record<string, string>) => T | Promise<T>} submit what it throws is shown
 * @property {(values: Record<string, string>) => void} [input] something was filled in
 * @property {boolean} [insist] there is no cross to close it
 */

/**
 * Ask something. Resolves with what `submit` returned, or null when the person left.
 *
 * @template T
 * @param {Question<T>} question
 * @returns {Promise<T | null>}
 */
export function ask({ title, content, confirm, cancel, submit, input, insist = false }) {
  const id = `dialog-${(count += 1)}`;
  const error = h("p", { class: "error", role: "alert" });
  const yes = h("button", { type: "submit", class: "button primary" }, confirm);
  const close = () => dialog.close();
  const no = h("button", { type: "button", class: "button", onclick: close }, cancel ?? t("cancel"));
  const cross = insist ? null : iconButton("close", t("close"), close);
  const form = h(
    "form",
    { method: "dialog", novalidate: true },
    h("header", {}, h("h2", { id }, title), cross),
    h("div", { class: "body" }, ...content, error),
    h("footer", {}, no, yes),
  );
  const dialog = h("dialog", { class: "dialog island", "aria-labelledby": id }, form);
  const values = () => valuesOf(form);

  return new Promise((resolve) => {
    /** @type {T | null} */
    let result = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (yes.disabled) return;
      yes.disabled = true;
      error.textContent = "";
      try {
        result = await submit(values());
        dialog.close();
      } catch (problem) {
        error.textContent = problem instanceof Error ? problem.message : String(problem);
      } finally {
        yes.disabled = false;
      }
    });
    if (input) form.addEventListener("input", () => input(values()));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    show(dialog);
    if (insist) yes.focus();
  });
}

/**
 * Show something to read.
 *
 * @param {string} title
 * @param {...Node} content
 */
export function tell(title, ...content) {
  const id = `dialog-${(count += 1)}`;
  const cross = iconButton("close", t("close"), () => dialog.close());
  const head = h("header", {}, h("h2", { id }, title), cross);
  const body = h("div", { class: "body", tabindex: "0", role: "group", "aria-labelledby": id }, ...content);
  const dialog = h("dialog", { class: "dialog wide island", "aria-labelledby": id }, head, body);
  dialog.addEventListener("close", () => dialog.remove());
  show(dialog);
  return dialog;
}

/** @param {HTMLDialogElement} dialog */
function show(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  const first = dialog.querySelector("[autofocus]");
  if (first instanceof HTMLElement) first.focus();
}

/**
 * What is filled in.
 *
 * @param {HTMLFormElement} form
 * @returns {Record<string, string>}
 */
function valuesOf(form) {
  /** @type {Record<string, string>} */
  const values = {};
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string") values[name] = value;
  }
  return values;
}
