/**
 * The line through the points of a stroke, as everybody sees it: smooth where a hand drew it,
 * sharp at corners. Pure: it talks to whatever has `moveTo`, `lineTo` and `quadraticCurveTo`.
 */

/**
 * What of a path or canvas context is used.
 *
 * @typedef {Object} Pen
 * @property {(x: number, y: number) => void} moveTo
 * @property {(x: number, y: number) => void} lineTo
 * @property {(cx: number, cy: number, x: number, y: number) => void} quadraticCurveTo
 */

/** The cosine of the turn from which on a point is a corner, when both lines at it are long. */
const CORNER_COSINE = 0.5;
const CORNER_LENGTH = 6;

/**
 * Quadratic curves from midpoint to midpoint, with the points as control points. One point gives
 * a line of no length: draw a dot instead.
 *
 * @param {Pen} pen
 * @param {ArrayLike<number>} points x, y, x, y …
 * @param {number} [from] index of the first point
 */
export function trace(pen, points, from = 0) {
  const last = points.length - 2;
  let i = 2 * from;
  pen.moveTo(points[i], points[i + 1]);
  for (i += 2; i < last; i += 2) {
    const [x, y] = [points[i], points[i + 1]];
    const [nextX, nextY] = [points[i + 2], points[i + 3]];
    if (isCorner(points[i - 2], points[i - 1], x, y, nextX, nextY)) pen.lineTo(x, y);
    else pen.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  pen.lineTo(points[last], points[last + 1]);
}

/**
 * @param {number} ax
 * @param {number} ay
 * @param {number} x
 * @param {number} y
 * @param {number} bx
 * @param {number} by
 */
function isCorner(ax, ay, x, y, bx, by) {
  const [inX, inY] = [x - ax, y - ay];
  const [outX, outY] = [bx - x, by - y];
  const before = Math.hypot(inX, inY);
  const after = Math.hypot(outX, outY);
  if (before < CORNER_LENGTH || after < CORNER_LENGTH) return false;
  return inX * outX + inY * outY < CORNER_COSINE * before * after;
}
