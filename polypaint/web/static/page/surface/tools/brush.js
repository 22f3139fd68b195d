/**
 * The brush of a drawing of pixels, and its eraser, which is white. Others see it grow: as live ink
 * where the server has that, so that one gesture is one packet; else it is sent bit by bit.
 */

import { deferred } from "../../../client/connection.js";
import { SEND_POINTS } from "../../../client/packets.js";
import { stampMark } from "../ink_marks.js";
import { penWidth } from "../ink.js";
import { ToldInk, tellsInk } from "../others.js";
import { stampTo } from "../stamps.js";

/** @import { Board, Place, Tool } from "../board.js" */

const WHITE = [255, 255, 255, 255];
/** So often points are sent. */
const SEND_MS = 60;
/** So many points are drawn anew when one is added. */
const CHUNK = 2 * 300;
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
  /** @type {ToldInk | null} */
  #told = null;
  /** Numbers of `#points` that are kept in view without being drawn anew. */
  #kept = 0;
  /** When it is known what becomes of them. */
  #outcome = deferred();

  /**
   * @param {Board} board
   * @param {boolean} white is it the eraser?
   */
  constructor(board, white) {
    this.#board = board;
    this.#white = white;
  }

  outline() {
    return { size: penWidth(this.#board.width), round: false };
  }

  /** @param {Place} place */
  start(place) {
    this.#rgba = this.#white ? WHITE : this.#board.rgba;
    this.#size = penWidth(this.#board.width);
    this.#points = [];
    this.#kept = 0;
    this.#outcome = deferred();
    this.#last = null;
    this.#told = tellsInk(this.#board) ? new ToldInk(this.#board, this.#rgba, this.#size) : null;
    this.extend([place]);
    if (!this.#told) this.#sendLater(FIRST_MS);
  }

  /** @param {Place[]} places */
  extend(places) {
    const before = this.#points.length;
    for (const { x, y } of places) {
      this.#last = stampTo(this.#last, [x, y], this.#size, this.#points);
    }
    if (this.#points.length === before) return;
    this.#told?.grow(this.#points.slice(before));
    this.#show();
  }

  #show() {
    const { live } = this.#board;
    const points = this.#points.slice(this.#kept);
    const mark = points.length ? stampMark(points, this.#size, this.#rgba) : null;
    if (mark && points.length >= CHUNK) {
      live.keep([mark], this.#outcome.promise, () => this.#board.frame());
      this.#kept = this.#points.length;
      live.show(null);
    } else live.show(mark);
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
    const rest = points.slice(this.#kept);
    this.#points = [];
    this.#kept = 0;
    if (points.length) {
      const sent = this.#board.draw(SEND_POINTS, { brush, rgba, points });
      const outcome = this.#outcome;
      void sent.then(() => outcome.resolve(undefined));
      this.#outcome = deferred();
      if (rest.length) {
        this.#board.live.keep([stampMark(rest, brush, rgba)], sent, () => this.#board.frame());
      }
    }
    this.#show();
  }

  finish() {
    clearTimeout(this.#timer);
    if (this.#last) this.#told?.finish(...this.#last);
    this.#send();
  }

  abort() {
    clearTimeout(this.#timer);
    this.#told?.abort();
    this.#points = [];
    this.#kept = 0;
    this.#outcome.resolve(undefined);
    this.#show();
  }
}
