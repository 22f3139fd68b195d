/**
 * Undo and redo. The server does it where it can; until then one's own strokes are taken back by
 * ordinary packets, as long as nobody has touched them. Never somebody else's.
 */

import { ADD_STROKE, INSERT_STROKE } from "../../client/packets.js";
import { valuesOf } from "./edits.js";
import { isEqual } from "./lines.js";

/** @import { Stroke } from "../../client/strokes.js" */
/** @import { Board } from "./board.js" */
/** @import { Edits } from "./edits.js" */
/** @import { Inked } from "./ribbon.js" */

/** A stroke of one's own, and where it was. @typedef {{ values: Inked, index: number }} Placed */

/**
 * One gesture. before, after: the strokes that it has taken away, and those that it has made.
 *
 * @typedef {{ before: Placed[], after: Placed[], inPlace: boolean }} Entry
 */

/**
 * What the drawing can do where the server has undo.
 *
 * @typedef {Object} ServerUndo
 * @property {() => Promise<{ done: boolean, reason?: string }>} undo
 * @property {() => Promise<{ done: boolean, reason?: string }>} redo
 * @property {{ canUndo: boolean, canRedo: boolean }} history
 * @property {(name: "history", handler: (state: { canUndo: boolean, canRedo: boolean }) => void) => () => void} on
 */

const DEPTH = 100;

/** See the module. */
export class Undo {
  /** @type {Entry[]} */
  #done = [];
  /** @type {Entry[]} */
  #undone = [];
  #state = { canUndo: false, canRedo: false };
  /** @type {ServerUndo | null} */
  #server = null;
  #board;
  #edits;
  #end = () => {};

  /**
   * @param {Board} board
   * @param {Edits | null} edits for drawings of strokes
   */
  constructor(board, edits) {
    this.#board = board;
    this.#edits = edits;
    const drawing = /** @type {any} */ (board.drawing);
    if (typeof drawing.undo !== "function" || typeof drawing.redo !== "function") return;
    this.#server = /** @type {ServerUndo} */ (drawing);
    this.#state = this.#server.history; // of before one came back
    this.#end = this.#server.on("history", (state) => {
      this.#state = state;
      board.changed();
    });
  }

  destroy() {
    this.#end();
  }

  get canUndo() {
    return this.#server ? this.#state.canUndo : this.#done.length > 0;
  }

  get canRedo() {
    return this.#server ? this.#state.canRedo : this.#undone.length > 0;
  }

  // ------------------------------------------------------------ what has been done
  /**
   * Strokes as they are, for `removed`; only one's own.
   *
   * @param {readonly Stroke[]} strokes
   * @returns {Placed[]}
   */
  describe(strokes) {
    const all = this.#board.strokeCanvas.strokes;
    const own = strokes.filter(({ author }) => author === this.#board.name);
    return own.map((stroke) => ({ values: valuesOf(stroke), index: all.indexOf(stroke) }));
  }

  /** @param {readonly Inked[]} strokes */
  added(strokes) {
    this.#push({ before: [], after: strokes.map((values) => ({ values, index: -1 })), inPlace: false });
  }

  /** @param {Placed[]} before */
  removed(before) {
    this.#push({ before, after: [], inPlace: false });
  }

  /** @param {readonly (readonly [Inked, Inked])[]} pairs */
  replaced(pairs) {
    const [before, after] = [0, 1].map((i) =>
      pairs.map((pair) => ({ values: valuesOf(pair[i]), index: -1 })),
    );
    this.#push({ before, after, inPlace: true });
  }

  /** @param {Entry} entry */
  #push(entry) {
    if (this.#server || !(entry.before.length || entry.after.length)) return;
    this.#done.push(entry);
    if (this.#done.length > DEPTH) this.#done.shift();
    this.#undone = [];
    this.#board.changed();
  }

  // ------------------------------------------------------------ taking it back
  /** Take back the last thing that one has done, and that can be. */
  undo() {
    this.#step("undo");
  }

  /** Do again what was taken back. */
  redo() {
    this.#step("redo");
  }

  /** @param {"undo" | "redo"} way */
  #step(way) {
    if (this.#server) {
      this.#server[way]().then(
        ({ done, reason }) => void (!done && reason && this.#board.refuse(reason)),
        (/** @type {Error} */ error) => this.#board.refuse(error.message),
      );
      return;
    }
    void this.#stepByPackets(way).then(() => this.#board.changed());
  }

  /** The last gesture that still shows. @param {"undo" | "redo"} way */
  async #stepByPackets(way) {
    const [from, to] = way === "undo" ? [this.#done, this.#undone] : [this.#undone, this.#done];
    for (let entry = from.pop(); entry; entry = from.pop()) {
      const [present, wanted] =
        way === "undo" ? [entry.after, entry.before] : [entry.before, entry.after];
      if (!(await this.#change(present, wanted, entry.inPlace))) continue;
      to.push(entry);
      return;
    }
  }

  /**
   * Put strokes in the place of others, if those are untouched.
   *
   * @param {Placed[]} present
   * @param {Placed[]} wanted
   * @param {boolean} inPlace
   * @returns {Promise<boolean>}
   */
  async #change(present, wanted, inPlace) {
    const edits = /** @type {Edits} */ (this.#edits);
    const { name, drawing } = this.#board;
    const untouched = present.map(({ values }) =>
      this.#board.strokeCanvas.strokes.findLast(
        (stroke) =>
          stroke.author === name &&
          (stroke.holder === "" || stroke.holder === name) &&
          isEqual(stroke, values),
      ),
    );
    if (inPlace) {
      const pairs = wanted.flatMap(({ values }, i) => {
        const stroke = untouched[i];
        return stroke ? [/** @type {[Inked, Inked]} */ ([stroke, values])] : [];
      });
      return pairs.length > 0 && edits.replace(pairs);
    }
    const there = untouched.filter((stroke) => stroke !== undefined);
    if (present.length) return there.length > 0 && edits.remove(there);
    return edits.run(async () => {
      const count = this.#board.strokeCanvas.strokes.length;
      const sent = wanted.map(({ values, index }) =>
        index >= 0 && index < count
          ? drawing.draw(INSERT_STROKE, { ...values, index })
          : drawing.draw(ADD_STROKE, { ...values, index: 0 }),
      );
      const results = await Promise.allSettled(sent);
      return results.some(({ status }) => status === "fulfilled");
    });
  }
}
