/**
 * The canvas of a pixel lobby: a raster, and the rectangles that people have cut out of it. Equal
 * to the server's after the same packets. Counterparts: `raster.js` for the loops, `strokes.js`.
 * Protocol: docs/protocol.md, sections 5, 9.
 */

import { author, decode } from "./codec.js";
import { Refused } from "./errors.js";
import {
  APPLY_FILTER_SELECTION,
  AREA_MAX,
  BUCKET_FILL,
  CANVAS_LENGTH,
  CANVAS_WIDTH,
  CORNER_MAX,
  CREATE_SELECTION,
  REMOVE_SELECTION,
  RESET_CANVAS,
  RESIZE_CANVAS,
  RESIZE_CANVAS_INT,
  SEND_POINTS,
  UPDATE_SELECTION,
} from "./packets.js";
import { FILTERS, Raster, WHITE, fill, place, stamp } from "./raster.js";

/** @import { Rectangle } from "./raster.js" */

/** @type {readonly number[]} */
const NONE = Object.freeze([]);

/**
 * A pixel field as an integer: halves round up.
 *
 * @param {number} value
 */
function whole(value) {
  return Math.floor(value + 0.5);
}

/** @param {Uint8Array} rgba */
function colourOf(rgba) {
  return (rgba[0] | (rgba[1] << 8) | (rgba[2] << 16) | (rgba[3] << 24)) >>> 0;
}

/**
 * In whole pixels: the codec has seen the numbers as they were sent.
 *
 * @param {Record<string, any>} values
 * @returns {Rectangle}
 * @throws {Refused} when a corner is beyond the limit
 */
function rectangle(values) {
  const [x, y] = [whole(values.x), whole(values.y)];
  const [width, height] = [whole(values.length), whole(values.width)];
  if (x + width > CORNER_MAX || y + height > CORNER_MAX) {
    throw new Refused(`in whole pixels, a corner is beyond ${CORNER_MAX}`);
  }
  return { x, y, width, height };
}

/**
 * A rectangle cut out of the canvas. source: its pixels, without what was off the canvas; offset:
 * where in the cut rectangle they lie; cut: as it was drawn; target, angle: where it is now.
 *
 * @typedef {Object} Floating
 * @property {Raster} source
 * @property {{ x: number, y: number }} offset
 * @property {Rectangle} cut
 * @property {Rectangle} target
 * @property {number} angle degrees clockwise
 */

/** See the module. Read it; only `apply` and `clear` change it. */
export class PixelCanvas {
  /** @type {"pixel"} */
  mode = "pixel";
  raster = new Raster(CANVAS_LENGTH, CANVAS_WIDTH);
  /** By who has cut it. @type {Map<string, Floating>} */
  floating = new Map();
  /** A filter was applied that is not known here: the pixels are not the truth any more. */
  needsClientSnapshot = false;

  /** Pixels in a row. */
  get length() {
    return this.raster.width;
  }

  /** Rows. */
  get width() {
    return this.raster.height;
  }

  /**
   * Apply a packet that carries its author's name and conforms to its layout.
   *
   * @param {Uint8Array} packet
   * @returns {readonly number[]} always empty: see `StrokeCanvas.apply`
   * @throws {Refused} then nothing has changed
   */
  apply(packet) {
    const work = APPLY.get(packet[2]);
    if (work === undefined) throw new Refused("not a packet for a drawing of pixels");
    work(this, decode(packet), author(packet));
    return NONE;
  }

  /** Back to a white canvas without selections. The size stays. */
  clear() {
    this.raster.clear();
    this.floating.clear();
    this.needsClientSnapshot = false;
  }

  /**
   * @param {Record<string, any>} values
   */
  fill({ x, y, rgba }) {
    const [column, row] = [whole(x), whole(y)];
    if (column < 0 || column >= this.length || row < 0 || row >= this.width) {
      throw new Refused("the fill starts off the canvas");
    }
    fill(this.raster, column, row, colourOf(rgba));
  }

