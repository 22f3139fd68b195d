/** What has changed between two lists of strokes. Pure: strokes are compared as objects. */

/**
 * appended: now on top of all others. changed: strokes of either list whose places must be painted
 * anew. same: as many at the beginning are the same.
 *
 * @template Stroke
 * @typedef {{ appended: Stroke[], changed: Set<Stroke>, same: number }} Changes
 */

/**
 * @template {object} Stroke
 * @param {readonly Stroke[]} before
 * @param {readonly Stroke[]} after
 * @returns {Changes<Stroke>}
 */
export function changesBetween(before, after) {
  const least = Math.min(before.length, after.length);
  let same = 0;
  while (same < least && before[same] === after[same]) same++;
  /** @type {Set<Stroke>} */
  const changed = new Set();
  if (same === before.length) return { appended: after.slice(same), changed, same };
  const old = new Set(before.slice(same));
  const kept = new Set();
  for (const stroke of after.slice(same)) {
    if (old.has(stroke)) kept.add(stroke);
    else changed.add(stroke);
  }
  for (const stroke of old) if (!kept.has(stroke)) changed.add(stroke);
  // Those that are in both lists: did they keep their order?
  const order = [...kept];
  let at = 0;
  for (const stroke of old) {
    if (kept.has(stroke) && order[at++] !== stroke) changed.add(stroke);
  }
  // New strokes on top of all others need not disturb what is below them.
  /** @type {Stroke[]} */
  const appended = [];
  for (let i = after.length - 1; i >= same && changed.has(after[i]) && !old.has(after[i]); i--) {
    appended.push(after[i]);
    changed.delete(after[i]);
  }
  return { appended: appended.reverse(), changed, same };
}
