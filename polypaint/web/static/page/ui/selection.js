/** What can be done with a selection. There while there is one. */

import { t } from "../i18n/index.js";
import { fill, h, iconButton } from "./dom.js";

/** @import { Surface } from "../surface/surface.js" */

const TURN_DEGREES = 15;
const LARGER = 1.1;

/** @param {Surface} surface */
export function selectionBar(surface) {
  const label = { role: "toolbar", "aria-label": t("selection"), hidden: true };
  const bar = h("div", { class: "selection island", ...label });
  let kind = "";
  const count = h("span", { class: "count optional" });

  const update = () => {
    const { selection } = surface;
    bar.hidden = !selection;
    if (!selection) {
      kind = "";
      return;
    }
    count.textContent =
      selection.kind === "strokes" ? t("strokesSelected", { n: selection.count }) : t("area");
    if (kind === selection.kind) return;
    kind = selection.kind;
    fill(bar, count, ...actions(surface, selection.kind));
  };
  surface.on("change", update);
  update();
  return bar;
}

/**
 * @param {Surface} surface
 * @param {"strokes" | "pixels"} kind
 */
function actions(surface, kind) {
  // On a phone there is room for less, and two fingers do it.
  const optional = { class: "tool optional" };
  const both = [
    iconButton("rotate", t("rotate"), () => surface.rotateSelection(TURN_DEGREES)),
    iconButton("larger", t("larger"), () => surface.scaleSelection(LARGER), optional),
    iconButton("smaller", t("smaller"), () => surface.scaleSelection(1 / LARGER), optional),
  ];
  const remove = iconButton("bin", t("delete"), () => surface.deleteSelection());
  const done = iconButton("check", t("release"), () => surface.releaseSelection());
  if (kind === "strokes") {
    return [
      ...both,
      line(),
      iconButton("drop", t("recolour"), () => surface.recolourSelection(surface.colour)),
      iconButton("front", t("bringToFront"), () => surface.bringToFront()),
      iconButton("bottom", t("sendToBack"), () => surface.sendToBack()),
      line(),
      remove,
      done,
    ];
  }
  const filters = /** @type {const} */ (["grayscale", "invert", "blur"]).map((filter) => {
    const props = { type: "button", class: "button quiet", onclick: () => surface.filter(filter) };
    return h("button", props, t(filter));
  });
  return [...both, line(), ...filters, line(), remove, done];
}

function line() {
  return h("span", { class: "line" });
}