  // ------------------------------------------------------------ selections
  /**
   * @param {Rectangle} cut
   * @param {string} name
   */
  cut(cut, name) {
    this.release(name);
    const left = Math.max(cut.x, 0);
    const top = Math.max(cut.y, 0);
    const right = Math.min(Math.max(cut.x + cut.width, 0), this.length);
    const bottom = Math.min(Math.max(cut.y + cut.height, 0), this.width);
    const box = { left: Math.min(left, right), top: Math.min(top, bottom), right, bottom };
    const offset = { x: left - cut.x, y: top - cut.y };
    const source = this.raster.copy(box);
    this.raster.fillBox(box, WHITE);
    this.floating.set(name, { source, offset, cut, target: cut, angle: 0 });
  }

  /**
   * @param {Rectangle} target
   * @param {number} angle
   * @param {string} name
   */
  move(target, angle, name) {
    Object.assign(this.of(name), { target, angle });
  }

  /**
   * Write back what this user has cut, if anything.
   *
   * @param {string} name
   */
  release(name) {
    const floating = this.floating.get(name);
    if (floating === undefined) return;
    this.floating.delete(name);
    const { source, offset, cut, target, angle } = floating;
    place(this.raster, source, offset, cut, target, angle);
  }

  /**
   * @param {string} filter
   * @param {string} name
   */
  filter(filter, name) {
    const { source } = this.of(name);
    const work = FILTERS.get(filter);
    if (work) work(source);
    else this.needsClientSnapshot = true;
  }

  /**
   * What this user has cut.
   *
   * @param {string} name
   * @throws {Refused}
   */
  of(name) {
    const floating = this.floating.get(name);
    if (floating === undefined) throw new Refused("there is no selection of yours");
    return floating;
  }

  // ------------------------------------------------------------ the whole canvas
  /**
   * @param {number} length
   * @param {number} width
   * @throws {Refused} when that is too large
   */
  resize(length, width) {
    if (length * width > AREA_MAX) {
      throw new Refused(`${length} × ${width} whole pixels are more than ${AREA_MAX}`);
    }
    const before = this.raster;
    const raster = new Raster(length, width);
    const columns = Math.min(length, before.width);
    for (let row = Math.min(width, before.height) - 1; row >= 0; row--) {
      const at = row * before.width;
      raster.pixels.set(before.pixels.subarray(at, at + columns), row * length);
    }
    raster.touch(0, 0, length, width);
    this.raster = raster;
  }
}

/** @type {ReadonlyMap<number, (canvas: PixelCanvas, values: Record<string, any>, name: string) => void>} */
const APPLY = new Map([
  [
    SEND_POINTS.id,
    (canvas, { brush, rgba, points }) =>
      stamp(canvas.raster, points, whole(brush), colourOf(rgba)),
  ],
  [BUCKET_FILL.id, (canvas, values) => canvas.fill(values)],
  [CREATE_SELECTION.id, (canvas, values, name) => canvas.cut(rectangle(values), name)],
  [
    UPDATE_SELECTION.id,
    (canvas, values, name) => canvas.move(rectangle(values), values.angle, name),
  ],
  [
    REMOVE_SELECTION.id,
    (canvas, _values, name) => {
      canvas.of(name);
      canvas.release(name);
    },
  ],
  [APPLY_FILTER_SELECTION.id, (canvas, values, name) => canvas.filter(values.filter_name, name)],
  [RESIZE_CANVAS.id, resized],
  [RESIZE_CANVAS_INT.id, resized],
  [RESET_CANVAS.id, (canvas) => canvas.clear()],
]);

/**
 * @param {PixelCanvas} canvas
 * @param {Record<string, any>} values
 */
function resized(canvas, { length, width }) {
  canvas.resize(whole(length), whole(width));
}
