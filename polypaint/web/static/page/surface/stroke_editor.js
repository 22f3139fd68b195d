/** Drawings of strokes: their tools, and what one can do to strokes. Counterpart: `pixel_editor.js`. */

import { ADD_STROKE } from "../../client/packets.js";
import { union } from "./boxes.js";
import { Edits, valuesOf } from "./edits.js";
import { frameOf, mapBetween, resized } from "./frame.js";
import { hexOf, rgbaOf } from "./ink.js";
import { strokeMarks } from "./ink_marks.js";
import { boxAround, lineAround, mostlyInside, topmostAt } from "./lines.js";
import { StrokeSelection } from "./stroke_selection.js";
import { StrokeEraser } from "./tools/eraser.js";
import { Pen } from "./tools/pen.js";
import { pickTool } from "./tools/points.js";
import { Select } from "./tools/select.js";
import { Undo } from "./undo.js";

/** @import { Stroke } from "../../client/strokes.js" */
/** @import { Box, Point } from "./boxes.js" */
/** @import { Board, Place, Tool } from "./board.js" */
/** @import { Frame } from "./frame.js" */
/** @import { Overlay } from "./overlay.js" */
/** @import { Inked } from "./ribbon.js" */
/** @import { ToolName } from "./surface.js" */
/** @import { Selectable } from "./tools/select.js" */

/** Arrow keys that follow one another so soon are one change. */
const NUDGE_MS = 400;

/** A stroke, as a list shows it. @typedef {{ index: number, author: string, colour: string, points: number, holder: string }} ListedStroke */

/** See the module. @implements {Selectable} */
export class StrokeEditor {
  /** @type {ToolName} */
  first = "pen";
  /** @type {Map<ToolName, Tool>} */
  tools;
  /** Taken off the drawing by `stack`. @type {Inked[][]} */
  #pile = [];
  /** @type {{ from: Frame, to: Frame } | null} */
  #nudged = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #nudging;
  #board;
  #overlay;
  #edits;
  #selection;
  /** Selected strokes, when that was last said. */
  #count = 0;
  #end;

