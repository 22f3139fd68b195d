/**
 * The canvas of a stroke lobby: a list of strokes, and who holds which. Equal to the server's
 * after the same packets. Counterpart: `pixels.js`. Protocol: docs/protocol.md, section 5.
 */

import { author, decode, header, withIndex } from "./codec.js";
import { Refused, Stale } from "./errors.js";
import {
  ADD_STROKE,
  CANVAS_LENGTH,
  CANVAS_WIDTH,
  INSERT_STROKE,
  REMOVE_STROKE,
  REPLACE_STROKE,
  RESET_CANVAS,
  RESIZE_CANVAS,
  RESIZE_CANVAS_INT,
  SELECTED_STROKE,
  STROKES_MAX,
  STROKE_BYTES_MAX,
  UNSELECTED_STROKE,
} from "./packets.js";

/** Up to so many strokes are removed one by one; more by copying the list. */
const FEW = 16;
/** @type {readonly number[]} */
const NONE = Object.freeze([]);

/**
 * One stroke. It never changes, but for who holds it: a stroke that is replaced is another object
 * with the same `id`, so what was computed from one may be kept by object.
 */
export class Stroke {
  /** @type {Readonly<{ rgba: Uint8Array, height: number, width: number, points: Float32Array }> | null} */
  #values = null;

  /**
   * @param {Uint8Array} packet an ADD_STROKE whose index means nothing
   * @param {number} id
   * @param {string} holder
   */
  constructor(packet, id, holder) {
    this.packet = packet;
    this.id = id;
    /** Who has it selected; empty: nobody. */
    this.holder = holder;
  }

  /** Who drew it. */
  get author() {
    return author(this.packet);
  }

  /** When it was drawn, in UTC seconds by its author's clock. */
  get date() {
    return header(this.packet).date;
  }

  /** R, G, B, A. */
  get rgba() {
    return this.#decoded().rgba;
  }

  /** Height of the pen. */
  get height() {
    return this.#decoded().height;
  }

  /** Width of the pen. */
  get width() {
    return this.#decoded().width;
  }

  /** x, y, x, y … */
  get points() {
    return this.#decoded().points;
  }

  #decoded() {
    return (this.#values ??= /** @type {any} */ (decode(this.packet)));
  }
}

/** See the module. Read it; only `apply` and `clear` change it. */
export class StrokeCanvas {
  /** @type {"stroke"} */
  mode = "stroke";
  length = CANVAS_LENGTH;
  width = CANVAS_WIDTH;
  /** From the one at the bottom to the one on top. @type {Stroke[]} */
  strokes = [];
  #nextId = 0;
  #bytes = 0;

  /**
   * Apply a packet that carries its author's name and conforms to its layout.
   *
   * @param {Uint8Array} packet
   * @returns {readonly number[]} positions that were asked for and are not granted
   * @throws {Refused} then nothing has changed; Stale when the author should be resynced
   */
  apply(packet) {
    const work = APPLY.get(packet[2]);
    if (work === undefined) throw new Refused("not a packet for a drawing of strokes");
    return work(this, packet) ?? NONE;
  }

  /** Back to an empty canvas without selections. The size stays. */
  clear() {
    this.strokes = [];
    this.#bytes = 0;
  }

  /** Positions that each author holds, ascending. */
  selected() {
    /** @type {Map<string, number[]>} */
    const held = new Map();
    this.strokes.forEach(({ holder }, index) => {
      if (!holder) return;
      const own = held.get(holder);
      if (own) own.push(index);
      else held.set(holder, [index]);
    });
    return held;
  }

