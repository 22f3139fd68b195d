/**
 * The ink of one gesture, from pen down to pen up, as pieces of one width each. Pure: no DOM.
 *
 * A stroke has one width on the wire, so a pen's pressure is shown by several strokes that share
 * an end point. They meet halfway between two samples, where the curve through both is straight:
 * the joint does not show.
 */

/** From this change of width on, a new piece begins. */
const WIDTH_STEP = 0.15;
/** How much of a change of pressure is taken over from one sample to the next. */
const FOLLOW = 0.35;
const WIDTH_MAX = 1000;

/**
 * Every point is in it: x, y, x, y … in pixels of the paper.
 *
 * @typedef {{ width: number, points: number[] }} Piece
 */

/**
 * How pressure changes the width: a pen that is pressed halfway has the width that was chosen.
 *
 * @param {number} pressure 0…1
 */
export function pressureFactor(pressure) {
  return 0.3 + 1.4 * Math.max(0, Math.min(1, pressure));
}

/**
 * Pens have whole widths on the wire.
 *
 * @param {number} width
 */
export function penWidth(width) {
  return Math.max(1, Math.min(WIDTH_MAX, Math.round(width)));
}

/** See the module. */
export class Ink {
  /** At least one from the first sample on. @type {Piece[]} */
  pieces = [];
  #pressure = 0;

  /**
   * @param {readonly number[]} rgba
   * @param {number} width
   * @param {boolean} pressed does pressure change the width?
   */
  constructor(rgba, width, pressed) {
    this.rgba = rgba;
    this.width = width;
    // Pieces of translucent ink would be darker where they meet.
    this.pressed = pressed && rgba[3] === 255;
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} pressure 0…1
   * @returns {boolean} false when the sample is where the last one was
   */
  add(x, y, pressure) {
    const piece = this.pieces.at(-1);
    if (piece === undefined) {
      this.#pressure = pressure;
      this.pieces.push({ width: this.#widthNow(), points: [x, y] });
      return true;
    }
    const { points } = piece;
    const [lastX, lastY] = points.slice(-2);
    this.#pressure += FOLLOW * (pressure - this.#pressure);
    if (x === lastX && y === lastY) return false;
    const width = this.#widthNow();
    if (Math.abs(width - piece.width) <= WIDTH_STEP * piece.width || points.length < 4) {
      points.push(x, y);
      return true;
    }
    const [middleX, middleY] = [(lastX + x) / 2, (lastY + y) / 2];
    points.push(middleX, middleY);
    this.pieces.push({ width, points: [middleX, middleY, x, y] });
    return true;
  }

  #widthNow() {
    return penWidth(this.pressed ? this.width * pressureFactor(this.#pressure) : this.width);
  }
}

/**
 * `#rrggbb` and an opacity as R, G, B, A.
 *
 * @param {string} colour
 * @param {number} opacity 0…1
 * @returns {number[]}
 */
export function rgbaOf(colour, opacity) {
  const number = parseInt(colour.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255, Math.round(255 * opacity)];
}

/**
 * R, G, B as `#rrggbb`.
 *
 * @param {ArrayLike<number>} rgba
 */
export function hexOf(rgba) {
  const number = (rgba[0] << 16) | (rgba[1] << 8) | rgba[2];
  return `#${number.toString(16).padStart(6, "0")}`;
}
