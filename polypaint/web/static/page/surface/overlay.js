/**
 * What is drawn above the paper and is not part of the drawing: the frame of the selection with
 * its handles, what one is choosing, what others hold, the cross of the keyboard. SVG, in CSS
 * pixels of the surface.
 */

import { SIDES, knobOf, placeOn } from "./frame.js";
import { inkOn } from "./people.js";

/** @import { Point } from "./boxes.js" */
/** @import { Frame } from "./frame.js" */
/** @import { View } from "./view.js" */

const NAMESPACE = "http://www.w3.org/2000/svg";
const ACCENT = "var(--accent, #2F5BD7)";
const HANDLE = 5;
/** The outline of a brush is shown from this size on. */
const BRUSH_LEAST = 8;
/** Frames of others lie so far around what they hold. */
const AROUND = 4;
/** How far above the frame the knob is that turns it, in CSS pixels. */
export const KNOB = 26;

/** A frame that somebody else holds. @typedef {{ frame: Frame, name: string, colour: string }} Held */

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number>} attributes
 * @returns {SVGElementTagNameMap[Tag]}
 */
function shape(tag, attributes) {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** See the module. */
export class Overlay {
  /** What is selected. @type {Frame | null} */
  frame = null;
  /** What one is choosing: a rectangle or a lasso, on the paper. @type {readonly Point[]} */
  choosing = [];
  /** @type {readonly Held[]} */
  held = [];
  /** What a brush would cover, around the pointer. @type {{ x: number, y: number, size: number, round: boolean } | null} */
  brush = null;
  /** Where the keyboard's pen is, on the paper. @type {Point | null} */
  cross = null;
  #svg;
  #view;

  /**
   * @param {HTMLElement} host
   * @param {View} view
   */
  constructor(host, view) {
    this.#view = view;
    this.#svg = shape("svg", { width: "100%", height: "100%", "aria-hidden": "true" });
    Object.assign(this.#svg.style, { position: "absolute", inset: "0", overflow: "hidden" });
    host.append(this.#svg);
  }

  /** Show everything as it is now. */
  draw() {
    /** @type {SVGElement[]} */
    const parts = this.held.flatMap((one) => this.#heldParts(one));
    if (this.frame) parts.push(...this.#frameParts(this.frame));
    if (this.choosing.length > 1) parts.push(this.#choice());
    if (this.brush) parts.push(...this.#brushParts(this.brush));
    if (this.cross) parts.push(...this.#crossParts(this.cross));
    this.#svg.replaceChildren(...parts);
  }

  /** @param {readonly Point[]} places on the paper */
  #points(places) {
    const screen = places.map(({ x, y }) => this.#view.toScreen(x, y));
    return screen.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  }

  /** @param {Frame} frame */
  #corners(frame) {
    return SIDES.filter(([x, y]) => x && y).map(([x, y]) => placeOn(frame, x, y));
  }

  /** @param {Frame} frame */
  #frameParts(frame) {
    const line = { fill: "none", "stroke-width": 1.5 };
    const outline = shape("polygon", { points: this.#points(this.#corners(frame)), ...line });
    outline.style.stroke = ACCENT;
    outline.classList.add("surface-frame");
    const { zoom } = this.#view;
    const top = placeOn(frame, 0, -1);
    const knob = knobOf(frame, KNOB / zoom);
    const stem = shape("polyline", { points: this.#points([top, knob]), ...line });
    stem.style.stroke = ACCENT;
    const handles = SIDES.map(([x, y]) => ({ at: placeOn(frame, x, y), radius: 2 }));
    return [outline, stem, ...[...handles, { at: knob, radius: HANDLE }].map(({ at, radius }) => {
      const { x, y } = this.#view.toScreen(at.x, at.y);
      const place = { x: x - HANDLE, y: y - HANDLE, width: 2 * HANDLE, height: 2 * HANDLE };
      const made = shape("rect", { ...place, rx: radius, fill: "#fff", "stroke-width": 1.5 });
      made.style.stroke = ACCENT;
      return made;
    })];
  }

  #choice() {
    const made = shape("polygon", { points: this.#points(this.choosing), "fill-opacity": 0.08 });
    made.setAttribute("stroke-width", "1");
    made.style.stroke = ACCENT;
    made.style.fill = ACCENT;
    return made;
  }

  /** @param {Held} held */
  #heldParts({ frame: { x: left, y: top, width, height, angle }, name, colour }) {
    const around = AROUND / this.#view.zoom;
    const [wider, higher] = [width + 2 * around, height + 2 * around];
    const frame = { x: left - around, y: top - around, width: wider, height: higher, angle };
    const points = this.#points(this.#corners(frame));
    const dashes = { "stroke-width": 1.5, "stroke-dasharray": "5 4", "stroke-linejoin": "round" };
    const outline = shape("polygon", { points, fill: "none", stroke: colour, ...dashes });
    const { x, y } = this.#view.toScreen(frame.x, frame.y);
    return [outline, ...label(name, colour, x, y - 20)];
  }

  /** Light and dark, to be seen on everything. @param {NonNullable<Overlay["brush"]>} brush */
  #brushParts({ x, y, size, round }) {
    const shown = size * this.#view.zoom;
    if (shown < BRUSH_LEAST) return [];
    // A stamp lies on whole pixels, and reaches from its middle to the left and up.
    const corner = round
      ? this.#view.toScreen(x - size / 2, y - size / 2)
      : this.#view.toScreen(Math.floor(x) - (size >> 1), Math.floor(y) - (size >> 1));
    const place = { x: corner.x, y: corner.y, width: shown, height: shown, rx: round ? shown / 2 : 0 };
    return [
      ["#fff", 2.5, 0.8],
      ["#1B1D21", 1, 0.6],
    ].map(([stroke, width, opacity]) =>
      shape("rect", { ...place, fill: "none", stroke, "stroke-width": width, opacity }),
    );
  }

  /** @param {Point} cross */
  #crossParts(cross) {
    const { x, y } = this.#view.toScreen(cross.x, cross.y);
    const path = `M${x - 14} ${y}H${x - 4}M${x + 4} ${y}H${x + 14}M${x} ${y - 14}V${y - 4}M${x} ${y + 4}V${y + 14}`;
    const under = shape("path", { d: path, stroke: "#fff", "stroke-width": 4, "stroke-linecap": "round" });
    const over = shape("path", { d: path, "stroke-width": 1.75, "stroke-linecap": "round" });
    over.style.stroke = ACCENT;
    over.classList.add("surface-cross");
    return [under, over];
  }

  remove() {
    this.#svg.remove();
  }
}

/**
 * A name on its colour.
 *
 * @param {string} name
 * @param {string} colour
 * @param {number} x of the left edge
 * @param {number} y of the upper edge
 */
function label(name, colour, x, y) {
  const short = name.length > 24 ? `${name.slice(0, 23)}…` : name;
  const font = { "font-family": "system-ui, sans-serif", "font-size": 12 };
  const text = shape("text", { x: x + 6, y: y + 12.5, fill: inkOn(colour), ...font });
  text.textContent = short;
  const width = 12 + 6.6 * [...short].length;
  return [shape("rect", { x, y, width, height: 18, rx: 6, fill: colour }), text];
}
