/** The switch of languages. */

import { LANGUAGES, language, speak, t } from "../i18n/index.js";
import { h } from "./dom.js";

export function languages() {
  const choices = LANGUAGES.map(([code, label]) => {
    const pressed = String(code === language);
    const props = { type: "button", class: "link", lang: code, "aria-pressed": pressed };
    return h("button", { ...props, onclick: () => speak(code) }, label);
  });
  return h("div", { class: "languages", role: "group", "aria-label": t("language") }, ...choices);
}
