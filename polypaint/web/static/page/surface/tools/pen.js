/** The pen of a drawing of strokes. */

import { ADD_STROKE } from "../../../client/packets.js";
import { Ink } from "../ink.js";
import { InkMark, strokeMarks } from "../ink_marks.js";
import { ToldInk } from "../others.js";

/** @import { Board, Place, Tool } from "../board.js" */
/** @import { Inked } from "../ribbon.js" */

/** @implements {Tool} */
export class Pen {
  cursor = "crosshair";
  /** @type {Ink | null} */
  #ink = null;
  /** @type {InkMark | null} */
  #mark = null;
  /** @type {ToldInk | null} */
  #told = null;
  #board;
  #drawn;

  /**
   * @param {Board} board
   * @param {(strokes: Inked[]) => void} drawn called with what one gesture has made
   */
  constructor(board, drawn) {
    this.#board = board;
    this.#drawn = drawn;
  }

  outline() {
    return { size: this.#board.width, round: true };
  }

  /** @param {Place} place */
  start(place) {
    const { rgba, width, live } = this.#board;
    this.#ink = new Ink(rgba, width, place.pen);
    this.#ink.add(place.x, place.y, place.pressure);
    this.#mark = new InkMark(this.#ink);
    live.show(this.#mark);
    this.#told = new ToldInk(this.#board, rgba, this.#ink.pieces[0].width);
    this.#told.grow([place.x, place.y]);
  }

  /** @param {Place[]} places */
  extend(places) {
    const ink = this.#ink;
    if (!ink) return;
    const added = places.filter(({ x, y, pressure }) => ink.add(x, y, pressure));
    if (!added.length) return;
    this.#told?.grow(added.flatMap(({ x, y }) => [x, y]));
    this.#mark?.grow();
    this.#board.live.show(this.#mark);
  }

  finish() {
    const ink = this.#ink;
    if (!ink) return;
    const { live } = this.#board;
    const { rgba } = ink;
    const strokes = ink.pieces.map(({ width, points }) => ({
      rgba,
      width,
      height: width,
      points: Float32Array.from(points),
    }));
    const sent = strokes.map((stroke) => this.#board.draw(ADD_STROKE, { index: 0, ...stroke }));
    const [x, y] = strokes[strokes.length - 1].points.slice(-2);
    this.#told?.finish(x, y);
    live.keep(strokeMarks(strokes), Promise.all(sent), () => this.#board.frame());
    this.#end();
    this.#drawn(strokes);
  }

  abort() {
    this.#told?.abort();
    this.#end();
  }

  #end() {
    this.#ink = null;
    this.#mark = null;
    this.#told = null;
    this.#board.live.show(null);
  }
}
