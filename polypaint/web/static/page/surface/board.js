/**
 * What all tools share: the drawing, how it is shown, what is chosen, and how things are sent.
 * Made by `surface.js`.
 */

import { ConnectionClosed, PolypaintError, Refused } from "../../client/errors.js";
import { rgbaOf } from "./ink.js";

/** @import { Loose } from "../../client/codec.js" */
/** @import { Drawing } from "../../client/drawing.js" */
/** @import { Packet } from "../../client/packets.js" */
/** @import { PixelCanvas } from "../../client/pixels.js" */
/** @import { StrokeCanvas } from "../../client/strokes.js" */
/** @import { LiveInk } from "./live_ink.js" */
/** @import { PixelPainter } from "./pixel_painter.js" */
/** @import { StrokePainter } from "./stroke_painter.js" */
/** @import { View } from "./view.js" */

/**
 * A place on the paper that a pointer was at. reach: half a finger, or less, in the paper's pixels.
 *
 * @typedef {Object} Place
 * @property {number} x
 * @property {number} y
 * @property {number} pressure
 * @property {boolean} pen does its pressure mean something?
 * @property {boolean} shift
 * @property {boolean} alt
 * @property {number} reach
 */

/**
 * A tool. start … finish: one gesture; abort: it is taken back, and leaves no mark. leave: another
 * tool is chosen. outline: what it would cover, in pixels of the paper.
 *
 * @typedef {Object} Tool
 * @property {string} cursor
 * @property {(place: Place) => void} start
 * @property {(places: Place[]) => void} extend
 * @property {() => void} finish
 * @property {() => void} abort
 * @property {(() => void) | undefined} [leave]
 * @property {(() => { size: number, round: boolean }) | undefined} [outline]
 */

/** What `board.js` asks of the surface. @typedef {{ changed: () => void, refused: (text: string) => void, frame: () => void, picked: (colour: string) => void, colourOf: (name: string) => string }} Owner */

/** See the module. */
export class Board {
  colour = "#1b1d21";
  width = 4;
  opacity = 1;
  #owner;

  /**
   * @param {Drawing} drawing
   * @param {string} name of oneself
   * @param {View} view
   * @param {LiveInk} live
   * @param {StrokePainter | PixelPainter} painter
   * @param {HTMLElement} overlay
   * @param {Owner} owner
   */
  constructor(drawing, name, view, live, painter, overlay, owner) {
    this.drawing = drawing;
    this.name = name;
    this.view = view;
    this.live = live;
    this.painter = painter;
    this.overlay = overlay;
    this.#owner = owner;
  }

  /** @param {string} name of somebody; the colour that they are shown in */
  colourOf(name) {
    return this.#owner.colourOf(name);
  }

  /** The colour that is chosen. */
  get rgba() {
    return rgbaOf(this.colour, this.opacity);
  }

  /** The canvas, which is one of strokes. */
  get strokeCanvas() {
    return /** @type {StrokeCanvas} */ (this.drawing.canvas);
  }

  /** The canvas, which is one of pixels. */
  get pixelCanvas() {
    return /** @type {PixelCanvas} */ (this.drawing.canvas);
  }

  /** Something that the surface shows, or says, has changed. */
  changed() {
    this.#owner.changed();
  }

  /** Have a frame painted. */
  frame() {
    this.#owner.frame();
  }

  /** @param {string} colour `#rrggbb`, taken from the drawing */
  picked(colour) {
    this.#owner.picked(colour);
  }

  /** @param {string} text one line that says why something did not count */
  refuse(text) {
    this.#owner.refused(text);
  }

  /**
   * Send one action. Why it does not count, if it does not, is said.
   *
   * @template Request
   * @param {Packet<Request, any>} kind
   * @param {Loose<Request>} values
   * @returns {Promise<"applied" | "resynced" | "refused">}
   */
  async draw(kind, values) {
    try {
      const outcome = await this.drawing.draw(kind, values);
      return outcome;
    } catch (error) {
      if (!(error instanceof PolypaintError)) throw error;
      this.refuse(why(error));
      return "refused";
    }
  }
}

/** @param {PolypaintError} error */
function why(error) {
  if (error instanceof ConnectionClosed) return `Not drawn: ${error.message}.`;
  if (error instanceof Refused) return `Not accepted: ${error.message}.`;
  return `Cannot be sent: ${error.message}.`;
}
