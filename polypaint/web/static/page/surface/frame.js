/**
 * The frame around a selection, which is moved, scaled and turned by its handles. Pure: no DOM.
 */

/** @import { Box, Point } from "./boxes.js" */

/**
 * A rectangle that is turned about its centre. angle: degrees clockwise.
 *
 * @typedef {{ x: number, y: number, width: number, height: number, angle: number }} Frame
 */

/**
 * Which part is held: `move`, `rotate`, or a side or corner by its direction, -1 to 1 each.
 *
 * @typedef {{ kind: "move" } | { kind: "rotate" } | { kind: "scale", x: number, y: number }} Handle
 */

/** Of an affine map, as in CSS: x' = a x + c y + e, y' = b x + d y + f. @typedef {[number, number, number, number, number, number]} Matrix */

export const SIDES = [
  [-1, -1],
  [0, -1],
  [1, -1],
  [1, 0],
  [1, 1],
  [0, 1],
  [-1, 1],
  [-1, 0],
];
const LEAST = 1;
const SNAP_DEGREES = 15;

/** @param {Box} box @returns {Frame} */
export function frameOf({ left, top, right, bottom }) {
  return { x: left, y: top, width: right - left, height: bottom - top, angle: 0 };
}

/** @param {Frame} frame @returns {Point} */
export function centreOf({ x, y, width, height }) {
  return { x: x + width / 2, y: y + height / 2 };
}

/** @param {number} angle degrees */
function turnOf(angle) {
  const radians = (angle * Math.PI) / 180;
  return { cosine: Math.cos(radians), sine: Math.sin(radians) };
}

/**
 * A place of the frame: 0, 0 is its centre, ±1 are its sides.
 *
 * @param {Frame} frame
 * @param {number} across
 * @param {number} down
 * @returns {Point}
 */
export function placeOn(frame, across, down) {
  const { cosine, sine } = turnOf(frame.angle);
  const centre = centreOf(frame);
  const [dx, dy] = [(across * frame.width) / 2, (down * frame.height) / 2];
  return { x: centre.x + cosine * dx - sine * dy, y: centre.y + sine * dx + cosine * dy };
}

/**
 * A point seen from the frame's centre, along its sides.
 *
 * @param {Frame} frame
 * @param {Point} point
 * @returns {Point}
 */
function along(frame, point) {
  const { cosine, sine } = turnOf(frame.angle);
  const centre = centreOf(frame);
  const [dx, dy] = [point.x - centre.x, point.y - centre.y];
  return { x: cosine * dx + sine * dy, y: cosine * dy - sine * dx };
}

/**
 * Where the knob is that turns the frame.
 *
 * @param {Frame} frame
 * @param {number} distance from the upper side
 * @returns {Point}
 */
export function knobOf(frame, distance) {
  return placeOn(frame, 0, -1 - (2 * distance) / frame.height);
}

/**
 * What of the frame is at a point; null when it is beside it.
 *
 * @param {Frame} frame
 * @param {Point} point
 * @param {number} reach
 * @param {number} knob distance of the knob
 * @returns {Handle | null}
 */
export function handleAt(frame, point, reach, knob) {
  const near = (/** @type {Point} */ at) => Math.hypot(at.x - point.x, at.y - point.y) <= reach;
  if (near(knobOf(frame, knob))) return { kind: "rotate" };
  // On a small frame, handles would leave no room to take hold of it.
  const roomy = Math.min(frame.width, frame.height) > 3 * reach;
  for (const [x, y] of SIDES) {
    const corner = x !== 0 && y !== 0;
    if ((corner || roomy) && near(placeOn(frame, x, y))) return { kind: "scale", x, y };
  }
  const { x, y } = along(frame, point);
  const within = Math.abs(x) <= frame.width / 2 + reach && Math.abs(y) <= frame.height / 2 + reach;
  return within ? { kind: "move" } : null;
}

