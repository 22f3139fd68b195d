/** Drawings of pixels: their tools, and the rectangle that one cuts out. Counterpart: `stroke_editor.js`. */

import { author } from "../../client/codec.js";
import {
  APPLY_FILTER_SELECTION,
  CREATE_SELECTION,
  REMOVE_SELECTION,
  SIDE_MAX,
  UPDATE_SELECTION,
} from "../../client/packets.js";
import { common } from "./boxes.js";
import { frameOf, normal, resized } from "./frame.js";
import { Brush } from "./tools/brush.js";
import { fillTool, pickTool } from "./tools/points.js";
import { Select } from "./tools/select.js";
import { Undo } from "./undo.js";

/** @import { Change } from "../../client/drawing.js" */
/** @import { Floating } from "../../client/pixels.js" */
/** @import { Box } from "./boxes.js" */
/** @import { Board, Place, Tool } from "./board.js" */
/** @import { Frame } from "./frame.js" */
/** @import { Overlay } from "./overlay.js" */
/** @import { PixelPainter } from "./pixel_painter.js" */
/** @import { ToolName } from "./surface.js" */
/** @import { Selectable } from "./tools/select.js" */

/** So often others are told where the selection is while it is dragged. */
const TELL_MS = 60;

/** @param {Pick<Floating, "target" | "angle">} floating @returns {Frame} */
function frameAt({ target, angle }) {
  return { ...target, angle };
}

/**
 * In whole pixels and degrees, as the protocol has it.
 *
 * @param {Frame} frame
 * @returns {Frame}
 */
function whole({ x, y, width, height, angle }) {
  const side = (/** @type {number} */ length) => Math.max(1, Math.min(SIDE_MAX, Math.round(length)));
  return {
    x: Math.round(x),
    y: Math.round(y),
    width: side(width),
    height: side(height),
    angle: Math.round(normal(angle)),
  };
}

/** See the module. @implements {Selectable} */
export class PixelEditor {
  /** @type {ToolName} */
  first = "brush";
  /** @type {Map<ToolName, Tool>} */
  tools;
  /** Where the selection will be when the server has heard of it. @type {Frame | null} */
  #ahead = null;
  /** It is cut, or written back, when the server has heard of it. */
  #coming = false;
  #going = false;
  /** Updates that are on their way. */
  #underWay = 0;
  #toldAt = -Infinity;
  #board;
  #overlay;
  #end;

  /**
   * @param {Board} board
   * @param {Overlay} overlay
   */
  constructor(board, overlay) {
    this.#board = board;
    this.#overlay = overlay;
    this.undo = new Undo(board, null);
    /** @type {[ToolName, Tool][]} */
    const tools = [
      ["brush", new Brush(board, false)],
      ["eraser", new Brush(board, true)],
      ["fill", fillTool(board)],
      ["pick", pickTool(board)],
      ["select", new Select(board, overlay, this)],
    ];
    this.tools = new Map(tools);
    this.#end = board.drawing.on("change", (change) => this.#heard(change));
  }

  destroy() {
    this.#end();
    this.undo.destroy();
  }

  get #painter() {
    return /** @type {PixelPainter} */ (this.#board.painter);
  }

