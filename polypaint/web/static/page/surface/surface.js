/**
 * The drawing surface: what is drawn, in view and to be drawn on. Everything that the page asks of
 * it is here; how it is done is in the modules beside this one.
 */

import { Emitter } from "../../client/emitter.js";
import { Board } from "./board.js";
import { Input } from "./input.js";
import { LiveInk } from "./live_ink.js";
import { PixelPainter } from "./pixel_painter.js";
import { Stage } from "./stage.js";
import { StrokePainter } from "./stroke_painter.js";
import { Brush } from "./tools/brush.js";
import { Pen } from "./tools/pen.js";
import { View, zoomStep } from "./view.js";

/** @import { Drawing } from "../../client/drawing.js" */
/** @import { Place, Tool } from "./board.js" */
/** @import { Sample } from "./input.js" */

/** Time for painting in one frame. */
const FRAME_MS = 9;
/** How near a pointer must come to what it means, in CSS pixels. */
const REACH = 5;
const REACH_TOUCH = 14;
const COLOUR = /^#[0-9a-f]{6}$/i;

/**
 * name: one's own. reduced: no motion. touch: what a finger does; "auto": it draws until a pen is
 * seen. margins: what controls cover at the edges, in CSS pixels: the whole paper is shown between.
 *
 * @typedef {Object} SurfaceOptions
 * @property {string} name
 * @property {boolean} [reduced]
 * @property {"draw" | "pan" | "auto"} [touch]
 * @property {{ top: number, right: number, bottom: number, left: number }} [margins]
 */

/** @typedef {"pen" | "eraser" | "select" | "hand" | "brush" | "fill" | "pick"} ToolName */

/**
 * change: the tool, zoom, selection, what can be undone, a colour that was picked, or the paper.
 * refused: one line that says why something does not count.
 *
 * @extends {Emitter<{ change: [], refused: [string] }>}
 */
export class Surface extends Emitter {
  #drawing;
  #view = new View();
  #stage;
  #painter;
  #live;
  #board;
  #input;
  /** @type {Map<ToolName, Tool>} */
  #tools;
  /** @type {ToolName} */
  #tool;
  /** What the gesture that is under way is for. @type {Tool | null} */
  #using = null;
  #penFirst = false;
  #touch;
  #frame = 0;
  #fitted = false;
  #changed = false;
  #destroyed = false;
  /** @type {(() => void)[]} */
  #ends = [];

  /**
   * @param {HTMLElement} host
   * @param {Drawing} drawing
   * @param {SurfaceOptions} options
   */
  constructor(host, drawing, { name, touch = "auto", margins }) {
    super();
    if (margins) this.#view.margins = margins;
    this.#drawing = drawing;
    this.#touch = touch;
    this.#stage = new Stage(host, this.#view);
    const stage = this.#stage;
    const Painter = drawing.canvas.mode === "pixel" ? PixelPainter : StrokePainter;
    this.#painter = new Painter(drawing, this.#view, stage.paper);
    this.#live = new LiveInk(stage.upper, stage.lower);
    const owner = {
      changed: () => this.#say(),
      refused: (/** @type {string} */ text) => this.emit("refused", text),
      frame: () => this.#requestFrame(),
      picked: (/** @type {string} */ colour) => void (this.colour = colour),
    };
    const { overlay } = stage;
    this.#board = new Board(drawing, name, this.#view, this.#live, this.#painter, overlay, owner);
    this.#tools = this.#makeTools();
    this.#tool = this.#pixels ? "brush" : "pen";
    this.#input = new Input(stage.root, this.#drawer(), this.#viewActions());
    this.#touchChanged();
    this.#useCursor();
    this.#listen(host);
  }

