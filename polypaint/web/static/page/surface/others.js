/**
 * Other people, where the server tells of them: their pointers with their names, and the ink that
 * they draw now. And oneself, told to them: at most 30 times a second.
 */

import { element } from "./dom.js";
import { Ink } from "./ink.js";
import { InkMark, stampMark } from "./ink_marks.js";
import { inkOn } from "./people.js";

/** @import { Point } from "./boxes.js" */
/** @import { Board } from "./board.js" */
/** @import { Mark } from "./live_ink.js" */

const TELL_MS = 34;
/** Who does not move for so long is not shown. */
const IDLE_MS = 20_000;
/** Ink that nobody has drawn in the end goes away. */
const INK_MS = 4000;

/** @typedef {{ key: string | number, name: string }} Person */
/** @typedef {Person & { x: number, y: number }} PointerEvent */
/** @typedef {{ key: string | number, name: string, rgba: ArrayLike<number>, width: number, points: ArrayLike<number>, done: boolean }} InkEvent */

/**
 * What the drawing has where the server tells of people.
 *
 * @typedef {Object} Telling
 * @property {((x: number, y: number, view: unknown) => void) | undefined} [sendPointer]
 * @property {((ink: { rgba: ArrayLike<number>, width: number, points: number[], done: boolean }) => void) | undefined} [sendInk]
 * @property {(name: string, handler: (value: any) => void) => () => void} on
 */

/** @typedef {{ element: HTMLElement, at: Point, timer: ReturnType<typeof setTimeout> }} Pointer */
/** @typedef {{ ink: Ink, mark: Mark, points: number[], timer: ReturnType<typeof setTimeout> }} Growing */

/** See the module. */
export class Others {
  /** @type {Map<string | number, Pointer>} */
  #pointers = new Map();
  /** @type {Map<string | number, Growing>} */
  #inks = new Map();
  /** Who draws now, by name. @type {Map<string, string | number>} */
  #names = new Map();
  #shown = true;
  /** Where one is, to be told. @type {Point | null} */
  #here = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #telling;
  /** @type {(() => void)[]} */
  #ends;
  #board;
  #drawing;
  #reduced;

  /**
   * @param {Board} board
   * @param {boolean} reduced no motion
   */
  constructor(board, reduced) {
    this.#board = board;
    this.#reduced = reduced;
    this.#drawing = /** @type {Telling} */ (/** @type {unknown} */ (board.drawing));
    this.element = element("div", "surface-pointers", { position: "absolute", inset: "0" });
    board.overlay.append(this.element);
    this.#ends = [
      this.#drawing.on("people", (people) => this.#met(people)),
      this.#drawing.on("pointer", (pointer) => this.#pointed(pointer)),
      this.#drawing.on("ink", (ink) => this.#inked(ink)),
      board.drawing.on("change", ({ author }) => this.#drew(author)),
    ];
  }