  /**
   * @param {Board} board
   * @param {Overlay} overlay
   */
  constructor(board, overlay) {
    this.#board = board;
    this.#overlay = overlay;
    this.#edits = new Edits(board);
    this.undo = new Undo(board, this.#edits);
    this.#selection = new StrokeSelection(board, this.#edits, this.undo);
    /** @type {[ToolName, Tool][]} */
    const tools = [
      ["pen", new Pen(board, (strokes) => this.undo.added(strokes))],
      ["eraser", new StrokeEraser(board, this.#selection)],
      ["select", new Select(board, overlay, this)],
      ["pick", pickTool(board)],
    ];
    this.tools = new Map(tools);
    this.#end = board.drawing.on("canvas", () => this.#selection.changed());
  }

  destroy() {
    clearTimeout(this.#nudging);
    this.#end();
    this.undo.destroy();
  }

  get #strokes() {
    return this.#board.strokeCanvas.strokes;
  }

  // ------------------------------------------------------------ what is shown
  /** The drawing has changed. */
  sync() {
    const count = this.#selection.strokes.length;
    if (count !== this.#count) this.#board.changed();
    this.#count = count;
    this.#overlay.frame = this.#nudged?.to ?? this.#dragged ?? this.#selection.frame;
    this.#overlay.held = this.#heldByOthers();
    this.#overlay.draw();
  }

  /** While the selection is dragged: where it is. @type {Frame | null} */
  #dragged = null;

  #heldByOthers() {
    /** @type {Map<string, Box>} */
    const boxes = new Map();
    for (const stroke of this.#strokes) {
      const { holder } = stroke;
      if (!holder || holder === this.#board.name) continue;
      boxes.set(holder, union(boxes.get(holder) ?? null, boxAround(stroke)));
    }
    return [...boxes].map(([name, box]) => {
      return { name, colour: this.#board.colourOf(name), frame: frameOf(box) };
    });
  }

  /** @returns {{ kind: "strokes", count: number, mine: true } | null} */
  get selection() {
    const count = this.#selection.strokes.length;
    return count ? { kind: "strokes", count, mine: true } : null;
  }

  /** Every stroke, from the lowest to the topmost. @returns {ListedStroke[]} */
  strokes() {
    return this.#strokes.map(({ author, rgba, points, holder }, index) => {
      return { index, author, colour: hexOf(rgba), points: points.length / 2, holder };
    });
  }

  // ------------------------------------------------------------ choosing, see Selectable
  get frame() {
    return this.#selection.frame;
  }

  /** @param {Place} place */
  pick({ x, y, reach, shift }) {
    const at = topmostAt(this.#strokes, x, y, reach);
    if (at < 0) return false;
    const [first, last] = lineAround(this.#strokes, at);
    const line = this.#strokes.slice(first, last + 1);
    const selected = new Set(this.#selection.strokes);
    if (!shift) {
      if (!line.every((stroke) => selected.has(stroke))) this.#selection.choose(line);
      return true;
    }
    const had = line.some((stroke) => selected.has(stroke));
    for (const stroke of line) had ? selected.delete(stroke) : selected.add(stroke);
    this.#selection.choose([...selected]);
    return true;
  }

  /**
   * @param {Box} box
   * @param {Point[] | null} lasso
   */
  choose({ left, top, right, bottom }, lasso) {
    const rectangle = [
      { x: left, y: top },
      { x: right, y: top },
      { x: right, y: bottom },
      { x: left, y: bottom },
    ];
    /** @type {Set<Stroke>} */
    const chosen = new Set();
    this.#strokes.forEach((stroke, at) => {
      if (chosen.has(stroke) || !mostlyInside(stroke, lasso ?? rectangle)) return;
      const [first, last] = lineAround(this.#strokes, at);
      for (const part of this.#strokes.slice(first, last + 1)) chosen.add(part);
    });
    this.#selection.choose([...chosen]);
  }

  release() {
    this.#endNudge();
    this.#selection.release();
  }

  /**
   * @param {Frame} from
   * @param {Frame | null} to
   * @param {boolean} done
   */
  drag(from, to, done) {
    this.#endNudge();
    this.#dragged = done ? null : to;
    if (!to) this.#selection.preview(null);
    else if (done) this.#selection.transform(from, to);
    else this.#selection.preview(mapBetween(from, to));
    this.#board.frame();
  }

  selectAll() {
    this.#selection.choose(this.#strokes);
  }

  /** Choose the line above the one that is chosen; after the topmost the lowest. */
  selectNext() {
    const strokes = this.#strokes;
    if (!strokes.length) return;
    const last = this.#selection.strokes.at(-1);
    const from = last ? strokes.indexOf(last) + 1 : 0;
    for (let i = 0; i < strokes.length; i++) {
      const at = (from + i) % strokes.length;
      if (strokes[at].holder && strokes[at].holder !== this.#board.name) continue;
      const [first, end] = lineAround(strokes, at);
      this.#selection.choose(strokes.slice(first, end + 1));
      return;
    }
  }

  // ------------------------------------------------------------ changing what is chosen
  deleteSelection() {
    this.#endNudge();
    this.#selection.remove();
  }

  /** @param {number} degrees clockwise */
  rotateSelection(degrees) {
    this.#endNudge();
    const { frame } = this;
    if (frame) this.#selection.transform(frame, { ...frame, angle: degrees });
  }

  /** @param {number} factor */
  scaleSelection(factor) {
    this.#endNudge();
    const { frame } = this;
    if (!frame) return;
    const to = resized(frame, frame.width * factor, frame.height * factor, 0, 0);
    this.#selection.transform(frame, to);
  }

  /**
   * Move the selection. Several moves in quick succession are one change.
   *
   * @param {number} dx
   * @param {number} dy
   */
  nudge(dx, dy) {
    const from = this.#nudged?.from ?? this.frame;
    if (!from) return;
    const before = this.#nudged?.to ?? from;
    const to = { ...before, x: before.x + dx, y: before.y + dy };
    this.#nudged = { from, to };
    this.#selection.preview(mapBetween(from, to));
    clearTimeout(this.#nudging);
    this.#nudging = setTimeout(() => this.#endNudge(), NUDGE_MS);
  }

  #endNudge() {
    clearTimeout(this.#nudging);
    const nudged = this.#nudged;
    this.#nudged = null;
    if (nudged) this.#selection.transform(nudged.from, nudged.to);
  }

  /** @param {string} colour `#rrggbb` */
  recolourSelection(colour) {
    this.#endNudge();
    this.#selection.recolour(rgbaOf(colour, 1));
  }

  bringToFront() {
    this.#endNudge();
    this.#selection.restack(true);
  }

  sendToBack() {
    this.#endNudge();
    this.#selection.restack(false);
  }

  /** There are no filters for strokes. */
  filter() {}

  // ------------------------------------------------------------ the pile
  /** Take the topmost line of one's own off the drawing, onto a pile that only oneself has. */
  stack() {
    const strokes = this.#strokes;
    const { name } = this.#board;
    const at = strokes.findLastIndex(
      ({ author, holder }) => author === name && (holder === "" || holder === name),
    );
    if (at < 0) return;
    const [first, last] = lineAround(strokes, at);
    const line = strokes.slice(first, last + 1);
    this.#pile.push(line.map(valuesOf));
    this.#selection.removeStrokes(line);
  }

  /** Put what was taken off last back on top. */
  unstack() {
    const strokes = this.#pile.pop();
    if (!strokes) return;
    const sent = strokes.map((values) => this.#board.draw(ADD_STROKE, { ...values, index: 0 }));
    this.#board.live.keep(strokeMarks(strokes), Promise.all(sent), () => this.#board.frame());
    this.undo.added(strokes);
  }
}
