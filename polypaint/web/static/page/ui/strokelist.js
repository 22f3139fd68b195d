/** The strokes of a drawing as a list, for whoever cannot point at them. */

import { t } from "../i18n/index.js";
import { eachFrame, fill, h } from "./dom.js";
import { COLOURS } from "../surface/people.js";

/** @import { Desk } from "./desk.js" */

/** The newest so many are listed: thousands of rows help nobody. */
const ROWS_MAX = 200;

/**
 * Adds the panel; what opens it.
 *
 * @param {Desk} desk
 */
export function strokeList({ panels, surface, drawing, session }) {
  const rows = h("ol", { class: "rows strokes", role: "list", "aria-label": t("strokeList") });
  const action = (/** @type {string} */ label, /** @type {() => void} */ run) =>
    h("button", { type: "button", class: "button", onclick: run }, label);
  const actions = h(
    "div",
    { class: "row wrap" },
    action(t("next"), () => surface.selectNext()),
    action(t("all"), () => surface.selectAll()),
    action(t("none"), () => surface.releaseSelection()),
    action(t("stack"), () => surface.stack()),
    action(t("unstack"), () => surface.unstack()),
  );
  const show = () => {
    const strokes = surface.strokes();
    const listed = strokes.slice(-ROWS_MAX).reverse();
    const more = strokes.length - listed.length;
    fill(
      rows,
      ...listed.map((stroke) => row(stroke, session.name ?? "")),
      more > 0 && h("li", { class: "meta" }, t("olderStrokes", { n: more })),
      strokes.length === 0 && h("li", { class: "empty" }, t("noStrokes")),
    );
  };
  const button = panels.add("strokes", t("strokeList"), "list", [actions, rows], show);
  const refresh = eachFrame(() => {
    if (panels.open === "strokes") show();
  });
  drawing.on("canvas", refresh);
  drawing.on("change", refresh);
  surface.on("change", refresh);
  return button;
}

/**
 * @param {{ index: number, author: string, colour: string, points: number, holder: string }} stroke
 * @param {string} own name
 */
function row({ index, author, colour, points, holder }, own) {
  const chip = h("span", { class: "chip", "aria-hidden": "true" });
  chip.style.setProperty("--swatch", colour || (COLOURS[7] ?? ""));
  const held = holder === own ? t("selected") : t("heldBy", { holder });
  const facts = [author, t("points", { n: points }), holder && held];
  return h(
    "li",
    {},
    chip,
    h(
      "span",
      { class: "what" },
      h("b", {}, t("strokeNumber", { n: index + 1 })),
      h("span", { class: "meta" }, facts.filter(Boolean).join(" · ")),
    ),
  );
}