  destroy() {
    for (const end of this.#ends) end();
    clearTimeout(this.#telling);
    for (const { timer } of this.#pointers.values()) clearTimeout(timer);
    for (const { timer } of this.#inks.values()) clearTimeout(timer);
  }

  /** Are pointers shown? */
  get shown() {
    return this.#shown;
  }

  set shown(shown) {
    this.#shown = shown;
    this.element.style.display = shown ? "" : "none";
  }

  /** @param {Person[]} people everybody who is here */
  #met(people) {
    const here = new Set(people.map(({ key }) => key));
    for (const key of this.#pointers.keys()) if (!here.has(key)) this.#forget(key);
    this.#board.frame();
  }

  // ------------------------------------------------------------ pointers
  /** @param {PointerEvent} event */
  #pointed({ key, name, x, y }) {
    let pointer = this.#pointers.get(key);
    if (!pointer) {
      const made = pointerElement(name, this.#board.colourOf(name), this.#reduced);
      this.element.append(made);
      pointer = { element: made, at: { x, y }, timer: setTimeout(() => {}, 0) };
      this.#pointers.set(key, pointer);
    }
    pointer.at = { x, y };
    clearTimeout(pointer.timer);
    pointer.timer = setTimeout(() => this.#forget(key), IDLE_MS);
    this.#put(pointer);
  }

  /** @param {Pointer} pointer */
  #put({ element: shown, at }) {
    const { x, y } = this.#board.view.toScreen(at.x, at.y);
    shown.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** The view has changed. */
  viewChanged() {
    for (const pointer of this.#pointers.values()) this.#put(pointer);
  }

  /** @param {string | number} key */
  #forget(key) {
    const pointer = this.#pointers.get(key);
    clearTimeout(pointer?.timer);
    pointer?.element.remove();
    this.#pointers.delete(key);
  }

  // ------------------------------------------------------------ ink
  /** @param {InkEvent} event points: those that are new */
  #inked({ key, name, rgba, width, points, done }) {
    let growing = this.#inks.get(key);
    if (!growing) {
      if (!points.length) return;
      const ink = new Ink(Array.from(rgba), width, false);
      growing = { ink, mark: nothing(), points: [], timer: setTimeout(() => {}, 0) };
      this.#inks.set(key, growing);
    }
    clearTimeout(growing.timer);
    growing.timer = setTimeout(() => this.#dropInk(key), INK_MS);
    growing.points.push(...Array.from(points));
    for (let i = 0; i < points.length; i += 2) growing.ink.add(points[i], points[i + 1], 0.5);
    growing.mark =
      this.#board.drawing.canvas.mode === "pixel"
        ? stampMark(growing.points, width, rgba)
        : new InkMark(growing.ink);
    this.#board.live.showOther(inkKey(key), growing.mark);
    this.#names.set(name, key);
    if (done && !points.length) this.#dropInk(key); // taken back
    this.#board.frame();
  }

  /** Somebody's ink is in the drawing now. @param {string} author */
  #drew(author) {
    const key = this.#names.get(author);
    if (key === undefined) return;
    this.#names.delete(author);
    this.#dropInk(key);
  }

  /** @param {string | number} key */
  #dropInk(key) {
    clearTimeout(this.#inks.get(key)?.timer);
    this.#inks.delete(key);
    this.#board.live.showOther(inkKey(key), null);
    this.#board.frame();
  }

  // ------------------------------------------------------------ telling others
  /** One is here; null: nowhere. @param {Point | null} here */
  point(here) {
    if (!this.#drawing.sendPointer || !here) return;
    this.#here = here;
    this.#telling ??= setTimeout(() => this.#tell(), TELL_MS);
  }

  #tell() {
    this.#telling = undefined;
    const here = this.#here;
    this.#here = null;
    if (here) this.#drawing.sendPointer?.(here.x, here.y, this.#board.view.visible);
  }
}

/**
 * What one draws now, told to others as it grows.
 */
export class ToldInk {
  /** Not told yet. @type {number[]} */
  #points = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #drawing;
  #rgba;
  #width;

  /**
   * @param {Board} board
   * @param {ArrayLike<number>} rgba
   * @param {number} width
   */
  constructor(board, rgba, width) {
    this.#drawing = /** @type {Telling} */ (/** @type {unknown} */ (board.drawing));
    this.#rgba = rgba;
    this.#width = width;
  }

  /** @param {ArrayLike<number>} points that are new */
  grow(points) {
    if (!this.#drawing.sendInk || !points.length) return;
    for (let i = 0; i < points.length; i++) this.#points.push(points[i]);
    this.#timer ??= setTimeout(() => this.#tell(false), TELL_MS);
  }

  /** It will be in the drawing. @param {number} x where it ends @param {number} y */
  finish(x, y) {
    if (!this.#points.length) this.#points.push(x, y);
    this.#tell(true);
  }

  /** It will not. */
  abort() {
    this.#points = [];
    this.#tell(true);
  }

  /** @param {boolean} done */
  #tell(done) {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const points = this.#points;
    this.#points = [];
    this.#drawing.sendInk?.({ rgba: this.#rgba, width: this.#width, points, done });
  }
}

/**
 * Does the server show others what one draws, before it is in the drawing?
 *
 * @param {Board} board
 */
export function tellsInk(board) {
  return typeof (/** @type {Telling} */ (/** @type {unknown} */ (board.drawing)).sendInk) === "function";
}

/** @param {string | number} key */
function inkKey(key) {
  return `of ${key}`;
}

/** @returns {Mark} */
function nothing() {
  return { box: { left: 0, top: 0, right: 0, bottom: 0 }, draw: () => {} };
}

/**
 * An arrow in somebody's colour, with the name.
 *
 * @param {string} name
 * @param {string} colour
 * @param {boolean} reduced
 */
function pointerElement(name, colour, reduced) {
  const made = element("div", "surface-pointer", {
    position: "absolute",
    left: "0",
    top: "0",
    transition: reduced ? "none" : "transform 60ms linear",
    willChange: "transform",
  });
  const arrow = element("div", "surface-pointer-arrow", {
    width: "12px",
    height: "16px",
    background: colour,
    clipPath: "polygon(0 0, 100% 62%, 52% 66%, 28% 100%)",
  });
  const label = element("div", "surface-pointer-name", {
    position: "absolute",
    left: "12px",
    top: "14px",
    padding: "1px 6px",
    borderRadius: "6px",
    font: "12px/16px system-ui, sans-serif",
    whiteSpace: "nowrap",
    maxWidth: "160px",
    overflow: "hidden",
    textOverflow: "ellipsis",
    background: colour,
    color: inkOn(colour),
  });
  label.textContent = name;
  made.append(arrow, label);
  return made;
}