  get #pixels() {
    return this.#painter instanceof PixelPainter;
  }

  /** @returns {Map<ToolName, Tool>} */
  #makeTools() {
    const board = this.#board;
    if (this.#pixels) {
      return new Map([
        ["brush", new Brush(board, false)],
        ["eraser", new Brush(board, true)],
      ]);
    }
    return new Map([["pen", new Pen(board, () => {})]]);
  }

  /** @param {HTMLElement} host */
  #listen(host) {
    const sized = new ResizeObserver(() => this.#measured());
    sized.observe(host);
    const window = globalThis;
    const moved = () => this.#measured(); // also when it moves to a screen of another resolution
    window.addEventListener("resize", moved);
    this.#ends.push(
      () => sized.disconnect(),
      () => window.removeEventListener("resize", moved),
      this.#drawing.on("canvas", () => this.#requestFrame()),
    );
    this.#measured();
  }

  destroy() {
    this.#destroyed = true;
    cancelAnimationFrame(this.#frame);
    for (const end of this.#ends) end();
    this.#input.destroy();
    this.#stage.remove();
  }

  #say() {
    if (this.#changed) return;
    this.#changed = true;
    queueMicrotask(() => {
      this.#changed = false;
      if (!this.#destroyed) this.emit("change");
    });
  }

  // ------------------------------------------------------------ frames
  #requestFrame() {
    if (this.#frame || this.#destroyed) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint() {
    const clock = () => performance.now();
    if (!this.#drawing.loaded) {
      // A canvas that is on its way is shown when all of it is here.
      if (!this.#drawing.ended) this.#whenLoaded();
      return;
    }
    const { width, height } = this.#painter.size;
    const { paper } = this.#view;
    if (paper.width !== width || paper.height !== height) this.#paperChanged(width, height);
    this.#painter.sync();
    const more = this.#painter.paint(clock, clock() + FRAME_MS);
    this.#live.paint((box) => this.#painter.isClean(box));
    if (more) this.#requestFrame();
    else if (this.#live.idle) for (const resolve of this.#awaited.splice(0)) resolve();
  }

  /** Wait until all that is in view, and known here, is painted. @returns {Promise<void>} */
  painted() {
    this.#requestFrame();
    return new Promise((resolve) => void this.#awaited.push(resolve));
  }

  /** @type {(() => void)[]} */
  #awaited = [];
  #waiting = false;

  #whenLoaded() {
    if (this.#waiting) return;
    this.#waiting = true;
    const done = () => {
      this.#waiting = false;
      this.#requestFrame();
    };
    this.#drawing.waitFor(() => this.#drawing.loaded).then(done, () => {});
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #paperChanged(width, height) {
    this.#view.paper = { width, height };
    if (!this.#fitted) this.#view.fit();
    this.#fitted = true;
    this.#viewChanged();
  }

  #measured() {
    if (!this.#stage.measure()) return;
    const { width, height } = this.#painter.size;
    if (!this.#fitted) this.#paperChanged(width, height);
    else this.#viewChanged();
  }

  #viewChanged() {
    this.#stage.place();
    this.#painter.viewChanged(performance.now());
    this.#live.redraw();
    this.#requestFrame();
    this.#say();
  }

  // ------------------------------------------------------------ pointers
  /** @param {Sample} sample @returns {Place} */
  #place({ x, y, pressure, pen, shift, alt, touch }) {
    const at = this.#view.toPaper(x, y);
    const reach = (touch ? REACH_TOUCH : REACH) / this.#view.zoom;
    return { ...at, pressure, pen, shift, alt, reach };
  }

  #drawer() {
    return {
      /**
       * @param {"tool" | "eraser"} as
       * @param {Sample} sample
       */
      start: (as, sample) => {
        this.#using = this.#tools.get(as === "eraser" ? "eraser" : this.#tool) ?? null;
        this.#using?.start(this.#place(sample));
      },
      /** @param {Sample[]} samples */
      extend: (samples) => this.#using?.extend(samples.map((one) => this.#place(one))),
      finish: () => {
        this.#using?.finish();
        this.#using = null;
      },
      abort: () => {
        this.#using?.abort();
        this.#using = null;
      },
      /** @param {Sample | null} _sample */
      hover: (_sample) => {},
    };
  }

  #viewActions() {
    return {
      /**
       * @param {number} dx
       * @param {number} dy
       */
      pan: (dx, dy) => {
        this.#view.pan(dx, dy);
        this.#viewChanged();
      },
      /**
       * @param {number} x
       * @param {number} y
       * @param {number} dx
       * @param {number} dy
       * @param {number} factor
       */
      pinch: (x, y, dx, dy, factor) => {
        this.#view.pan(dx, dy);
        this.#view.zoomAt(x, y, this.#view.zoom * factor);
        this.#viewChanged();
      },
      /** @param {number} _fingers */
      tap: (_fingers) => {},
      penSeen: () => {
        if (!this.#penFirst && this.#touch === "auto") this.penFirst = true;
      },
    };
  }

  // ------------------------------------------------------------ what is chosen
  /** @returns {ToolName} */
  get tool() {
    return this.#tool;
  }

  set tool(tool) {
    if (tool === this.#tool || (tool !== "hand" && !this.#tools.has(tool))) return;
    this.#tools.get(this.#tool)?.leave?.();
    this.#tool = tool;
    this.#input.gestures.hand = tool === "hand";
    this.#useCursor();
    this.#say();
  }

  #useCursor() {
    this.#stage.root.style.cursor = this.#tools.get(this.#tool)?.cursor ?? "grab";
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
    const { gestures } = this.#input;
    gestures.touchDraws = this.#touch !== "pan" && !this.#penFirst;
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
}
