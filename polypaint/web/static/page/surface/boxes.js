/** Rectangles and points on the paper. Pure: no DOM. */

/**
 * Half-open on the right and below, in pixels of the paper unless something else is said.
 *
 * @typedef {{ left: number, top: number, right: number, bottom: number }} Box
 */

/** @typedef {{ x: number, y: number }} Point */

/**
 * The smallest box around points, made larger by `margin` on every side.
 *
 * @param {ArrayLike<number>} points x, y, x, y …; at least one
 * @param {number} margin
 * @returns {Box}
 */
export function boxOf(points, margin) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i], points[i + 1]];
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < top) top = y;
    if (y > bottom) bottom = y;
  }
  return { left: left - margin, top: top - margin, right: right + margin, bottom: bottom + margin };
}

/**
 * @param {Box} a
 * @param {Box} b
 */
export function overlap(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/**
 * The smallest box around both; one of them may be missing.
 *
 * @param {Box | null} a
 * @param {Box} b
 * @returns {Box}
 */
export function union(a, b) {
  if (a === null) return { ...b };
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
  };
}

/**
 * What lies in both; null when nothing does.
 *
 * @param {Box} a
 * @param {Box} b
 * @returns {Box | null}
 */
export function common(a, b) {
  const left = Math.max(a.left, b.left);
  const top = Math.max(a.top, b.top);
  const right = Math.min(a.right, b.right);
  const bottom = Math.min(a.bottom, b.bottom);
  return left < right && top < bottom ? { left, top, right, bottom } : null;
}

/**
 * The box with these two corners, in whatever order.
 *
 * @param {Point} a
 * @param {Point} b
 * @returns {Box}
 */
export function between(a, b) {
  return {
    left: Math.min(a.x, b.x),
    top: Math.min(a.y, b.y),
    right: Math.max(a.x, b.x),
    bottom: Math.max(a.y, b.y),
  };
}

/**
 * @param {Box} box
 * @param {number} margin
 * @returns {Box}
 */
export function grown(box, margin) {
  return {
    left: box.left - margin,
    top: box.top - margin,
    right: box.right + margin,
    bottom: box.bottom + margin,
  };
}

/**
 * The distance from a point to the line between two others.
 *
 * @param {number} x
 * @param {number} y
 * @param {number} ax
 * @param {number} ay
 * @param {number} bx
 * @param {number} by
 */
export function distanceToSegment(x, y, ax, ay, bx, by) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const t = length ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

/**
 * Is a point inside a closed polygon (even-odd rule)?
 *
 * @param {number} x
 * @param {number} y
 * @param {readonly Point[]} polygon
 */
export function inside(x, y, polygon) {
  let within = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [a, b] = [polygon[i], polygon[j]];
    if (a.y > y !== b.y > y && x < ((b.x - a.x) * (y - a.y)) / (b.y - a.y) + a.x) within = !within;
  }
  return within;
}
