/**
 * Strokes at a place, and those that belong together. Pure: no DOM.
 *
 * What one gesture has drawn may be several strokes: of different widths, or because it was too
 * long for one packet. They follow one another, in the same colour and by the same person, and
 * each begins where the one before it ends. They are chosen, erased and moved together.
 */

import { boxOf, distanceToSegment, inside } from "./boxes.js";

/** @import { Box, Point } from "./boxes.js" */

/** @typedef {{ rgba: ArrayLike<number>, width: number, height: number, points: ArrayLike<number>, author: string }} Drawn */

/**
 * @param {Drawn} first
 * @param {Drawn} second
 */
function continues(first, second) {
  const [a, b] = [first.points, second.points];
  if (a[a.length - 2] !== b[0] || a[a.length - 1] !== b[1]) return false;
  for (let i = 0; i < 4; i++) if (first.rgba[i] !== second.rgba[i]) return false;
  return first.author === second.author;
}

/**
 * Where the line begins and ends that a stroke is part of.
 *
 * @param {readonly Drawn[]} strokes
 * @param {number} index
 * @returns {[number, number]} inclusive
 */
export function lineAround(strokes, index) {
  let [first, last] = [index, index];
  while (first > 0 && continues(strokes[first - 1], strokes[first])) first--;
  while (last + 1 < strokes.length && continues(strokes[last], strokes[last + 1])) last++;
  return [first, last];
}

/**
 * Does a stroke come so near to a point?
 *
 * @param {Drawn} stroke
 * @param {number} x
 * @param {number} y
 * @param {number} reach beyond the stroke's own width
 */
export function touches({ points, width, height }, x, y, reach) {
  const distance = Math.max(width, height) / 2 + reach;
  if (points.length === 2) return Math.hypot(x - points[0], y - points[1]) <= distance;
  for (let i = 2; i < points.length; i += 2) {
    const [ax, ay, bx, by] = [points[i - 2], points[i - 1], points[i], points[i + 1]];
    if (distanceToSegment(x, y, ax, ay, bx, by) <= distance) return true;
  }
  return false;
}

/** @type {WeakMap<object, Box>} */
const boxes = new WeakMap();

/** What a stroke covers. @param {Drawn} stroke @returns {Box} */
export function boxAround(stroke) {
  let box = boxes.get(stroke);
  if (!box) {
    box = boxOf(stroke.points, Math.max(stroke.width, stroke.height) / 2);
    boxes.set(stroke, box);
  }
  return box;
}

/**
 * The topmost stroke at a point; -1 when there is none.
 *
 * @param {readonly Drawn[]} strokes
 * @param {number} x
 * @param {number} y
 * @param {number} reach
 */
export function topmostAt(strokes, x, y, reach) {
  for (let i = strokes.length - 1; i >= 0; i--) {
    const { left, top, right, bottom } = boxAround(strokes[i]);
    if (x < left - reach || x > right + reach || y < top - reach || y > bottom + reach) continue;
    if (touches(strokes[i], x, y, reach)) return i;
  }
  return -1;
}

/**
 * Is at least half of a stroke's points inside?
 *
 * @param {Drawn} stroke
 * @param {readonly Point[]} polygon
 */
export function mostlyInside({ points }, polygon) {
  let count = 0;
  for (let i = 0; i < points.length; i += 2) if (inside(points[i], points[i + 1], polygon)) count++;
  return 4 * count >= points.length;
}

/**
 * Is it the same line, in the same place?
 *
 * @param {Omit<Drawn, "author">} a
 * @param {Omit<Drawn, "author">} b
 */
export function isEqual(a, b) {
  if (a.width !== b.width || a.height !== b.height || a.points.length !== b.points.length) {
    return false;
  }
  for (let i = 0; i < 4; i++) if (a.rgba[i] !== b.rgba[i]) return false;
  for (let i = 0; i < a.points.length; i++) if (a.points[i] !== b.points[i]) return false;
  return true;
}
