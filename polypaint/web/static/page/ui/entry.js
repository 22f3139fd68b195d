/** Who may enter a drawing, as a part of forms. */

import { t } from "../i18n/index.js";
import { field, h, radios } from "./dom.js";

/** @import { Protection } from "./api.js" */

/**
 * The choice, and the passcode where one is wanted.
 *
 * @param {Protection} chosen
 * @param {string} [passcode]
 */
export function entryFields(chosen, passcode = "") {
  const choices = /** @type {const} */ ([
    ["public", t("everyone")],
    ["protected", t("withPasscode")],
    ["private", t("onlyMe")],
  ]);
  const code = h("input", {
    name: "passcode",
    value: passcode,
    maxlength: "128",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
  });
  const passcodeField = field(t("passcode"), code);
  const rules = radios(t("whoMayEnter"), "protection", choices, chosen);
  const show = (/** @type {string} */ protection) => {
    passcodeField.hidden = protection !== "protected";
  };
  show(chosen);
  rules.addEventListener("change", (event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.target);
    show(value);
    if (value === "protected") code.focus();
  });
  return [rules, passcodeField];
}

/**
 * @param {Record<string, string>} values
 * @returns {{ protection: Protection, passcode: string }}
 */
export function entryRules({ protection = "public", passcode = "" }) {
  const wanted = protection === "protected";
  if (wanted && !passcode) throw new Error(t("needsPasscode"));
  return {
    protection: /** @type {Protection} */ (protection),
    passcode: wanted ? passcode : "",
  };
}
