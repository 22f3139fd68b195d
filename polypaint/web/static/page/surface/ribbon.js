/**
 * A line whose width changes along it, as the outline of what it covers. Pure, like
 * `stroke_path.js`.
 *
 * A stroke has one width on the wire; a pen's pressure makes several strokes of different widths
 * that meet end to end. They are shown as one line: where two meet, both have the width between.
 */

import { trace } from "./stroke_path.js";

/** @typedef {{ rgba: ArrayLike<number>, width: number, height: number, points: ArrayLike<number> }} Inked */

/** Widths at the beginning and at the end. @typedef {{ from: number, to: number }} Ends */

/**
 * What of a path is used.
 *
 * @typedef {Object} Outline
 * @property {(x: number, y: number) => void} moveTo
 * @property {(x: number, y: number) => void} lineTo
 * @property {(x: number, y: number, radius: number, from: number, to: number) => void} arc
 * @property {() => void} closePath
 */

const STEP = 3;
/** The cosine of the turn from which on a joint is made round. */
const ROUND_COSINE = 0.97;

/** @param {Inked} stroke */
function sizeOf({ width, height }) {
  return Math.max(width, height);
}

/**
 * Does the second stroke go on where the first one ends, in the same opaque colour?
 *
 * @param {Inked} first
 * @param {Inked} second
 */
function goesOn(first, second) {
  const [a, b] = [first.points, second.points];
  if (a[a.length - 2] !== b[0] || a[a.length - 1] !== b[1]) return false;
  for (let i = 0; i < 4; i++) if (first.rgba[i] !== second.rgba[i]) return false;
  return first.rgba[3] === 255;
}

/**
 * The widths at both ends of a stroke between its neighbours, if they are parts of one line.
 *
 * @param {Inked | undefined} before
 * @param {Inked} stroke
 * @param {Inked | undefined} after
 * @returns {Ends}
 */
export function endsBetween(before, stroke, after) {
  const size = sizeOf(stroke);
  const from = before && goesOn(before, stroke) ? (sizeOf(before) + size) / 2 : size;
  const to = after && goesOn(stroke, after) ? (sizeOf(after) + size) / 2 : size;
  return { from, to };
}

/**
 * @param {ArrayLike<number>} points
 * @returns {number[]} the smooth line through them, as points that are near to each other
 */
function flattened(points) {
  /** @type {number[]} */
  const flat = [];
  let [x, y] = [0, 0];
  trace(
    {
      moveTo: (toX, toY) => void flat.push((x = toX), (y = toY)),
      lineTo(toX, toY) {
        const steps = Math.max(1, Math.ceil(Math.hypot(toX - x, toY - y) / STEP));
        const [dx, dy] = [toX - x, toY - y];
        for (let i = 1; i <= steps; i++) flat.push(x + (dx * i) / steps, y + (dy * i) / steps);
        [x, y] = [toX, toY];
      },
      quadraticCurveTo(cx, cy, toX, toY) {
        const length = Math.hypot(cx - x, cy - y) + Math.hypot(toX - cx, toY - cy);
        const steps = Math.max(2, Math.ceil(length / STEP));
        for (let i = 1; i <= steps; i++) {
          const t = i / steps;
          const [a, b, c] = [(1 - t) * (1 - t), 2 * t * (1 - t), t * t];
          flat.push(a * x + b * cx + c * toX, a * y + b * cy + c * toY);
        }
        [x, y] = [toX, toY];
      },
    },
    points,
  );
  return flat;
}

/**
 * Add the outline to a path, which is to be filled by the nonzero rule.
 *
 * @param {Outline} path
 * @param {ArrayLike<number>} points
 * @param {number} width in the middle
 * @param {Ends} ends
 */
export function ribbon(path, points, width, { from, to }) {
  const flat = flattened(points);
  const count = flat.length / 2;
  const radii = radiiAlong(flat, width, from, to);
  let [normalX, normalY] = [0, 0];
  circle(path, flat[0], flat[1], radii[0]);
  for (let i = 0; i + 1 < count; i++) {
    const [x, y, nextX, nextY] = flat.slice(2 * i, 2 * i + 4);
    const length = Math.hypot(nextX - x, nextY - y);
    if (length === 0) continue;
    const [toX, toY] = [(y - nextY) / length, (nextX - x) / length];
    const turned = normalX * toX + normalY * toY < ROUND_COSINE;
    if (i === 0 || turned) [normalX, normalY] = [toX, toY];
    if (i > 0 && turned) circle(path, x, y, radii[i]);
    const [a, b] = [radii[i], radii[i + 1]];
    path.moveTo(x - normalX * a, y - normalY * a);
    path.lineTo(nextX - toX * b, nextY - toY * b);
    path.lineTo(nextX + toX * b, nextY + toY * b);
    path.lineTo(x + normalX * a, y + normalY * a);
    path.closePath();
    [normalX, normalY] = [toX, toY];
  }
  circle(path, flat[2 * count - 2], flat[2 * count - 1], radii[count - 1]);
}

/**
 * Half the width at each point.
 *
 * @param {number[]} flat
 * @param {number} width
 * @param {number} from
 * @param {number} to
 */
function radiiAlong(flat, width, from, to) {
  const along = [0];
  for (let i = 2; i < flat.length; i += 2) {
    const step = Math.hypot(flat[i] - flat[i - 2], flat[i + 1] - flat[i - 1]);
    along.push(along[along.length - 1] + step);
  }
  const half = along[along.length - 1] / 2 || 1;
  return along.map((at) => {
    const [end, part] = at < half ? [from, at / half] : [to, 2 - at / half];
    return (end + (width - end) * part) / 2;
  });
}

/**
 * In the same direction as the parts between.
 *
 * @param {Outline} path
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 */
function circle(path, x, y, radius) {
  path.moveTo(x + radius, y);
  path.arc(x, y, radius, 0, 2 * Math.PI);
  path.closePath();
}
