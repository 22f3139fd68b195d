/** The sketch on the first page: three people who draw a boat together. */

import { COLOURS } from "../surface/people.js";

const SVG = "http://www.w3.org/2000/svg";
/** Path, which of the people's colours, width. */
const LINES = /** @type {const} */ ([
  ["M58 176c28 10 62 14 104 13 40-1 74-5 104-16", 0, 4],
  ["M58 176c10 26 24 42 40 48 40 8 96 8 128 0 18-6 32-24 40-51", 0, 4],
  ["M166 188c-2-48-2-98 1-148", 0, 4],
  ["M167 42c30 30 56 72 72 118-24 6-48 9-71 9", 1, 4],
  ["M155 60c-22 32-44 66-66 98 22 6 44 9 66 9", 1, 4],
  ["M22 240c16-10 30-10 46 0s30 10 46 0 30-10 46 0 30 10 46 0 30-10 46 0 30 10 46 0", 5, 4],
  ["M50 262c16-9 30-9 46 0s30 9 46 0 30-9 46 0 30 9 46 0", 5, 4],
  ["M306 74a24 24 0 1 0-48 1 24 24 0 1 0 48-1", 4, 4],
  ["M282 34V22M318 46l9-9M330 78h13M246 46l-9-9M234 78h-13M315 108l9 9", 4, 4],
]);
/** Where somebody's hand is: x, y, initial, colour. */
const HANDS = /** @type {const} */ ([
  [266, 172, "A", 0],
  [239, 160, "M", 1],
  [298, 240, "Z", 5],
]);

/** The picture; decoration. */
export function sketch() {
  const svg = make("svg", { viewBox: "0 0 360 288", class: "sketch", "aria-hidden": "true" });
  for (const [d, person, width] of LINES) {
    svg.append(make("path", { d, stroke: COLOURS[person] ?? "", "stroke-width": width }));
  }
  for (const [x, y, initial, person] of HANDS.slice(1)) {
    const label = make("text", { x: x + 15, y: y + 19.5, fill: person === 0 ? "#fff" : "#000" });
    label.textContent = initial;
    const fill = COLOURS[person] ?? "";
    svg.append(
      make("path", { d: `M${x} ${y}l3 11 3-5 5-3Z`, fill, stroke: fill, "stroke-width": 1.75 }),
      make("circle", { cx: x + 15, cy: y + 15, r: 10, fill }),
      label,
    );
  }
  return svg;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
function make(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
