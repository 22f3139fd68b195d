/**
 * The eraser of a drawing of strokes: it removes whole lines that it touches, when it is lifted.
 * Lines that others hold stay.
 */

import { union } from "../boxes.js";
import { lineAround, topmostAt } from "../lines.js";
import { strokeMarks } from "../ink_marks.js";

/** @import { Stroke } from "../../../client/strokes.js" */
/** @import { Board, Place, Tool } from "../board.js" */
/** @import { StrokePainter } from "../stroke_painter.js" */
/** @import { StrokeSelection } from "../stroke_selection.js" */

/** How visible is what will be removed. */
const FADED = 0.2;

/** @implements {Tool} */
export class StrokeEraser {
  cursor = "crosshair";
  /** @type {Set<Stroke>} */
  #touched = new Set();
  /** @type {Place | null} */
  #last = null;
  #board;
  #selection;

  /**
   * @param {Board} board
   * @param {StrokeSelection} selection
   */
  constructor(board, selection) {
    this.#board = board;
    this.#selection = selection;
  }

  get #painter() {
    return /** @type {StrokePainter} */ (this.#board.painter);
  }

  /** @param {Place} place */
  start(place) {
    this.#touched.clear();
    this.#last = place;
    this.#touch(place.x, place.y, place.reach);
  }

  /** @param {Place[]} places */
  extend(places) {
    for (const place of places) {
      const from = this.#last ?? place;
      const distance = Math.hypot(place.x - from.x, place.y - from.y);
      const steps = Math.max(1, Math.ceil(distance / place.reach));
      for (let i = 1; i <= steps; i++) {
        const t = i / steps;
        this.#touch(from.x + (place.x - from.x) * t, from.y + (place.y - from.y) * t, place.reach);
      }
      this.#last = place;
    }
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} reach
   */
  #touch(x, y, reach) {
    const { name } = this.#board;
    const { strokes } = this.#board.strokeCanvas;
    const free = (/** @type {Stroke} */ { holder }) => holder === "" || holder === name;
    const left = strokes.filter((stroke) => free(stroke) && !this.#touched.has(stroke));
    /** @type {Stroke[]} */
    const found = [];
    for (let at; (at = topmostAt(left, x, y, reach)) >= 0; left.splice(at, 1)) {
      const [first, last] = lineAround(strokes, strokes.indexOf(left[at]));
      found.push(...strokes.slice(first, last + 1).filter(free));
    }
    if (!found.length) return;
    for (const stroke of found) this.#touched.add(stroke);
    this.#painter.hide(found);
    this.#board.frame();
    this.#showFaded();
  }

  #showFaded() {
    const marks = strokeMarks([...this.#touched]);
    if (!marks.length) return;
    this.#board.live.show({
      box: marks.map(({ box }) => box).reduce(union),
      draw: (ctx) => {
        ctx.globalAlpha = FADED;
        for (const mark of marks) mark.draw(ctx);
      },
    });
  }

  finish() {
    const touched = [...this.#touched];
    this.#end();
    if (touched.length) this.#selection.removeStrokes(touched);
  }

  abort() {
    this.#painter.unhide(this.#touched);
    this.#board.frame();
    this.#end();
  }

  #end() {
    this.#touched = new Set();
    this.#last = null;
    this.#board.live.show(null);
  }
}
