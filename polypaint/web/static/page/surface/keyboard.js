/**
 * Drawing with the keyboard: arrows move a cross, Space puts the pen down and up, Enter ends.
 * With a selection, arrows move that. While Space is held and the cross is not shown, dragging
 * moves the paper.
 */

/** @import { Point } from "./boxes.js" */
/** @import { Place } from "./board.js" */
/** @import { View } from "./view.js" */

/** In CSS pixels: an arrow, and an arrow with Shift. */
const STEP = 8;
const STEP_LARGE = 48;
/** In pixels of the paper, for what is selected. */
const NUDGE = 1;
const NUDGE_LARGE = 10;

/** @type {Readonly<Record<string, [number, number]>>} */
const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * What the keyboard does. hold: dragging moves the paper, or not any more.
 *
 * @typedef {Object} KeyActions
 * @property {(place: Place) => void} start
 * @property {(place: Place) => void} extend
 * @property {() => void} finish
 * @property {() => void} abort
 * @property {(cross: Point | null) => void} show
 * @property {(held: boolean) => void} hold
 * @property {(dx: number, dy: number) => void} nudge
 * @property {() => boolean} selected is something selected that arrows move?
 * @property {() => void} release let the selection go
 */

/** See the module. */
export class Keyboard {
  /** Where the pen is; null: the cross is not shown. @type {Point | null} */
  #cross = null;
  #down = false;
  #view;
  #actions;
  #aborted = new AbortController();

  /**
   * @param {HTMLElement} root
   * @param {View} view
   * @param {KeyActions} actions
   */
  constructor(root, view, actions) {
    this.#view = view;
    this.#actions = actions;
    const { signal } = this.#aborted;
    root.addEventListener("keydown", (event) => this.#keyDown(event), { signal });
    root.addEventListener("keyup", (event) => this.#keyUp(event), { signal });
    root.addEventListener("blur", () => this.hide(), { signal });
  }

  destroy() {
    this.#aborted.abort();
  }

  /** A pointer is used: the cross goes away. */
  hide() {
    if (this.#down) this.#actions.finish();
    this.#down = false;
    if (this.#cross) this.#actions.show(null);
    this.#cross = null;
    this.#actions.hold(false);
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.#move(arrow, event.shiftKey);
    else if (event.key === " ") this.#space(event.repeat);
    else if (event.key === "Enter" && this.#cross) this.#enter();
    else if (event.key === "Escape" && (this.#cross || this.#actions.selected())) this.#escape();
    else return;
    event.preventDefault();
  }

  /** @param {KeyboardEvent} event */
  #keyUp(event) {
    if (event.key === " ") this.#actions.hold(false);
  }

  /**
   * @param {[number, number]} direction
   * @param {boolean} large
   */
  #move([x, y], large) {
    if (!this.#down && this.#actions.selected()) {
      const step = large ? NUDGE_LARGE : NUDGE;
      this.#actions.nudge(x * step, y * step);
      return;
    }
    const { zoom, paper } = this.#view;
    const step = (large ? STEP_LARGE : STEP) / zoom;
    const cross = this.#cross ?? this.#beginning();
    const within = (/** @type {number} */ value, /** @type {number} */ most) =>
      Math.max(0, Math.min(most, value));
    const moved = this.#cross !== null;
    this.#cross = {
      x: within(cross.x + (moved ? x * step : 0), paper.width),
      y: within(cross.y + (moved ? y * step : 0), paper.height),
    };
    this.#actions.show(this.#cross);
    if (this.#down) this.#actions.extend(this.#place(this.#cross, large));
  }

  /** The first arrow shows the cross: in the middle of what is in view. */
  #beginning() {
    const { visible, paper } = this.#view;
    const left = Math.max(0, visible.left);
    const top = Math.max(0, visible.top);
    const right = Math.min(paper.width, visible.right);
    const bottom = Math.min(paper.height, visible.bottom);
    return { x: Math.round((left + right) / 2), y: Math.round((top + bottom) / 2) };
  }

  /** @param {boolean} repeated */
  #space(repeated) {
    if (!this.#cross) this.#actions.hold(true);
    else if (!repeated) this.#down ? this.#enter() : this.#putDown(this.#cross);
  }

  /** @param {Point} cross */
  #putDown(cross) {
    this.#down = true;
    this.#actions.start(this.#place(cross, false));
  }

  #enter() {
    if (!this.#down && this.#cross) this.#putDown(this.#cross);
    this.#down = false;
    this.#actions.finish();
  }

  #escape() {
    if (this.#down) this.#actions.abort();
    else if (this.#cross) {
      this.#cross = null;
      this.#actions.show(null);
    } else this.#actions.release();
    this.#down = false;
  }

  /**
   * @param {Point} at
   * @param {boolean} shift
   * @returns {Place}
   */
  #place({ x, y }, shift) {
    const reach = 6 / this.#view.zoom;
    return { x, y, pressure: 0.5, pen: false, shift, alt: false, reach };
  }
}