  /** @param {Change} change */
  #heard({ kind, packet }) {
    if (kind === APPLY_FILTER_SELECTION) this.#painter.filtered(author(packet));
  }

  // ------------------------------------------------------------ what is shown
  /** The drawing has changed. */
  sync() {
    const { floating } = this.#board.pixelCanvas;
    const { name } = this.#board;
    const had = this.#overlay.frame !== null;
    this.#overlay.frame = this.frame;
    this.#overlay.held = [...floating].flatMap(([person, part]) => {
      if (person === name) return [];
      return [{ name: person, colour: this.#board.colourOf(person), frame: frameAt(part) }];
    });
    this.#overlay.draw();
    if (had !== (this.#overlay.frame !== null)) this.#board.changed();
  }

  /** @returns {{ kind: "pixels", count: number, mine: true } | null} */
  get selection() {
    const { frame } = this;
    return frame && { kind: "pixels", count: frame.width * frame.height, mine: true };
  }

  /** Around the selection; null when there is none. @returns {Frame | null} */
  get frame() {
    if (this.#going && !this.#coming) return null;
    const floating = this.#board.pixelCanvas.floating.get(this.#board.name);
    if (this.#ahead && (floating || this.#coming)) return this.#ahead;
    return floating ? frameAt(floating) : null;
  }

  // ------------------------------------------------------------ choosing, see Selectable
  /** There is nothing to pick: one drags a rectangle. @param {Place} _place */
  pick(_place) {
    return false;
  }

  /** @param {Box} box */
  choose(box) {
    const { length, width } = this.#board.pixelCanvas;
    const part = common(
      { left: 0, top: 0, right: length, bottom: width },
      {
        left: Math.floor(box.left),
        top: Math.floor(box.top),
        right: Math.ceil(box.right),
        bottom: Math.ceil(box.bottom),
      },
    );
    if (!part) return;
    this.#cut(frameOf(part));
  }

  /** @param {Frame} frame */
  #cut(frame) {
    const { x, y } = frame;
    const values = { x, y, length: frame.width, width: frame.height, angle: 0 };
    this.#painter.showAt(this.#board.name, null);
    this.#ahead = frame;
    this.#coming = true;
    void this.#board.draw(CREATE_SELECTION, values).then(() => {
      this.#coming = false;
      if (this.#underWay === 0) this.#ahead = null;
      this.#update();
    });
    this.#update();
  }

  #update() {
    this.sync();
    this.#board.frame();
    this.#board.changed();
  }

  selectAll() {
    const { length, width } = this.#board.pixelCanvas;
    this.#cut({ x: 0, y: 0, width: length, height: width, angle: 0 });
  }

  selectNext() {}

  strokes() {
    return [];
  }

  /** Write the selection back. */
  release() {
    if (!this.frame) return;
    this.#going = true;
    void this.#board.draw(REMOVE_SELECTION, {}).then(() => {
      this.#going = false;
      this.#update();
    });
    this.#update();
  }

  /**
   * @param {Frame} from
   * @param {Frame | null} to
   * @param {boolean} done
   */
  drag(from, to, done) {
    this.#place(whole(to ?? from), done);
  }

  /**
   * @param {Frame} frame whole
   * @param {boolean} tell others, now and not only when it is time
   */
  #place(frame, tell) {
    this.#ahead = frame;
    const { x, y, width, height, angle } = frame;
    this.#painter.showAt(this.#board.name, { target: { x, y, width, height }, angle });
    const now = performance.now();
    if (tell || now - this.#toldAt >= TELL_MS) {
      this.#toldAt = now;
      this.#tell(frame);
    }
    this.#update();
  }

  /** @param {Frame} frame */
  #tell({ x, y, width, height, angle }) {
    this.#underWay++;
    const values = { x, y, length: width, width: height, angle };
    void this.#board.draw(UPDATE_SELECTION, values).then(() => {
      if (--this.#underWay) return;
      const { target } = this.#board.pixelCanvas.floating.get(this.#board.name) ?? {};
      const ahead = this.#ahead;
      // While it is dragged on, what was told is behind.
      if (ahead && target && (target.x !== ahead.x || target.y !== ahead.y)) return;
      this.#ahead = null;
      this.#painter.showAt(this.#board.name, null);
      this.#update();
    });
  }

  // ------------------------------------------------------------ changing what is chosen
  /** @param {(frame: Frame) => Frame} change */
  #change(change) {
    const { frame } = this;
    if (frame) this.#place(whole(change(frame)), true);
  }

  /** White stays where it was cut. */
  deleteSelection() {
    const { length, width } = this.#board.pixelCanvas;
    // Written back beyond the edge, where it changes nothing.
    this.#change((frame) => ({ ...frame, x: length + frame.height, y: width + frame.width, angle: 0 }));
    this.release();
  }

  /** @param {number} degrees clockwise */
  rotateSelection(degrees) {
    this.#change((frame) => ({ ...frame, angle: frame.angle + degrees }));
  }

  /** @param {number} factor */
  scaleSelection(factor) {
    this.#change((frame) => resized(frame, frame.width * factor, frame.height * factor, 0, 0));
  }

  /**
   * @param {number} dx
   * @param {number} dy
   */
  nudge(dx, dy) {
    this.#change((frame) => ({ ...frame, x: frame.x + dx, y: frame.y + dy }));
  }

  /** @param {"grayscale" | "invert" | "blur"} name */
  filter(name) {
    if (!this.frame) return;
    void this.#board.draw(APPLY_FILTER_SELECTION, { filter_name: name }).then(() => {
      this.#painter.filtered(this.#board.name);
    });
  }

  /** Pixels are not strokes: what follows has no meaning for them. */
  recolourSelection() {}

  bringToFront() {}

  sendToBack() {}

  stack() {}

  unstack() {}
}
