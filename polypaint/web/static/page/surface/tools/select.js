/**
 * Choosing, and moving, scaling and turning what is chosen, for both kinds of drawing: which part
 * of the frame a pointer holds, and what it drags. What that means is said by a `Selectable`.
 */

import { between } from "../boxes.js";
import { dragged, handleAt } from "../frame.js";
import { KNOB } from "../overlay.js";

/** @import { Box, Point } from "../boxes.js" */
/** @import { Board, Place, Tool } from "../board.js" */
/** @import { Frame, Handle } from "../frame.js" */
/** @import { Overlay } from "../overlay.js" */

/**
 * frame: around what is selected. pick: choose what is at a place; false when nothing is there.
 * choose: what lies within; a lasso when there is one. drag: show, or do (`done`), what was
 * dragged; `to` is null when it is taken back.
 *
 * @typedef {Object} Selectable
 * @property {Frame | null} frame
 * @property {(place: Place) => boolean} pick
 * @property {(box: Box, lasso: Point[] | null) => void} choose
 * @property {() => void} release
 * @property {(from: Frame, to: Frame | null, done: boolean) => void} drag
 */

/** So far a pointer moves before it drags, in parts of its reach. */
const DRAG = 0.8;

/** @implements {Tool} */
export class Select {
  cursor = "default";
  /** @type {{ from: Place, handle: Handle | null, frame: Frame | null, dragging: boolean, tapped: boolean } | null} */
  #held = null;
  /** @type {Point[]} */
  #trail = [];
  #last = /** @type {Place | null} */ (null);
  #board;
  #overlay;
  #what;

  /**
   * @param {Board} board
   * @param {Overlay} overlay
   * @param {Selectable} what
   */
  constructor(board, overlay, what) {
    this.#board = board;
    this.#overlay = overlay;
    this.#what = what;
  }

  /** @param {Place} place */
  #handleAt(place) {
    const { frame } = this.#what;
    const knob = KNOB / this.#board.view.zoom;
    return frame && handleAt(frame, place, Math.max(place.reach, 7 / this.#board.view.zoom), knob);
  }

  /** @param {Place} place */
  start(place) {
    let handle = this.#handleAt(place);
    let tapped = false;
    if (!handle && this.#what.pick(place)) {
      handle = { kind: "move" };
      tapped = true;
    }
    this.#held = { from: place, handle, frame: this.#what.frame, dragging: false, tapped };
    this.#trail = [place];
    this.#last = place;
  }

  /** @param {Place[]} places */
  extend(places) {
    const held = this.#held;
    const place = places.at(-1);
    if (!held || !place) return;
    this.#last = place;
    const distance = Math.hypot(place.x - held.from.x, place.y - held.from.y);
    if (!held.dragging && distance < DRAG * place.reach) return;
    held.dragging = true;
    if (held.handle && held.frame) {
      this.#what.drag(held.frame, this.#target(held.frame, held.handle, place), false);
      return;
    }
    this.#trail.push(...places.map(({ x, y }) => ({ x, y })));
    this.#overlay.choosing = held.from.alt ? this.#trail : corners(between(held.from, place));
    this.#overlay.draw();
  }

  /**
   * @param {Frame} frame
   * @param {Handle} handle
   * @param {Place} place
   */
  #target(frame, handle, place) {
    const from = /** @type {{ from: Place }} */ (this.#held).from;
    return dragged(frame, handle, from, place, place.shift);
  }

  finish() {
    const held = this.#held;
    const place = this.#last;
    this.#held = null;
    if (!held || !place) return;
    if (held.handle && held.frame) {
      if (held.dragging) {
        const to = dragged(held.frame, held.handle, held.from, place, place.shift);
        this.#what.drag(held.frame, to, true);
      } else if (!held.tapped && held.handle.kind === "move") this.#what.pick(held.from);
    } else if (held.dragging) {
      this.#what.choose(between(held.from, place), held.from.alt ? this.#trail : null);
    } else if (!held.handle) this.#what.release();
    this.#endChoice();
  }

  abort() {
    const held = this.#held;
    this.#held = null;
    if (held?.dragging && held.handle && held.frame) this.#what.drag(held.frame, null, true);
    this.#endChoice();
  }

  #endChoice() {
    this.#trail = [];
    this.#overlay.choosing = [];
    this.#overlay.draw();
  }

  leave() {
    this.abort();
    this.#what.release();
  }

  /** The cursor for a place. @param {Place} place */
  cursorAt(place) {
    const handle = this.#handleAt(place);
    if (!handle) return "default";
    if (handle.kind === "move") return "move";
    if (handle.kind === "rotate") return "grab";
    return scaleCursor(handle.x, handle.y, this.#what.frame?.angle ?? 0);
  }
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} angle
 */
function scaleCursor(x, y, angle) {
  const direction = (Math.atan2(y, x) * 180) / Math.PI + angle;
  const eighth = ((Math.round(direction / 45) % 4) + 4) % 4;
  return ["ew-resize", "nwse-resize", "ns-resize", "nesw-resize"][eighth];
}

/** @param {Box} box @returns {Point[]} */
function corners({ left, top, right, bottom }) {
  return [
    { x: left, y: top },
    { x: right, y: top },
    { x: right, y: bottom },
    { x: left, y: bottom },
  ];
}
