/**
 * The paper as square canvases, of which only those in view exist: a grid at one scale, each tile
 * with the part of it that must be painted. What is painted is the painters' work.
 */

import { common, union } from "./boxes.js";
import { canvas, context, element } from "./dom.js";

/** @import { Box } from "./boxes.js" */

/** Tiles share a row and a column of pixels with the next, so that no seam shows when scaled. */
const SHARED = 1;
/** Tiles beyond those in view that are kept. */
const KEPT = 24;

/**
 * dirty: what must be painted, in pixels of the tile.
 *
 * @typedef {Object} Tile
 * @property {CanvasRenderingContext2D} ctx
 * @property {number} left where it begins, in pixels of the grid
 * @property {number} top
 * @property {Box | null} dirty
 */

/** See the module. */
export class TileGrid {
  /** In view first. @type {Map<string, Tile>} */
  #tiles = new Map();
  /** Keys of the tiles in view. @type {Set<string>} */
  #inView = new Set();
  #side;
  #sharp;

  /**
   * @param {number} side of a tile, in its own pixels
   * @param {number} scale pixels of the grid in a pixel of the paper
   * @param {boolean} sharp show single pixels when enlarged
   */
  constructor(side, scale, sharp) {
    this.#side = side;
    this.scale = scale;
    this.#sharp = sharp;
    this.element = element("div", "surface-tiles", {
      position: "absolute",
      left: "0",
      top: "0",
      transformOrigin: "0 0",
    });
  }

  /**
   * Show it at this zoom, from whatever pixels there are.
   *
   * @param {number} zoom CSS pixels in a pixel of the paper
   */
  place(zoom) {
    // Tiles are laid out with a CSS pixel for each of theirs: browsers round places to such.
    const factor = zoom / this.scale;
    this.element.style.transform = `scale(${factor})`;
    this.element.style.imageRendering = this.#sharp && factor >= 1 ? "pixelated" : "auto";
  }

  /**
   * Have tiles for this part of the paper, and not many others.
   *
   * @param {Box | null} box of the paper
   */
  cover(box) {
    this.#inView.clear();
    if (!box) return;
    const step = this.#side / this.scale;
    const [lastX, lastY] = [Math.ceil(box.right / step), Math.ceil(box.bottom / step)];
    for (let y = Math.floor(box.top / step); y < lastY; y++) {
      for (let x = Math.floor(box.left / step); x < lastX; x++) {
        const key = `${x},${y}`;
        const tile = this.#tiles.get(key) ?? this.#make(x, y);
        this.#tiles.delete(key);
        this.#tiles.set(key, tile); // used last
        this.#inView.add(key);
      }
    }
    let spare = this.#tiles.size - this.#inView.size - KEPT;
    for (const [key, tile] of this.#tiles) {
      if (spare-- <= 0) break;
      if (this.#inView.has(key)) continue;
      tile.ctx.canvas.remove();
      this.#tiles.delete(key);
    }
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {Tile}
   */
  #make(x, y) {
    const side = this.#side + SHARED;
    const [left, top] = [x * this.#side, y * this.#side];
    const made = canvas("surface-tile", { left, top, width: side, height: side });
    const ctx = context(made, { alpha: false });
    made.style.visibility = "hidden"; // until it is painted: what is below it may still show
    this.element.append(made);
    return { ctx, left, top, dirty: { left: 0, top: 0, right: side, bottom: side } };
  }

  /**
   * What is shown of this part of the paper is not true any more.
   *
   * @param {Box} box of the paper
   */
  invalidate(box) {
    for (const tile of this.#tiles.values()) {
      const part = this.#partOf(tile, box);
      if (part) tile.dirty = union(tile.dirty, part);
    }
  }

  /** Nothing of what is shown is true any more. */
  invalidateAll() {
    const side = this.#side + SHARED;
    for (const tile of this.#tiles.values()) {
      tile.dirty = { left: 0, top: 0, right: side, bottom: side };
    }
  }

  /**
   * Tiles on which this part of the paper lies, if nothing of them must be painted anew. Of the
   * others, this part must be as well.
   *
   * @param {Box} box of the paper
   */
  *painted(box) {
    for (const tile of this.#tiles.values()) {
      const part = this.#partOf(tile, box);
      if (!part) continue;
      if (tile.dirty) tile.dirty = union(tile.dirty, part);
      else yield tile;
    }
  }

  /** Tiles in view that must be painted. */
  *dirty() {
    for (const key of this.#inView) {
      const tile = this.#tiles.get(key);
      if (tile?.dirty) yield tile;
    }
  }

  /**
   * Does the part of the box that is in view show what is true?
   *
   * @param {Box} [box] of the paper; all that is in view if missing
   */
  isClean(box) {
    for (const tile of this.dirty()) {
      const part = box ? this.#partOf(tile, box) : tile.dirty;
      if (part && common(part, /** @type {Box} */ (tile.dirty))) return false;
    }
    return true;
  }

  /**
   * In whole pixels of the tile, with room for smoothed edges.
   *
   * @param {Tile} tile
   * @param {Box} box of the paper
   */
  #partOf(tile, box) {
    const side = this.#side + SHARED;
    const { scale } = this;
    return common(
      { left: 0, top: 0, right: side, bottom: side },
      {
        left: Math.floor(box.left * scale - tile.left) - 1,
        top: Math.floor(box.top * scale - tile.top) - 1,
        right: Math.ceil(box.right * scale - tile.left) + 1,
        bottom: Math.ceil(box.bottom * scale - tile.top) + 1,
      },
    );
  }
}
