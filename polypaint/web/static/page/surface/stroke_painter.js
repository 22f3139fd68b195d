/**
 * Paints a drawing of strokes: tiles in device pixels at the present zoom, beneath which those of
 * the last zoom stay until the new ones are there. Counterpart: `pixel_painter.js`.
 */

import { common, grown, overlap, union } from "./boxes.js";
import { endsBetween } from "./ribbon.js";
import { changesBetween } from "./stroke_changes.js";
import { drawShape, shapeOf } from "./stroke_style.js";
import { TileGrid } from "./tiles.js";

/** @import { Drawing } from "../../client/drawing.js" */
/** @import { Stroke, StrokeCanvas } from "../../client/strokes.js" */
/** @import { Box } from "./boxes.js" */
/** @import { Tile } from "./tiles.js" */
/** @import { View } from "./view.js" */

const TILE = 512;
/** Tiles are painted anew so long after the last change of the zoom. */
const ZOOM_PAUSE_MS = 120;

/** See the module. */
export class StrokePainter {
  /** Strokes that are not painted: they are erased, or being moved. @type {Set<Stroke>} */
  #hidden = new Set();
  /** @type {readonly Stroke[]} */
  #shown = [];
  /** @type {TileGrid} */
  #grid;
  /** The tiles of the zoom before. @type {TileGrid | null} */
  #below = null;
  #zoomedAt = -Infinity;
  #drawing;
  #view;
  #paper;

  /**
   * @param {Drawing} drawing
   * @param {View} view
   * @param {HTMLElement} paper
   */
  constructor(drawing, view, paper) {
    this.#drawing = drawing;
    this.#view = view;
    this.#paper = paper;
    this.#grid = this.#newGrid();
  }

  get #canvas() {
    return /** @type {StrokeCanvas} */ (this.#drawing.canvas);
  }

  /** Sides of the paper. */
  get size() {
    return { width: this.#canvas.length, height: this.#canvas.width };
  }

  #newGrid() {
    const { zoom, ratio } = this.#view;
    const grid = new TileGrid(TILE, zoom * ratio, false);
    this.#paper.append(grid.element);
    return grid;
  }

  /** Take over what has changed in the drawing. */
  sync() {
    const { strokes } = this.#canvas;
    const { appended, changed, same } = changesBetween(this.#shown, strokes);
    if (!appended.length && !changed.size) return;
    for (const stroke of changed) {
      this.#invalidate(stroke);
      this.#hidden.delete(stroke);
    }
    this.#shown = strokes.slice();
    this.#fitEnds(same - 1);
    for (const stroke of appended) this.#append(stroke);
  }

  /** Have strokes meet their neighbours. @param {number} from the first that may have others now */
  #fitEnds(from) {
    const strokes = this.#shown;
    for (let i = Math.max(0, from); i < strokes.length; i++) {
      const stroke = strokes[i];
      const before = shapeOf(stroke);
      const shape = shapeOf(stroke, endsBetween(strokes[i - 1], stroke, strokes[i + 1]));
      if (shape !== before) this.#grid.invalidate(union(before.box, shape.box));
    }
  }

  /** On top of what is painted, without painting it anew. @param {Stroke} stroke */
  #append(stroke) {
    const shape = shapeOf(stroke);
    for (const tile of this.#grid.painted(shape.box)) {
      this.#toPaper(tile);
      drawShape(tile.ctx, shape);
    }
  }

  /** @param {Stroke} stroke */
  #invalidate(stroke) {
    this.#grid.invalidate(shapeOf(stroke).box);
  }

  /** Do not paint these strokes for now. @param {Iterable<Stroke>} strokes */
  hide(strokes) {
    for (const stroke of strokes) {
      if (this.#hidden.has(stroke)) continue;
      this.#hidden.add(stroke);
      this.#invalidate(stroke);
    }
  }

  /** Paint them again, those that are still there. @param {Iterable<Stroke>} strokes */
  unhide(strokes) {
    for (const stroke of strokes) if (this.#hidden.delete(stroke)) this.#invalidate(stroke);
  }

  /** The view has changed. @param {number} now milliseconds */
  viewChanged(now) {
    const { zoom, ratio } = this.#view;
    if (this.#grid.scale !== zoom * ratio) this.#zoomedAt = now;
    this.#grid.place(zoom);
    this.#below?.place(zoom);
    this.#cover();
  }

  #cover() {
    const { visible, paper, zoom } = this.#view;
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
    let waiting = false;
    if (this.#grid.scale !== this.#view.zoom * this.#view.ratio) {
      if (clock() - this.#zoomedAt < ZOOM_PAUSE_MS) waiting = true;
      else this.#rescale();
    }
    for (const tile of this.#grid.dirty()) {
      this.#paintTile(tile);
      if (clock() >= until) break;
    }
    const clean = this.#grid.isClean();
    if (clean && this.#below) {
      this.#below.element.remove();
      this.#below = null;
    }
    return waiting || !clean;
  }

  #rescale() {
    this.#below?.element.remove();
    this.#below = this.#grid;
    this.#grid = this.#newGrid();
    this.#grid.place(this.#view.zoom);
    this.#cover();
  }

  /** @param {Tile} tile */
  #paintTile(tile) {
    const { ctx, left, top } = tile;
    const { scale } = this.#grid;
    const dirty = /** @type {Box} */ (tile.dirty);
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.beginPath();
    ctx.rect(dirty.left, dirty.top, dirty.right - dirty.left, dirty.bottom - dirty.top);
    ctx.clip();
    ctx.fillStyle = "#fff";
    ctx.fillRect(dirty.left, dirty.top, dirty.right - dirty.left, dirty.bottom - dirty.top);
    this.#toPaper(tile);
    const part = {
      left: (dirty.left + left) / scale,
      top: (dirty.top + top) / scale,
      right: (dirty.right + left) / scale,
      bottom: (dirty.bottom + top) / scale,
    };
    for (const stroke of this.#shown) {
      const shape = shapeOf(stroke);
      if (overlap(shape.box, part) && !this.#hidden.has(stroke)) drawShape(ctx, shape);
    }
    ctx.restore();
    tile.dirty = null;
    ctx.canvas.style.visibility = "visible";
  }

  /** @param {Tile} tile */
  #toPaper({ ctx, left, top }) {
    const { scale } = this.#grid;
    ctx.setTransform(scale, 0, 0, scale, -left, -top);
  }

  /** @param {Box} box @returns {boolean} is what is in view of it painted? */
  isClean(box) {
    return this.#grid.isClean(box);
  }
}
