/**
 * The drawing surface: what is drawn, in view and to be drawn on. Everything that the page asks of
 * it is here; how it is done is in the modules beside this one.
 */

import { Emitter } from "../../client/emitter.js";
import { RESET_CANVAS, RESIZE_CANVAS, RESIZE_CANVAS_INT } from "../../client/packets.js";
import { Hands } from "./hands.js";
import { Parts } from "./parts.js";
import { colourOfName } from "./people.js";
import { zoomStep } from "./view.js";

/** @import { Drawing } from "../../client/drawing.js" */
/** @import { Point } from "./boxes.js" */

const COLOUR = /^#[0-9a-f]{6}$/i;

/**
 * name: one's own. reduced: no motion. touch: what a finger does; "auto": it draws until a pen is
 * seen. margins: what controls cover at the edges, in CSS pixels: the whole paper is shown between.
 * colourOf: the colour that somebody is shown in, `#rrggbb`.
 *
 * @typedef {Object} SurfaceOptions
 * @property {string} name
 * @property {boolean} [reduced]
 * @property {"draw" | "pan" | "auto"} [touch]
 * @property {{ top: number, right: number, bottom: number, left: number }} [margins]
 * @property {(name: string) => string} [colourOf]
 */

/** @typedef {"pen" | "eraser" | "select" | "hand" | "brush" | "fill" | "pick"} ToolName */

/**
 * change: the tool, zoom, selection, what can be undone, a colour that was picked, or the paper.
 * refused: one line that says why something does not count.
 *
 * @extends {Emitter<{ change: [], refused: [string] }>}
 */
export class Surface extends Emitter {
  /** @type {ToolName} */
  #tool;
  /** The one before, to which picking a colour goes back. @type {ToolName} */
  #before;
  #penFirst = false;
  #touch;
  #fitted = false;
  #changed = false;
  #destroyed = false;
  #view;
  #stage;
  #board;
  #editor;
  #parts;
  #hands;
  #endListening;

