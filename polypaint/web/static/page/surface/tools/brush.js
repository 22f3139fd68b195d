/**
 * The brush of a drawing of pixels, and its eraser, which is white. What is stamped is sent while
 * the brush is down, so that everybody sees it grow.
 */

import { SEND_POINTS } from "../../../client/packets.js";
import { stampMark } from "../ink_marks.js";
import { penWidth } from "../ink.js";
import { stampTo } from "../stamps.js";

/** @import { Board, Place, Tool } from "../board.js" */

const WHITE = [255, 255, 255, 255];
/** So often points are sent. */
const SEND_MS = 60;
/** Nothing is sent before: until then it may be the beginning of a pinch. */
const FIRST_MS = 500;

/** @implements {Tool} */
export class Brush {
  cursor = "crosshair";
  #board;
  #white;
  #rgba = WHITE;
  #size = 1;
  /** Not sent yet. @type {number[]} */
  #points = [];
  /** @type {readonly [number, number] | null} */
  #last = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Board} board
   * @param {boolean} white is it the eraser?
   */
  constructor(board, white) {
    this.#board = board;
    this.#white = white;
  }

  /** @param {Place} place */
  start(place) {
    this.#rgba = this.#white ? WHITE : this.#board.rgba;
    this.#size = penWidth(this.#board.width);
    this.#points = [];
    this.#last = null;
    this.extend([place]);
    this.#sendLater(FIRST_MS);
  }

  /** @param {Place[]} places */
  extend(places) {
    const before = this.#points.length;
    for (const { x, y } of places) {
      this.#last = stampTo(this.#last, [x, y], this.#size, this.#points);
    }
    if (this.#points.length > before) this.#show();
  }

  #show() {
    const mark = this.#points.length && stampMark(this.#points, this.#size, this.#rgba);
    this.#board.live.show(mark || null);
  }

  /** @param {number} milliseconds */
  #sendLater(milliseconds) {
    this.#timer = setTimeout(() => {
      this.#send();
      this.#sendLater(SEND_MS);
    }, milliseconds);
  }

  #send() {
    const [points, rgba, brush] = [this.#points, this.#rgba, this.#size];
    this.#points = [];
    if (points.length) {
      const sent = this.#board.draw(SEND_POINTS, { brush, rgba, points });
      this.#board.live.keep([stampMark(points, brush, rgba)], sent, () => this.#board.frame());
    }
    this.#show();
  }

  finish() {
    clearTimeout(this.#timer);
    this.#send();
  }

  abort() {
    clearTimeout(this.#timer);
    this.#points = [];
    this.#show();
  }
}
