/** Undo and redo; how large the paper is shown. */

import { t } from "../i18n/index.js";
import { h, iconButton } from "./dom.js";

/** @import { Surface } from "../surface/surface.js" */

/** @param {Surface} surface */
export function history(surface) {
  const undo = iconButton("undo", t("undo"), () => surface.undo(), { "aria-keyshortcuts": "Control+Z" });
  const redo = iconButton("redo", t("redo"), () => surface.redo(), {
    "aria-keyshortcuts": "Control+Shift+Z",
  });
  undo.title = `${t("undo")} (${t("ctrl")}-Z)`;
  redo.title = `${t("redo")} (${t("ctrl")}-${t("shift")}-Z)`;
  const update = () => {
    // Disabled for the eye and the ear, yet still there for the focus: it would be lost.
    undo.setAttribute("aria-disabled", String(!surface.canUndo));
    redo.setAttribute("aria-disabled", String(!surface.canRedo));
  };
  surface.on("change", update);
  update();
  return h("div", { class: "history" }, undo, redo);
}

/** @param {Surface} surface */
export function zoom(surface) {
  const out = iconButton("minus", t("zoomOut"), () => surface.zoomOut());
  const shown = h("span", { class: "percent" });
  const closer = iconButton("plus", t("zoomIn"), () => surface.zoomIn());
  const fit = iconButton("fit", t("fit"), () => surface.fit());
  const update = () => {
    shown.textContent = `${Math.round(surface.zoom * 100)} %`;
  };
  surface.on("change", update);
  update();
  return h("div", { class: "zoom" }, out, shown, closer, fit);
}
