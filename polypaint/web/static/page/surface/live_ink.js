/**
 * Ink that is not in the drawing yet, above it: what one draws now, what is on its way to the
 * server, and what others draw. It is painted in the event itself, and goes away in the frame in
 * which the drawing shows it.
 */

import { boxOf, union } from "./boxes.js";

/** @import { Box } from "./boxes.js" */
/** @import { Layer } from "./layer.js" */

/**
 * Something that can be drawn, and may grow. box: where it is; kept current.
 *
 * @typedef {Object} Mark
 * @property {(ctx: CanvasRenderingContext2D) => void} draw
 * @property {Box} box
 */

/** @typedef {{ marks: Mark[], box: Box, settled: boolean }} Pending */

/** See the module. */
export class LiveInk {
  /** What is drawn now. @type {Mark | null} */
  #mark = null;
  /** @type {Set<Pending>} */
  #pending = new Set();
  /** What others draw, by key. @type {Map<string, Mark>} */
  #others = new Map();
  /** The lower layer does not show what it should. */
  #stale = false;
  /** Where the upper layer is not empty. @type {Box | null} */
  #inked = null;
  #upper;
  #lower;

  /**
   * @param {Layer} upper for what is drawn now
   * @param {Layer} lower for what is on its way, and others' ink
   */
  constructor(upper, lower) {
    this.#upper = upper;
    this.#lower = lower;
  }

  /**
   * Show what is drawn now, as it has become; null: nothing is.
   *
   * @param {Mark | null} mark
   */
  show(mark) {
    if (this.#inked) this.#upper.clear(this.#inked);
    this.#mark = mark;
    this.#inked = mark ? { ...mark.box } : null;
    if (mark) this.#upper.draw(mark.draw);
  }

  /**
   * What was drawn is on its way to the server: keep it in view until it is in the drawing.
   *
   * @param {Mark[]} marks
   * @param {Promise<unknown>} sent when it is known whether it counts
   * @param {() => void} settled called then
   */
  keep(marks, sent, settled) {
    /** @type {Pending} */
    const pending = { marks, box: { left: 0, top: 0, right: 0, bottom: 0 }, settled: false };
    pending.box = marks.map((mark) => mark.box).reduce(union);
    this.#pending.add(pending);
    for (const mark of marks) this.#lower.draw(mark.draw);
    const done = () => {
      pending.settled = true;
      settled();
    };
    sent.then(done, done);
  }

  /**
   * Take away what the drawing shows by now, and paint what others have drawn.
   *
   * @param {(box: Box) => boolean} isClean is this part of the drawing painted?
   */
  paint(isClean) {
    for (const pending of this.#pending) {
      if (!pending.settled || !isClean(pending.box)) continue;
      this.#pending.delete(pending);
      this.#stale = true;
    }
    if (this.#stale) this.#paintLower();
  }

  /**
   * What somebody else draws now; null: it is in the drawing, or was taken back. Shown by `paint`.
   *
   * @param {string} key
   * @param {Mark | null} mark
   */
  showOther(key, mark) {
    if (mark) this.#others.set(key, mark);
    else this.#others.delete(key);
    this.#stale = true;
  }

  #paintLower() {
    this.#stale = false;
    this.#lower.clear();
    for (const mark of this.#others.values()) this.#lower.draw(mark.draw);
    for (const { marks } of this.#pending) for (const mark of marks) this.#lower.draw(mark.draw);
  }

  /** The view has changed, or the layers are empty: draw everything again. */
  redraw() {
    this.#paintLower();
    this.#upper.clear();
    if (this.#mark) this.#upper.draw(this.#mark.draw);
  }

  /** Is nothing on its way? */
  get idle() {
    return this.#pending.size === 0;
  }
}

/**
 * @param {ArrayLike<number>} points
 * @param {number} width
 */
export function inkBox(points, width) {
  return boxOf(points, width / 2 + 1);
}
