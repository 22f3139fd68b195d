/**
 * Pointers, fingers and keys, brought to the tool that is chosen and to the view.
 */

import { Input } from "./input.js";
import { Keyboard } from "./keyboard.js";
import { Select } from "./tools/select.js";

/** @import { Point } from "./boxes.js" */
/** @import { Place, Tool } from "./board.js" */
/** @import { Sample } from "./input.js" */
/** @import { Overlay } from "./overlay.js" */
/** @import { Stage } from "./stage.js" */
/** @import { View } from "./view.js" */

/** How near a pointer must come to what it means, in CSS pixels. */
const REACH = 6;
const REACH_TOUCH = 16;

/**
 * What hands do, beside using tools. tool: the one to be used now. point: where one is, told to
 * others; null: nowhere.
 *
 * @typedef {Object} HandActions
 * @property {(as: "tool" | "eraser") => Tool | null} tool
 * @property {() => void} viewChanged
 * @property {(point: Point | null) => void} point
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {() => void} penSeen
 * @property {() => boolean} selected
 * @property {(dx: number, dy: number) => void} nudge
 * @property {() => void} release
 */

/** See the module. */
export class Hands {
  /** What the gesture that is under way is for. @type {Tool | null} */
  #using = null;
  #handTool = false;
  #spaceHeld = false;
  #cursor = "";
  #stage;
  #overlay;
  #view;
  #actions;
  #input;
  #keyboard;

  /**
   * @param {Stage} stage
   * @param {View} view
   * @param {Overlay} overlay
   * @param {HandActions} actions
   */
  constructor(stage, view, overlay, actions) {
    this.#stage = stage;
    this.#overlay = overlay;
    this.#view = view;
    this.#actions = actions;
    this.#input = new Input(stage.root, this.#drawer(), this.#viewActions());
    this.#keyboard = new Keyboard(stage.root, view, {
      start: (place) => this.#start(place, "tool"),
      extend: (place) => this.#extend([place]),
      finish: () => this.#finish(),
      abort: () => this.#abort(),
      show: (cross) => {
        overlay.cross = cross;
        overlay.draw();
        actions.point(cross);
      },
      hold: (held) => {
        this.#spaceHeld = held;
        this.#useHand();
      },
      nudge: actions.nudge,
      selected: actions.selected,
      release: actions.release,
    });
  }

  destroy() {
    this.#input.destroy();
    this.#keyboard.destroy();
  }

  /** Do fingers draw? @param {boolean} draws */
  set touchDraws(draws) {
    this.#input.gestures.touchDraws = draws;
  }

  /** Another tool is chosen; null: the hand. @param {Tool | null} tool */
  use(tool) {
    this.#handTool = tool === null;
    this.#cursor = tool?.cursor ?? "grab";
    this.#useHand();
  }

  #useHand() {
    const hand = this.#handTool || this.#spaceHeld;
    this.#input.gestures.hand = hand;
    this.#stage.root.style.cursor = hand ? "grab" : this.#cursor;
  }

  /** @param {Sample} sample @returns {Place} */
  #place({ x, y, pressure, pen, shift, alt, touch }) {
    const at = this.#view.toPaper(x, y);
    const reach = (touch ? REACH_TOUCH : REACH) / this.#view.zoom;
    return { ...at, pressure, pen, shift, alt, reach };
  }

  // ------------------------------------------------------------ drawing
  /**
   * @param {Place} place
   * @param {"tool" | "eraser"} as
   */
  #start(place, as) {
    this.#using = this.#actions.tool(as);
    this.#showBrush(null);
    this.#using?.start(place);
    this.#actions.point(place);
  }

  /** @param {Place[]} places */
  #extend(places) {
    this.#using?.extend(places);
    this.#actions.point(places[places.length - 1]);
  }

  #finish() {
    const using = this.#using;
    this.#using = null;
    using?.finish();
  }

  #abort() {
    const using = this.#using;
    this.#using = null;
    using?.abort();
  }

  #drawer() {
    return {
      /**
       * @param {"tool" | "eraser"} as
       * @param {Sample} sample
       */
      start: (as, sample) => this.#start(this.#place(sample), as),
      /** @param {Sample[]} samples */
      extend: (samples) => this.#extend(samples.map((one) => this.#place(one))),
      finish: () => this.#finish(),
      abort: () => this.#abort(),
      /** @param {Sample | null} sample */
      hover: (sample) => this.#hover(sample && this.#place(sample)),
      used: () => this.#keyboard.hide(),
    };
  }

  /** @param {Place | null} place */
  #hover(place) {
    this.#actions.point(place);
    const tool = this.#input.gestures.hand ? null : this.#actions.tool("tool");
    const outline = tool?.outline?.();
    this.#showBrush(place && outline ? { x: place.x, y: place.y, ...outline } : null);
    if (place && tool instanceof Select) this.#stage.root.style.cursor = tool.cursorAt(place);
  }

  /** @param {Overlay["brush"]} brush */
  #showBrush(brush) {
    if (!brush && !this.#overlay.brush) return;
    this.#overlay.brush = brush;
    this.#overlay.draw();
  }

  // ------------------------------------------------------------ the view
  #viewActions() {
    const { undo, redo, penSeen, viewChanged } = this.#actions;
    return {
      /**
       * @param {number} dx
       * @param {number} dy
       */
      pan: (dx, dy) => {
        this.#view.pan(dx, dy);
        viewChanged();
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
        viewChanged();
      },
      /** @param {number} fingers */
      tap: (fingers) => {
        if (fingers === 2) undo();
        else if (fingers === 3) redo();
      },
      penSeen,
    };
  }
}
