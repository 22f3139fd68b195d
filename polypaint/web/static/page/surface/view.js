/**
 * Where the paper lies on the screen: pan and zoom. Pure: no DOM.
 *
 * Screen coordinates are CSS pixels from the surface's top-left corner.
 */

/** @import { Box, Point } from "./boxes.js" */

export const ZOOM_MIN = 0.05;
export const ZOOM_MAX = 32;
/** So much of the paper stays on the screen, in CSS pixels. */
const KEPT = 48;

/** See the module. */
export class View {
  zoom = 1;
  /** Of the surface, in CSS pixels. */
  width = 1;
  height = 1;
  /** Device pixels in a CSS pixel. */
  ratio = 1;
  paper = { width: 1, height: 1 };
  /** What `fit` leaves free, in CSS pixels. */
  margins = { top: 24, right: 24, bottom: 24, left: 24 };
  #x = 0;
  #y = 0;

  /** Where the paper's left edge is: on a whole device pixel, so that tiles stay crisp. */
  get left() {
    return Math.round(this.#x * this.ratio) / this.ratio;
  }

  /** Where the paper's top edge is. */
  get top() {
    return Math.round(this.#y * this.ratio) / this.ratio;
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {Point}
   */
  toPaper(x, y) {
    return { x: (x - this.left) / this.zoom, y: (y - this.top) / this.zoom };
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {Point}
   */
  toScreen(x, y) {
    return { x: x * this.zoom + this.left, y: y * this.zoom + this.top };
  }

  /** What of the plane of the paper is on the screen. @returns {Box} */
  get visible() {
    const a = this.toPaper(0, 0);
    const b = this.toPaper(this.width, this.height);
    return { left: a.x, top: a.y, right: b.x, bottom: b.y };
  }

  /**
   * @param {number} dx CSS pixels
   * @param {number} dy
   */
  pan(dx, dy) {
    this.#x += dx;
    this.#y += dy;
    this.#keep();
  }

  /**
   * Zoom so that what is at this place of the screen stays there.
   *
   * @param {number} x
   * @param {number} y
   * @param {number} zoom
   */
  zoomAt(x, y, zoom) {
    const wanted = Math.max(ZOOM_MIN, Math.min(ZOOM_MAX, zoom));
    const factor = wanted / this.zoom;
    this.#x = x - (x - this.#x) * factor;
    this.#y = y - (y - this.#y) * factor;
    this.zoom = wanted;
    this.#keep();
  }

  /** Show the whole paper, at most at its own size. */
  fit() {
    const { top, right, bottom, left } = this.margins;
    const { width, height } = this.paper;
    const across = (this.width - left - right) / width;
    const down = (this.height - top - bottom) / height;
    this.zoom = Math.max(ZOOM_MIN, Math.min(1, across, down));
    this.centreOn(width / 2, height / 2);
    this.pan((left - right) / 2, (top - bottom) / 2);
  }

  /**
   * Bring a place of the paper to the middle of the screen.
   *
   * @param {number} x
   * @param {number} y
   */
  centreOn(x, y) {
    this.#x = this.width / 2 - x * this.zoom;
    this.#y = this.height / 2 - y * this.zoom;
    this.#keep();
  }

  /**
   * The surface has another size: what was in the middle stays there.
   *
   * @param {number} width
   * @param {number} height
   * @param {number} ratio
   */
  resize(width, height, ratio) {
    this.#x += (width - this.width) / 2;
    this.#y += (height - this.height) / 2;
    Object.assign(this, { width, height, ratio });
    this.#keep();
  }

  /** Never lose the paper. */
  #keep() {
    const { width, height } = this.paper;
    const keptX = Math.min(KEPT, this.width / 2);
    const keptY = Math.min(KEPT, this.height / 2);
    this.#x = Math.max(keptX - width * this.zoom, Math.min(this.width - keptX, this.#x));
    this.#y = Math.max(keptY - height * this.zoom, Math.min(this.height - keptY, this.#y));
  }
}

const STOPS = [0.05, 0.1, 0.25, 0.33, 0.5, 0.67, 0.75, 1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32];

/**
 * The next larger (direction 1) or smaller (-1) step of zoom.
 *
 * @param {number} zoom
 * @param {1 | -1} direction
 */
export function zoomStep(zoom, direction) {
  if (direction > 0) return STOPS.find((stop) => stop > zoom * 1.01) ?? ZOOM_MAX;
  return STOPS.findLast((stop) => stop < zoom * 0.99) ?? ZOOM_MIN;
}