  // ------------------------------------------------------------ strokes
  /** @param {Uint8Array} packet */
  add(packet) {
    this.#makeRoom(packet.length, 1);
    this.strokes.push(new Stroke(packet, this.#nextId++, ""));
  }

  /** @param {Uint8Array} packet */
  insert(packet) {
    const { index } = decode(packet);
    if (index > this.strokes.length) {
      throw new Refused(`no room at ${index}: there are ${this.strokes.length} strokes`);
    }
    this.#makeRoom(packet.length, 1);
    const stroke = new Stroke(withIndex(packet, ADD_STROKE.id, index), this.#nextId++, "");
    this.strokes.splice(index, 0, stroke);
  }

  /** @param {Uint8Array} packet */
  replace(packet) {
    const { index } = decode(packet);
    this.#mustBeThere([index]);
    this.#mustBeFree([index], author(packet));
    const { id, holder, packet: before } = this.strokes[index];
    this.#makeRoom(packet.length - before.length, 0);
    this.strokes[index] = new Stroke(withIndex(packet, ADD_STROKE.id, index), id, holder);
  }

  /** @param {Uint8Array} packet */
  remove(packet) {
    /** @type {Int32Array} */
    const indices = decode(packet).indices;
    this.#mustBeThere(indices);
    this.#mustBeFree(indices, author(packet));
    for (const index of indices) this.#bytes -= this.strokes[index].packet.length;
    if (indices.length <= FEW) {
      for (const index of indices) this.strokes.splice(index, 1);
    } else {
      const gone = new Set(indices);
      this.strokes = this.strokes.filter((_, index) => !gone.has(index));
    }
  }

  /**
   * @param {number} size
   * @param {number} count
   */
  #makeRoom(size, count) {
    if (this.strokes.length + count > STROKES_MAX || this.#bytes + size > STROKE_BYTES_MAX) {
      const mebibytes = STROKE_BYTES_MAX / (1 << 20);
      throw new Stale(`the drawing is full: ${STROKES_MAX} strokes or ${mebibytes} MiB`);
    }
    this.#bytes += size;
  }

  // ------------------------------------------------------------ selections
  /**
   * @param {Uint8Array} packet
   * @returns {readonly number[]}
   */
  select(packet) {
    const name = author(packet);
    /** @type {Int32Array} */
    const indices = decode(packet).indices;
    this.#mustBeThere(indices);
    /** @type {Set<number>} */
    const refused = new Set();
    for (const index of indices) {
      const stroke = this.strokes[index];
      if (stroke.holder && stroke.holder !== name) refused.add(index);
      else stroke.holder = name;
    }
    return refused.size ? [...refused] : NONE;
  }

  /** @param {Uint8Array} packet */
  unselect(packet) {
    const name = author(packet);
    /** @type {Int32Array} */
    const indices = decode(packet).indices;
    this.#mustBeThere(indices);
    const held = [...indices].filter((index) => this.strokes[index].holder === name);
    if (!held.length) throw new Refused("none of these strokes is yours to let go");
    for (const index of held) this.strokes[index].holder = "";
  }

  /** @param {ArrayLike<number>} indices */
  #mustBeThere(indices) {
    let most = 0;
    for (let i = 0; i < indices.length; i++) most = Math.max(most, indices[i]);
    if (most >= this.strokes.length) {
      throw new Refused(`no stroke at ${most}: there are ${this.strokes.length}`);
    }
  }

  /**
   * @param {ArrayLike<number>} indices
   * @param {string} name
   */
  #mustBeFree(indices, name) {
    for (let i = 0; i < indices.length; i++) {
      const { holder } = this.strokes[indices[i]];
      if (holder && holder !== name) throw new Stale("another user holds one of these strokes");
    }
  }

  // ------------------------------------------------------------ the whole canvas
  /** @param {Uint8Array} packet */
  resize(packet) {
    const { length, width } = decode(packet);
    this.length = length;
    this.width = width;
  }
}

/** @type {ReadonlyMap<number, (canvas: StrokeCanvas, packet: Uint8Array) => readonly number[] | void>} */
const APPLY = new Map([
  [ADD_STROKE.id, (canvas, packet) => canvas.add(packet)],
  [INSERT_STROKE.id, (canvas, packet) => canvas.insert(packet)],
  [REPLACE_STROKE.id, (canvas, packet) => canvas.replace(packet)],
  [REMOVE_STROKE.id, (canvas, packet) => canvas.remove(packet)],
  [SELECTED_STROKE.id, (canvas, packet) => canvas.select(packet)],
  [UNSELECTED_STROKE.id, (canvas, packet) => canvas.unselect(packet)],
  [RESIZE_CANVAS.id, (canvas, packet) => canvas.resize(packet)],
  [RESIZE_CANVAS_INT.id, (canvas, packet) => canvas.resize(packet)],
  [RESET_CANVAS.id, (canvas) => canvas.clear()],
]);