  /**
   * @param {HTMLElement} host
   * @param {Drawing} drawing
   * @param {SurfaceOptions} options
   */
  constructor(host, drawing, options) {
    super();
    const { name, reduced = false, touch = "auto", margins, colourOf = colourOfName } = options;
    this.#touch = touch;
    this.#parts = new Parts(host, drawing, name, reduced, {
      colourOf,
      changed: () => this.#say(),
      refused: (text) => this.emit("refused", text),
      picked: (colour) => this.#picked(colour),
      synced: () => this.#synced(),
    });
    const { view, stage, board, editor } = this.#parts;
    this.#view = view;
    this.#stage = stage;
    this.#board = board;
    this.#editor = editor;
    if (margins) view.margins = margins;
    this.#tool = this.#before = editor.first;
    this.#hands = new Hands(stage, view, this.#parts.overlay, this.#handActions());
    this.#hands.use(editor.tools.get(this.#tool) ?? null);
    this.#touchChanged();
    this.#endListening = this.#stage.onSized(() => this.#measured());
    this.#measured();
  }

  destroy() {
    this.#destroyed = true;
    this.#endListening();
    this.#hands.destroy();
    this.#parts.destroy();
  }

  #handActions() {
    return {
      /** @param {"tool" | "eraser"} as */
      tool: (as) => this.#editor.tools.get(as === "eraser" ? "eraser" : this.#tool) ?? null,
      viewChanged: () => this.#viewChanged(),
      /** @param {Point | null} point */
      point: (point) => this.#parts.others.point(point),
      undo: () => this.undo(),
      redo: () => this.redo(),
      penSeen: () => {
        if (!this.#penFirst && this.#touch === "auto") this.penFirst = true;
      },
      selected: () => this.selection !== null,
      /**
       * @param {number} dx
       * @param {number} dy
       */
      nudge: (dx, dy) => this.nudge(dx, dy),
      release: () => this.releaseSelection(),
    };
  }

  #say() {
    if (this.#changed) return;
    this.#changed = true;
    queueMicrotask(() => {
      this.#changed = false;
      if (!this.#destroyed) this.emit("change");
    });
  }

  // ------------------------------------------------------------ painting
  /** The drawing has changed. */
  #synced() {
    const { width, height } = this.#parts.painter.size;
    const { paper } = this.#view;
    if (paper.width !== width || paper.height !== height) this.#paperChanged();
    this.#editor.sync();
  }

  #paperChanged() {
    this.#view.paper = this.#parts.painter.size;
    if (!this.#fitted) this.#view.fit();
    this.#fitted = true;
    this.#viewChanged();
  }

  #measured() {
    if (!this.#stage.measure()) return;
    if (this.#fitted) this.#viewChanged();
    else this.#paperChanged();
  }

  #viewChanged() {
    this.#stage.place();
    this.#parts.painter.viewChanged(performance.now());
    this.#parts.live.redraw();
    this.#parts.overlay.draw();
    this.#parts.others.viewChanged();
    this.#parts.frames.request();
    this.#say();
  }

  /** Wait until all that is in view, and known here, is painted. */
  painted() {
    return this.#parts.frames.painted();
  }

  // ------------------------------------------------------------ what is chosen
  /** @returns {ToolName} */
  get tool() {
    return this.#tool;
  }

  set tool(tool) {
    const next = this.#editor.tools.get(tool);
    if (tool === this.#tool || (tool !== "hand" && !next)) return;
    this.#editor.tools.get(this.#tool)?.leave?.();
    this.#before = this.#tool;
    this.#tool = tool;
    this.#hands.use(next ?? null);
    this.#say();
  }

  /** @param {string} colour */
  #picked(colour) {
    this.colour = colour;
    this.tool = this.#before;
  }

  /** `#rrggbb` */
  get colour() {
    return this.#board.colour;
  }

  set colour(colour) {
    if (!COLOUR.test(colour)) return;
    this.#board.colour = colour.toLowerCase();
    this.#say();
  }

  /** Of the pen, in pixels of the paper. */
  get width() {
    return this.#board.width;
  }

  set width(width) {
    this.#board.width = width;
    this.#say();
  }

  /** 0.05…1 */
  get opacity() {
    return this.#board.opacity;
  }

  set opacity(opacity) {
    this.#board.opacity = Math.max(0.05, Math.min(1, opacity));
    this.#say();
  }

  /** Do fingers pan and zoom, because a pen draws? */
  get penFirst() {
    return this.#penFirst;
  }

  set penFirst(penFirst) {
    this.#penFirst = penFirst;
    this.#touchChanged();
    this.#say();
  }

  #touchChanged() {
    this.#hands.touchDraws = this.#touch !== "pan" && !this.#penFirst;
  }

  /** Are the pointers of others shown? */
  get showPointers() {
    return this.#parts.others.shown;
  }

  set showPointers(shown) {
    this.#parts.others.shown = shown;
    this.#say();
  }

  // ------------------------------------------------------------ the view
  /** 1: a pixel of the paper is a CSS pixel. */
  get zoom() {
    return this.#view.zoom;
  }

  zoomIn() {
    this.#zoomTo(zoomStep(this.zoom, 1));
  }

  zoomOut() {
    this.#zoomTo(zoomStep(this.zoom, -1));
  }

  /** @param {number} zoom */
  #zoomTo(zoom) {
    const { width, height } = this.#view;
    this.#view.zoomAt(width / 2, height / 2, zoom);
    this.#viewChanged();
  }

  /** Show the whole paper. */
  fit() {
    this.#view.fit();
    this.#viewChanged();
  }

  /**
   * Bring a place of the paper to the middle.
   *
   * @param {number} x
   * @param {number} y
   */
  centreOn(x, y) {
    this.#view.centreOn(x, y);
    this.#viewChanged();
  }

  /** The paper's sides, in its own pixels. */
  get paper() {
    return { ...this.#view.paper };
  }

  // ------------------------------------------------------------ undo
  get canUndo() {
    return this.#editor.undo.canUndo;
  }

  get canRedo() {
    return this.#editor.undo.canRedo;
  }

  undo() {
    this.#editor.undo.undo();
  }

  redo() {
    this.#editor.undo.redo();
  }

  // ------------------------------------------------------------ the selection
  /** What one has selected; null: nothing. count: strokes, or pixels. */
  get selection() {
    return this.#editor.selection;
  }

  selectAll() {
    this.#choosing(() => this.#editor.selectAll());
  }

  /** Select the next line, for whoever cannot point at it. */
  selectNext() {
    this.#choosing(() => this.#editor.selectNext());
  }

  /** @param {() => void} choose */
  #choosing(choose) {
    this.tool = "select";
    choose();
  }

  /** Let go of what is selected; pixels are written back. */
  releaseSelection() {
    this.#editor.release();
  }

  deleteSelection() {
    this.#editor.deleteSelection();
  }

  /** @param {number} degrees clockwise */
  rotateSelection(degrees) {
    this.#editor.rotateSelection(degrees);
  }

  /** @param {number} factor */
  scaleSelection(factor) {
    this.#editor.scaleSelection(factor);
  }

  /**
   * Move what is selected.
   *
   * @param {number} dx pixels of the paper
   * @param {number} dy
   */
  nudge(dx, dy) {
    this.#editor.nudge(dx, dy);
  }

  /** @param {string} colour `#rrggbb`; strokes keep their opacity */
  recolourSelection(colour) {
    if (COLOUR.test(colour)) this.#editor.recolourSelection(colour);
  }

  bringToFront() {
    this.#editor.bringToFront();
  }

  sendToBack() {
    this.#editor.sendToBack();
  }

  /** Take the topmost line of one's own off the drawing, onto a pile. */
  stack() {
    this.#editor.stack();
  }

  /** Put the last line of the pile back on top. */
  unstack() {
    this.#editor.unstack();
  }

  /** @param {"grayscale" | "invert" | "blur"} name for pixels that are cut out */
  filter(name) {
    this.#editor.filter(name);
  }

  /** Every stroke, from the lowest to the topmost; of pixels none. */
  strokes() {
    return this.#editor.strokes();
  }

  // ------------------------------------------------------------ the whole drawing
  /** Clear the drawing, for everybody. */
  clear() {
    void this.#board.draw(RESET_CANVAS, {});
  }

  /**
   * Give the paper another size; what is drawn stays where it is.
   *
   * @param {number} width
   * @param {number} height
   */
  resize(width, height) {
    const values = { length: Math.round(width), width: Math.round(height) };
    // As the canvas's own snapshots have it: fractions for strokes, whole pixels for pixels.
    const pixels = this.#board.drawing.canvas.mode === "pixel";
    void this.#board.draw(pixels ? RESIZE_CANVAS_INT : RESIZE_CANVAS, values);
  }
}
