/** The toolbar `Tools`: one tool is chosen, arrow keys go from one to the next. */

import { t } from "../i18n/index.js";
import { icon } from "../icons.js";
import { h, hidden } from "./dom.js";

/** @import { Icon } from "../icons.js" */
/** @import { Key } from "../i18n/index.js" */
/** @import { Surface } from "../surface/surface.js" */

/** @typedef {"pen" | "brush" | "eraser" | "select" | "hand" | "fill" | "pick"} Tool */

/** @type {Readonly<Record<Tool, { label: Key, sign: Icon, key: string }>>} */
export const TOOLS = {
  pen: { label: "pen", sign: "pen", key: "P" },
  brush: { label: "brush", sign: "brush", key: "P" },
  eraser: { label: "eraser", sign: "eraser", key: "E" },
  fill: { label: "fill", sign: "fill", key: "F" },
  pick: { label: "pickColour", sign: "pick", key: "" },
  select: { label: "select", sign: "select", key: "S" },
  hand: { label: "hand", sign: "hand", key: "H" },
};

/** Which tools there are, by the kind of drawing. @type {Record<"stroke" | "pixel", Tool[]>} */
const KITS = {
  stroke: ["pen", "eraser", "select", "hand"],
  pixel: ["brush", "eraser", "fill", "pick", "select", "hand"],
};

/**
 * @param {Surface} surface
 * @param {"stroke" | "pixel"} mode
 */
export function toolbar(surface, mode) {
  /** @type {Map<Tool, HTMLButtonElement>} */
  const buttons = new Map();
  for (const tool of KITS[mode]) buttons.set(tool, toolButton(surface, tool));
  const all = [...buttons.values()];
  const bar = h(
    "div",
    { class: "tools island", role: "toolbar", "aria-label": t("tools"), "aria-orientation": "vertical" },
    ...all,
  );

  bar.addEventListener("keydown", (event) => {
    const at = all.findIndex((each) => each === document.activeElement);
    const steps = /** @type {Record<string, number>} */ ({
      ArrowDown: at + 1,
      ArrowRight: at + 1,
      ArrowUp: at - 1,
      ArrowLeft: at - 1,
      Home: 0,
      End: -1,
    });
    const next = steps[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    const button = all.at(next % all.length);
    for (const each of all) each.tabIndex = each === button ? 0 : -1;
    button?.focus();
  });

  const update = () => {
    for (const [tool, button] of buttons) {
      const chosen = surface.tool === tool;
      button.setAttribute("aria-pressed", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    if (!all.some(({ tabIndex }) => tabIndex === 0) && all[0]) all[0].tabIndex = 0;
  };
  surface.on("change", update);
  update();
  return bar;
}

/**
 * @param {Surface} surface
 * @param {Tool} tool
 */
function toolButton(surface, tool) {
  const { label, sign, key } = TOOLS[tool];
  const name = t(label);
  const props = {
    type: "button",
    class: `tool tool-${tool}`,
    title: key ? `${name} (${key})` : name,
    "aria-keyshortcuts": key || null,
    onclick: () => {
      surface.tool = tool;
    },
  };
  return h("button", props, icon(sign), hidden(name));
}
