/** Where a brush stamps on the way from one place to another. Pure: no DOM. */

/**
 * Whole points after `from` up to `to`, near enough to one another that no gap shows.
 *
 * @param {readonly [number, number] | null} from where it stamped last; null at the beginning
 * @param {readonly [number, number]} to
 * @param {number} size of the brush
 * @param {number[]} points x, y, x, y …: where they are added
 * @returns {readonly [number, number]} where it stamped last
 */
export function stampTo(from, to, size, points) {
  const [x, y] = [Math.floor(to[0]), Math.floor(to[1])];
  if (from === null) {
    points.push(x, y);
    return [x, y];
  }
  const [dx, dy] = [x - from[0], y - from[1]];
  const distance = Math.max(Math.abs(dx), Math.abs(dy));
  if (distance === 0) return from;
  const steps = Math.ceil(distance / Math.max(1, size >> 3));
  for (let i = 1; i <= steps; i++) {
    points.push(from[0] + Math.round((dx * i) / steps), from[1] + Math.round((dy * i) / steps));
  }
  return [x, y];
}
