/**
 * The strokes that one holds, and what is done to them: moved, scaled, turned, recoloured, brought
 * to the front. The server says who holds what; what one has asked for counts as held until it has
 * answered, and strokes are shown as they will be.
 */

import { boxOf, union } from "./boxes.js";
import { valuesOf } from "./edits.js";
import { frameOf, growth, mapBetween, mapped } from "./frame.js";
import { penWidth } from "./ink.js";
import { strokeMarks } from "./ink_marks.js";

/** @import { Stroke } from "../../client/strokes.js" */
/** @import { Board } from "./board.js" */
/** @import { Edits } from "./edits.js" */
/** @import { Frame, Matrix } from "./frame.js" */
/** @import { Inked } from "./ribbon.js" */
/** @import { StrokePainter } from "./stroke_painter.js" */
/** @import { Undo } from "./undo.js" */


/** See the module. */
export class StrokeSelection {
  /** @type {Stroke[]} */
  #strokes = [];
  /** The drawing, or what was asked for, has changed since. */
  #stale = true;
  /** Asked for, and not answered yet. @type {Set<number>} */
  #asked = new Set();
  /** Let go, and not answered yet. @type {Set<number>} */
  #dropped = new Set();
  /** What a stroke will be, by its id. @type {Map<number, Inked>} */
  #future = new Map();
  #board;
  #edits;
  #undo;

  /**
   * @param {Board} board
   * @param {Edits} edits
   * @param {Undo} undo
   */
  constructor(board, edits, undo) {
    this.#board = board;
    this.#edits = edits;
    this.#undo = undo;
  }

  get #painter() {
    return /** @type {StrokePainter} */ (this.#board.painter);
  }

  /** What is selected, in the order of the drawing. */
  get strokes() {
    if (this.#stale) {
      const { name, strokeCanvas } = this.#board;
      this.#stale = false;
      this.#strokes = strokeCanvas.strokes.filter(
        ({ id, holder }) => (holder === name && !this.#dropped.has(id)) || this.#asked.has(id),
      );
    }
    return this.#strokes;
  }

  /** The drawing has changed. */
  changed() {
    this.#stale = true;
  }