/**
 * The frame after a handle was dragged from one point to another.
 *
 * @param {Frame} frame
 * @param {Handle} handle
 * @param {Point} from
 * @param {Point} to
 * @param {boolean} other corners: let go of the proportions; turning: in steps of 15 degrees;
 *   moving: along one side only
 * @returns {Frame}
 */
export function dragged(frame, handle, from, to, other) {
  if (handle.kind === "move") {
    let [dx, dy] = [to.x - from.x, to.y - from.y];
    if (other) [dx, dy] = Math.abs(dx) > Math.abs(dy) ? [dx, 0] : [0, dy];
    return { ...frame, x: frame.x + dx, y: frame.y + dy };
  }
  if (handle.kind === "rotate") {
    const centre = centreOf(frame);
    const before = Math.atan2(from.y - centre.y, from.x - centre.x);
    const after = Math.atan2(to.y - centre.y, to.x - centre.x);
    const angle = frame.angle + ((after - before) * 180) / Math.PI;
    return { ...frame, angle: normal(other ? SNAP_DEGREES * Math.round(angle / SNAP_DEGREES) : angle) };
  }
  const [start, end] = [along(frame, from), along(frame, to)];
  let width = Math.max(LEAST, frame.width + handle.x * (end.x - start.x));
  let height = Math.max(LEAST, frame.height + handle.y * (end.y - start.y));
  if (handle.x && handle.y && !other) {
    const factor = Math.max(width / frame.width, height / frame.height);
    [width, height] = [frame.width * factor, frame.height * factor];
  }
  return resized(frame, width, height, -handle.x, -handle.y);
}

/**
 * The frame with other sides, while one place of it stays where it is.
 *
 * @param {Frame} frame
 * @param {number} width
 * @param {number} height
 * @param {number} across of the place, see `placeOn`
 * @param {number} down
 * @returns {Frame}
 */
export function resized(frame, width, height, across, down) {
  const fixed = placeOn(frame, across, down);
  const moved = { ...frame, width, height };
  const now = placeOn(moved, across, down);
  return { ...moved, x: moved.x + fixed.x - now.x, y: moved.y + fixed.y - now.y };
}

/**
 * The angle from -180 to 180.
 *
 * @param {number} angle degrees
 */
export function normal(angle) {
  return angle - 360 * Math.round(angle / 360);
}

/**
 * The map that takes one frame to another.
 *
 * @param {Frame} from
 * @param {Frame} to
 * @returns {Matrix}
 */
export function mapBetween(from, to) {
  const [a, b] = [turnOf(from.angle), turnOf(to.angle)];
  const [scaleX, scaleY] = [to.width / from.width, to.height / from.height];
  // Turned back, scaled, turned: by columns.
  const [ux, uy] = [scaleX * a.cosine, -scaleY * a.sine];
  const [vx, vy] = [scaleX * a.sine, scaleY * a.cosine];
  const first = [b.cosine * ux - b.sine * uy, b.sine * ux + b.cosine * uy];
  const second = [b.cosine * vx - b.sine * vy, b.sine * vx + b.cosine * vy];
  const [start, end] = [centreOf(from), centreOf(to)];
  return [
    first[0],
    first[1],
    second[0],
    second[1],
    end.x - first[0] * start.x - second[0] * start.y,
    end.y - first[1] * start.x - second[1] * start.y,
  ];
}

/**
 * @param {Matrix} matrix
 * @param {ArrayLike<number>} points x, y, x, y …
 */
export function mapped([a, b, c, d, e, f], points) {
  const moved = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i], points[i + 1]];
    moved[i] = a * x + c * y + e;
    moved[i + 1] = b * x + d * y + f;
  }
  return moved;
}

/**
 * How much larger the map makes things, on the whole.
 *
 * @param {Matrix} matrix
 */
export function growth([a, b, c, d]) {
  return Math.sqrt(Math.abs(a * d - b * c));
}
