/** Tools for one place of the paper: filling, and picking a colour. They act when one lets go. */

import { BUCKET_FILL } from "../../../client/packets.js";
import { hexOf } from "../ink.js";
import { topmostAt } from "../lines.js";

/** @import { Board, Place, Tool } from "../board.js" */

/** @implements {Tool} */
class PointTool {
  cursor = "crosshair";
  /** @type {Place | null} */
  #place = null;

  /** @param {(place: Place) => void} act */
  constructor(act) {
    this.act = act;
  }

  /** @param {Place} place */
  start(place) {
    this.#place = place;
  }

  /** @param {Place[]} places */
  extend(places) {
    this.#place = places.at(-1) ?? this.#place;
  }

  finish() {
    if (this.#place) this.act(this.#place);
    this.#place = null;
  }

  abort() {
    this.#place = null;
  }
}

/**
 * Fills what is of one colour around a pixel.
 *
 * @param {Board} board
 * @returns {Tool}
 */
export function fillTool(board) {
  return new PointTool((place) => {
    const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
    const { length, width } = board.pixelCanvas;
    if (x < 0 || y < 0 || x >= length || y >= width) return;
    void board.draw(BUCKET_FILL, { x, y, rgba: board.rgba });
  });
}

/**
 * Takes over the colour of a pixel, or of the topmost stroke.
 *
 * @param {Board} board
 * @returns {Tool}
 */
export function pickTool(board) {
  return new PointTool((place) => {
    const colour = board.drawing.canvas.mode === "pixel" ? pixelAt(board, place) : strokeAt(board, place);
    if (colour) board.picked(colour);
  });
}

/**
 * @param {Board} board
 * @param {Place} place
 */
function pixelAt({ pixelCanvas }, place) {
  const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
  const { pixels, width, height } = pixelCanvas.raster;
  if (x < 0 || y < 0 || x >= width || y >= height) return null;
  const pixel = pixels[y * width + x];
  return hexOf([pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255]);
}

/**
 * @param {Board} board
 * @param {Place} place
 */
function strokeAt({ strokeCanvas }, { x, y, reach }) {
  const { strokes } = strokeCanvas;
  const at = topmostAt(strokes, x, y, reach);
  return at < 0 ? "#ffffff" : hexOf(strokes[at].rgba);
}
