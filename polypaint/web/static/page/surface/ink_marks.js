/** What is drawn now, as marks for `live_ink.js`: growing ink, strokes, stamps. */

import { boxOf, union } from "./boxes.js";
import { endsBetween } from "./ribbon.js";
import { cssColour, drawShape, makeShape } from "./stroke_style.js";

/** @import { Box } from "./boxes.js" */
/** @import { Ink } from "./ink.js" */
/** @import { Mark } from "./live_ink.js" */
/** @import { Inked } from "./ribbon.js" */
/** @import { Shape } from "./stroke_style.js" */

/**
 * Strokes as they will be shown in the drawing, to the last pixel.
 *
 * @param {readonly Inked[]} strokes of one line, in order
 * @returns {Mark[]}
 */
export function strokeMarks(strokes) {
  return strokes.map((stroke, i) => {
    const shape = makeShape(stroke, endsBetween(strokes[i - 1], stroke, strokes[i + 1]));
    return { box: shape.box, draw: (ctx) => drawShape(ctx, shape) };
  });
}

/** Ink that grows. @implements {Mark} */
export class InkMark {
  /** @type {Box} */
  box = { left: 0, top: 0, right: 0, bottom: 0 };
  #ink;
  /** Of pieces that do not change any more. @type {Shape[]} */
  #whole = [];
  /** @type {Box | null} */
  #wholeBox = null;
  /** @type {Shape | null} */
  #growing = null;

  /** @param {Ink} ink */
  constructor(ink) {
    this.#ink = ink;
    this.grow();
  }

  /** The ink has more points now. */
  grow() {
    const { pieces, rgba } = this.#ink;
    const strokeAt = (/** @type {number} */ i) => {
      const piece = pieces[i];
      return piece && { rgba, width: piece.width, height: piece.width, points: piece.points };
    };
    const last = pieces.length - 1;
    for (let i = this.#whole.length; i <= last; i++) {
      const stroke = strokeAt(i);
      const shape = makeShape(stroke, endsBetween(strokeAt(i - 1), stroke, strokeAt(i + 1)));
      if (i === last) this.#growing = shape;
      else {
        this.#whole.push(shape);
        this.#wholeBox = union(this.#wholeBox, shape.box);
      }
      this.box = union(this.#wholeBox, shape.box);
    }
  }

  /** @param {CanvasRenderingContext2D} ctx */
  draw = (ctx) => {
    for (const shape of this.#whole) drawShape(ctx, shape);
    if (this.#growing) drawShape(ctx, this.#growing);
  };
}

/**
 * Squares around points, as they will be stamped.
 *
 * @param {ArrayLike<number>} points whole numbers
 * @param {number} size
 * @param {ArrayLike<number>} rgba
 * @returns {Mark}
 */
export function stampMark(points, size, rgba) {
  const half = size >> 1;
  const box = boxOf(points, size);
  const draw = (/** @type {CanvasRenderingContext2D} */ ctx) => {
    // One path: where squares overlap, translucent ink is not darker.
    ctx.beginPath();
    for (let i = 0; i < points.length; i += 2) {
      ctx.rect(points[i] - half, points[i + 1] - half, size, size);
    }
    ctx.fillStyle = "#fff"; // a stamp replaces what was there
    if (rgba[3] < 255) ctx.fill();
    ctx.fillStyle = cssColour(rgba);
    ctx.fill();
  };
  return { box, draw };
}
