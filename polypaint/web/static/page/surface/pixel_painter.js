/**
 * Paints a drawing of pixels: tiles of its own pixels, enlarged and moved by the browser, and the
 * cut-out rectangles above them. Pixels go from the raster to the screen without any arithmetic
 * but for translucent ones, which are shown on white. Counterpart: `stroke_painter.js`.
 */

import { common, grown } from "./boxes.js";
import { Cutout } from "./cutout.js";
import { TileGrid } from "./tiles.js";

/** @import { Drawing } from "../../client/drawing.js" */
/** @import { Floating, PixelCanvas } from "../../client/pixels.js" */
/** @import { Raster } from "../../client/raster.js" */
/** @import { Box } from "./boxes.js" */
/** @import { Tile } from "./tiles.js" */
/** @import { View } from "./view.js" */

const TILE = 1024;
const OPAQUE = 0xff000000;

/**
 * A part of a raster as the screen shows it.
 *
 * @param {Raster} raster
 * @param {Box} box on the raster, in whole pixels
 */
export function imageOf({ pixels, width }, { left, top, right, bottom }) {
  const columns = right - left;
  const shown = new Uint32Array(columns * (bottom - top));
  for (let row = top, at = 0; row < bottom; row++, at += columns) {
    shown.set(pixels.subarray(row * width + left, row * width + right), at);
  }
  for (let i = 0; i < shown.length; i++) {
    if (shown[i] < OPAQUE) shown[i] = onWhite(shown[i]);
  }
  return new ImageData(new Uint8ClampedArray(shown.buffer), columns);
}

/** @param {number} pixel translucent */
function onWhite(pixel) {
  const alpha = pixel >>> 24;
  const white = 255 * (255 - alpha);
  const red = Math.round(((pixel & 255) * alpha + white) / 255);
  const green = Math.round((((pixel >> 8) & 255) * alpha + white) / 255);
  const blue = Math.round((((pixel >> 16) & 255) * alpha + white) / 255);
  return (OPAQUE | (blue << 16) | (green << 8) | red) >>> 0;
}

/** See the module. */
export class PixelPainter {
  /** @type {Map<string, Cutout>} */
  #cutouts = new Map();
  /** Where they will be, before the server has said so. @type {Map<string, Pick<Floating, "target" | "angle">>} */
  #ahead = new Map();
  /** @type {Raster | null} */
  #raster = null;
  #grid = new TileGrid(TILE, 1, true);
  #drawing;
  #view;

  /**
   * @param {Drawing} drawing
   * @param {View} view
   * @param {HTMLElement} paper
   */
  constructor(drawing, view, paper) {
    this.#drawing = drawing;
    this.#view = view;
    paper.append(this.#grid.element);
  }

  get #canvas() {
    return /** @type {PixelCanvas} */ (this.#drawing.canvas);
  }

  /** Sides of the paper. */
  get size() {
    return { width: this.#canvas.length, height: this.#canvas.width };
  }

  /** Take over what has changed in the drawing. */
  sync() {
    const { raster } = this.#canvas;
    const changed = raster.takeChanged();
    if (raster !== this.#raster) {
      this.#raster = raster;
      this.#grid.invalidateAll();
    } else if (changed) this.#grid.invalidate(changed);
    this.#syncCutouts();
  }

  #syncCutouts() {
    const { floating } = this.#canvas;
    for (const [author, cutout] of this.#cutouts) {
      if (floating.get(author)?.source === cutout.source) continue;
      cutout.element.remove();
      this.#cutouts.delete(author);
    }
    for (const [author, part] of floating) {
      let cutout = this.#cutouts.get(author);
      if (!cutout) {
        cutout = new Cutout(part.source);
        this.#cutouts.set(author, cutout);
        this.#grid.element.append(cutout.element);
      }
      cutout.place({ ...part, ...this.#ahead.get(author) });
    }
  }

  /**
   * Show what somebody has cut out in another place; null: where it is.
   *
   * @param {string} author
   * @param {Pick<Floating, "target" | "angle"> | null} ahead
   */
  showAt(author, ahead) {
    if (ahead) this.#ahead.set(author, ahead);
    else this.#ahead.delete(author);
    this.#syncCutouts();
  }

  /** A filter has changed the pixels that somebody has cut out. @param {string} author */
  filtered(author) {
    this.#cutouts.get(author)?.repaint();
  }

  /** The view has changed. */
  viewChanged() {
    const { visible, paper, zoom } = this.#view;
    this.#grid.place(zoom);
    const all = { left: 0, top: 0, right: paper.width, bottom: paper.height };
    this.#grid.cover(common(all, grown(visible, 64 / zoom)));
  }

  /**
   * Paint what is to be painted, for as long as there is time.
   *
   * @param {() => number} clock milliseconds
   * @param {number} until
   * @returns {boolean} is something left to do?
   */
  paint(clock, until) {
    for (const tile of this.#grid.dirty()) {
      this.#paintTile(tile);
      if (clock() >= until) break;
    }
    return !this.#grid.isClean();
  }

  /** @param {Tile} tile */
  #paintTile(tile) {
    const { raster } = this.#canvas;
    const { ctx, left, top } = tile;
    const dirty = /** @type {Box} */ (tile.dirty);
    tile.dirty = null;
    const part = common(
      { left: 0, top: 0, right: raster.width, bottom: raster.height },
      {
        left: dirty.left + left,
        top: dirty.top + top,
        right: dirty.right + left,
        bottom: dirty.bottom + top,
      },
    );
    if (part) ctx.putImageData(imageOf(raster, part), part.left - left, part.top - top);
    ctx.canvas.style.visibility = "visible";
  }

  /** @param {Box} box @returns {boolean} is what is in view of it painted? */
  isClean(box) {
    return this.#grid.isClean(box);
  }
}