  /** The stroke as it will be. @param {Stroke} stroke @returns {Inked} */
  #ahead(stroke) {
    return this.#future.get(stroke.id) ?? stroke;
  }

  /** Around what is selected; null when nothing is. @returns {Frame | null} */
  get frame() {
    /** @type {import("./boxes.js").Box | null} */
    let box = null;
    for (const stroke of this.strokes) {
      const { points, width, height } = this.#ahead(stroke);
      box = union(box, boxOf(points, Math.max(width, height) / 2));
    }
    return box && frameOf(box);
  }

  // ------------------------------------------------------------ choosing
  /**
   * Hold these strokes, and no others.
   *
   * @param {readonly Stroke[]} wanted those that others hold are left out
   */
  choose(wanted) {
    const { name } = this.#board;
    const free = wanted.filter(({ holder }) => holder === "" || holder === name);
    const held = wanted.find(({ holder }) => holder !== "" && holder !== name);
    if (held && !free.length) this.#board.refuse(`${held.holder} holds this.`);
    const chosen = new Set(free);
    const current = new Set(this.strokes);
    this.#drop(this.strokes.filter((stroke) => !chosen.has(stroke)));
    const added = free.filter((stroke) => !current.has(stroke));
    if (added.length) {
      for (const { id } of added) {
        this.#asked.add(id);
        this.#dropped.delete(id);
      }
      void this.#edits.select(added, true).then(() => {
        for (const { id } of added) this.#asked.delete(id);
        this.#update();
      });
    }
    this.#update();
  }

  /** Let everything go. */
  release() {
    this.#drop(this.strokes);
    this.#update();
  }

  /** @param {readonly Stroke[]} strokes */
  #drop(strokes) {
    if (!strokes.length) return;
    for (const { id } of strokes) {
      this.#asked.delete(id);
      this.#dropped.add(id);
    }
    void this.#edits.select(strokes, false).then(() => {
      for (const { id } of strokes) this.#dropped.delete(id);
      this.#update();
    });
  }

  #update() {
    this.#stale = true;
    this.#board.frame();
    this.#board.changed();
  }

  // ------------------------------------------------------------ changing
  /**
   * Show the selection as it would be, without changing it; null: as it is.
   *
   * @param {Matrix | null} matrix
   */
  preview(matrix) {
    if (!matrix) {
      this.#painter.unhide(this.strokes);
      this.#board.live.show(null);
      this.#board.frame();
      return;
    }
    const moved = this.strokes.map((stroke) => transformed(this.#ahead(stroke), matrix));
    const marks = strokeMarks(moved);
    this.#painter.hide(this.strokes);
    this.#board.frame();
    this.#board.live.show({
      box: marks.map(({ box }) => box).reduce(union),
      draw: (ctx) => marks.forEach((mark) => mark.draw(ctx)),
    });
  }

  /**
   * Move, scale and turn what is selected.
   *
   * @param {Frame} from
   * @param {Frame} to
   */
  transform(from, to) {
    const matrix = mapBetween(from, to);
    this.#replace((stroke) => transformed(stroke, matrix));
  }

  /** @param {readonly number[]} rgb */
  recolour(rgb) {
    this.#replace((stroke) => ({ ...valuesOf(stroke), rgba: [...rgb.slice(0, 3), stroke.rgba[3]] }));
  }

  /** @param {(stroke: Inked) => Inked} change */
  #replace(change) {
    const strokes = this.strokes.slice();
    if (!strokes.length) return;
    const pairs = strokes.map((stroke) => {
      const before = this.#ahead(stroke);
      const after = change(before);
      this.#future.set(stroke.id, after);
      return /** @type {[Inked, Inked]} */ ([before, after]);
    });
    const afters = pairs.map(([, after]) => after);
    this.#painter.hide(strokes);
    const done = this.#edits.replace(pairs);
    this.#board.live.show(null);
    this.#board.live.keep(strokeMarks(afters), done, () => {
      strokes.forEach(({ id }, i) => {
        if (this.#future.get(id) === afters[i]) this.#future.delete(id);
      });
      this.#painter.unhide(strokes);
      this.#update();
    });
    void done.then((counted) => {
      if (counted) this.#undo.replaced(pairs);
    });
    this.#update();
  }

  /** Remove what is selected. */
  remove() {
    const strokes = this.strokes.slice();
    if (!strokes.length) return;
    for (const { id } of strokes) this.#dropped.add(id);
    this.removeStrokes(strokes);
    this.#update();
  }

  /**
   * Remove strokes: they are not shown from now on.
   *
   * @param {readonly Stroke[]} strokes
   */
  removeStrokes(strokes) {
    const removed = this.#undo.describe(strokes);
    this.#painter.hide(strokes);
    void this.#edits.remove(strokes).then((counted) => {
      if (counted) this.#undo.removed(removed);
      this.#painter.unhide(strokes);
      for (const { id } of strokes) this.#dropped.delete(id);
      this.#update();
    });
  }

  /** @param {boolean} front */
  restack(front) {
    const strokes = this.strokes.slice();
    if (strokes.length) void this.#edits.restack(strokes, front).then(() => this.#board.frame());
  }
}

/**
 * @param {Inked} stroke
 * @param {Matrix} matrix
 * @returns {Inked}
 */
function transformed({ rgba, width, height, points }, matrix) {
  const factor = growth(matrix);
  return {
    rgba: [...Array.from(rgba)],
    width: Math.abs(factor - 1) < 1e-6 ? width : penWidth(width * factor),
    height: Math.abs(factor - 1) < 1e-6 ? height : penWidth(height * factor),
    points: mapped(matrix, points),
  };
}
