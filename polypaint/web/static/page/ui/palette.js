/** Colour, width and opacity of what one draws. */

import { t } from "../i18n/index.js";
import { icon } from "../icons.js";
import { h, hidden } from "./dom.js";

/** @import { Key } from "../i18n/index.js" */
/** @import { Surface } from "../surface/surface.js" */

/** @type {readonly (readonly [string, Key])[]} */
const SWATCHES = [
  ["#1b1d21", "black"],
  ["#8a8f98", "grey"],
  ["#d5322d", "red"],
  ["#e69f00", "orange"],
  ["#f2d64b", "yellow"],
  ["#009e73", "green"],
  ["#0072b2", "blue"],
  ["#7a4fb5", "violet"],
  ["#cc79a7", "pink"],
  ["#ffffff", "white"],
];
const WIDTH_MAX = 100;

/**
 * @param {Surface} surface
 * @param {"stroke" | "pixel"} mode
 */
export function palette(surface, mode) {
  const colour = h("input", {
    type: "color",
    class: "well",
    "aria-label": t("colour"),
    title: t("colour"),
    oninput: () => {
      surface.colour = colour.value;
    },
  });
  const swatches = SWATCHES.map(([value, label]) => swatch(surface, value, t(label)));
  const width = slider(t("width"), 1, WIDTH_MAX, (value) => {
    surface.width = value;
  });
  const opacity = slider(t("opacity"), 5, 100, (value) => {
    surface.opacity = value / 100;
  });
  const pick = h(
    "button",
    { type: "button", class: "button pick", onclick: () => (surface.tool = "pick") },
    icon("pick"),
    t("pickColour"),
  );
  const row = h("div", { class: "swatches", role: "group", "aria-label": t("swatches") }, ...swatches);
  const element = h(
    "div",
    { class: "palette island" },
    h("div", { class: "colours" }, colour, row),
    h("div", { class: "sliders" }, width.element, opacity.element),
    mode === "pixel" && pick,
  );

  const update = () => {
    const now = surface.colour.toLowerCase();
    colour.value = now;
    for (const each of swatches) {
      each.setAttribute("aria-pressed", String(each.dataset["colour"] === now));
    }
    width.show(surface.width, String(surface.width));
    const percent = Math.round(surface.opacity * 100);
    opacity.show(percent, `${percent} %`);
  };
  surface.on("change", update);
  update();
  return element;
}

/**
 * @param {Surface} surface
 * @param {string} value
 * @param {string} label
 */
function swatch(surface, value, label) {
  const choose = () => {
    surface.colour = value;
  };
  const props = { type: "button", class: "swatch", title: label, "data-colour": value };
  const button = h("button", { ...props, onclick: choose }, hidden(label));
  button.style.setProperty("--swatch", value);
  return button;
}

/**
 * @param {string} label
 * @param {number} min
 * @param {number} max
 * @param {(value: number) => void} changed
 */
function slider(label, min, max, changed) {
  const input = h("input", { type: "range", min, max, step: 1, "aria-label": label });
  const shown = h("span", { class: "value", "aria-hidden": "true" });
  input.addEventListener("input", () => changed(input.valueAsNumber));
  const name = h("span", { class: "label", "aria-hidden": "true" }, label);
  return {
    element: h("div", { class: "slider" }, name, input, shown),
    /**
     * @param {number} value
     * @param {string} text
     */
    show(value, text) {
      if (input.valueAsNumber !== value) input.value = String(value);
      input.setAttribute("aria-valuetext", text);
      shown.textContent = text;
    },
  };
}
