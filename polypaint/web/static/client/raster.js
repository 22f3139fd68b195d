/**
 * Pixel work: stamps, fills, placing selections, filters. Bit-equal to the server's.
 *
 * A pixel is a number whose little-endian bytes are R, G, B, A. Coordinates are pixels from the
 * top-left corner, x to the right, y downwards. Everything is clipped to the raster.
 * Protocol: docs/protocol.md, sections 5, 9.
 */

export const WHITE = 0xffffffff;

/** Half-open on the right and below. @typedef {{ left: number, top: number, right: number, bottom: number }} Box */

/** A picture, row by row, and the part of it that has changed since `takeChanged`. */
export class Raster {
  /** @type {Box | null} */
  #changed = null;

  /**
   * @param {number} width pixels in a row
   * @param {number} height rows
   * @param {Uint32Array} [pixels] white if missing
   */
  constructor(width, height, pixels) {
    this.width = width;
    this.height = height;
    this.pixels = pixels ?? new Uint32Array(width * height).fill(WHITE);
  }

  /** Clear to white. */
  clear() {
    this.pixels.fill(WHITE);
    this.touch(0, 0, this.width, this.height);
  }

  /**
   * Note that this part has changed; it lies on the raster.
   *
   * @param {number} left
   * @param {number} top
   * @param {number} right
   * @param {number} bottom
   */
  touch(left, top, right, bottom) {
    if (left >= right || top >= bottom) return;
    const box = this.#changed;
    if (box === null) {
      this.#changed = { left, top, right, bottom };
      return;
    }
    if (left < box.left) box.left = left;
    if (top < box.top) box.top = top;
    if (right > box.right) box.right = right;
    if (bottom > box.bottom) box.bottom = bottom;
  }

  /** The part that holds every change since the last call; null when there is none. */
  takeChanged() {
    const box = this.#changed;
    this.#changed = null;
    return box;
  }

  /**
   * The pixels of a part of the raster, copied.
   *
   * @param {Box} box on the raster
   */
  copy({ left, top, right, bottom }) {
    const width = Math.max(right - left, 0);
    const height = Math.max(bottom - top, 0);
    const part = new Raster(width, height, new Uint32Array(width * height));
    for (let row = 0; row < height; row++) {
      const at = (top + row) * this.width + left;
      part.pixels.set(this.pixels.subarray(at, at + width), row * width);
    }
    return part;
  }

  /**
   * Set a part of the raster to one colour.
   *
   * @param {Box} box clipped to the raster here
   * @param {number} colour
   */
  fillBox({ left, top, right, bottom }, colour) {
    const x = Math.max(left, 0);
    const y = Math.max(top, 0);
    const width = Math.min(right, this.width);
    const height = Math.min(bottom, this.height);
    if (x >= width || y >= height) return;
    for (let row = y; row < height; row++) {
      const at = row * this.width;
      this.pixels.fill(colour, at + x, at + width);
    }
    this.touch(x, y, width, height);
  }
}

/**
 * Set a size×size square for every point; top-left = point - ⌊size / 2⌋.
 *
 * @param {Raster} raster
 * @param {Int32Array} points x, y, x, y …
 * @param {number} size
 * @param {number} colour
 */
export function stamp(raster, points, size, colour) {
  const { width, height, pixels } = raster;
  const half = size >> 1;
  for (let i = 0; i < points.length; i += 2) {
    const x = points[i] - half;
    const y = points[i + 1] - half;
    const left = x < 0 ? 0 : x;
    const top = y < 0 ? 0 : y;
    const right = x + size < width ? x + size : width;
    const bottom = y + size < height ? y + size : height;
    if (left >= right || top >= bottom) continue;
    if (size < 16) {
      for (let row = top; row < bottom; row++) {
        const end = row * width + right;
        for (let at = row * width + left; at < end; at++) pixels[at] = colour;
      }
    } else {
      for (let row = top; row < bottom; row++) {
        pixels.fill(colour, row * width + left, row * width + right);
      }
    }
    raster.touch(left, top, right, bottom);
  }
}

/**
 * Fill the 4-connected region of equal pixels around (x, y), which is on the raster.
 *
 * @param {Raster} raster
 * @param {number} x
 * @param {number} y
 * @param {number} colour
 */
export function fill(raster, x, y, colour) {
  const { width, height, pixels } = raster;
  const old = pixels[y * width + x];
  if (old === colour) return;
  let stack = new Int32Array(3 * 1024); // left, right (exclusive), row
  stack[0] = x;
  stack[1] = x + 1;
  stack[2] = y;
  let used = 3;
  let [least, most, top, bottom] = [x, x + 1, y, y + 1];
  while (used) {
    const row = stack[--used];
    const end = stack[--used];
    let at = stack[--used];
    const start = row * width;
    while (at < end) {
      if (pixels[start + at] !== old) {
        at++;
        continue;
      }
      let left = at;
      while (left > 0 && pixels[start + left - 1] === old) left--;
      let right = at + 1;
      while (right < width && pixels[start + right] === old) right++;
      pixels.fill(colour, start + left, start + right);
      at = right;
      if (left < least) least = left;
      if (right > most) most = right;
      if (row < top) top = row;
      if (row >= bottom) bottom = row + 1;
      if (used + 6 > stack.length) {
        const grown = new Int32Array(2 * stack.length);
        grown.set(stack);
        stack = grown;
      }
      for (let next = row - 1; next <= row + 1; next += 2) {
        if (next < 0 || next >= height) continue;
        stack[used++] = left;
        stack[used++] = right;
        stack[used++] = next;
      }
    }
  }
  raster.touch(least, top, most, bottom);
}

const RADIANS = 3.141592653589793 / 180;
// Polynomials of the sine and the cosine on ±45 degrees.
const S1 = -1.66666666666666324348e-1;
const S2 = 8.33333333332248946124e-3;
const S3 = -1.98412698298579493134e-4;
const S4 = 2.75573137070700676789e-6;
const S5 = -2.50507602534068634195e-8;
const S6 = 1.58969099521155010221e-10;
const C1 = 4.16666666666666019037e-2;
const C2 = -1.38888888888741095749e-3;
const C3 = 2.48015872894767294178e-5;
const C4 = -2.75573143513906633035e-7;
const C5 = 2.08757232129817482790e-9;
const C6 = -1.13596475577881948265e-11;

/**
 * Cosine and sine of a finite angle in degrees, as the protocol specifies them: not those of
 * `Math`, which differ from engine to engine.
 *
 * @param {number} angle
 * @returns {[number, number]}
 */
export function turn(angle) {
  const rest = angle % 360;
  const quarters = Math.floor(rest / 90 + 0.5);
  const x = (rest - 90 * quarters) * RADIANS;
  const z = x * x;
  const s = x + x * z * (S1 + z * (S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)))));
  const c = 1 - (0.5 * z - z * z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * C6))))));
  switch (quarters & 3) {
    case 0:
      return [c, s];
    case 1:
      return [-s, c];
    case 2:
      return [-c, -s];
    default:
      return [s, -c];
  }
}

/** @typedef {{ x: number, y: number, width: number, height: number }} Rectangle */

/**
 * Write a floating selection onto the raster, nearest neighbour. The order of the operations is
 * part of the protocol.
 *
 * @param {Raster} raster
 * @param {Raster} source the pixels that were cut
 * @param {{ x: number, y: number }} offset where in the cut rectangle they lie
 * @param {{ width: number, height: number }} cut the rectangle as it was drawn
 * @param {Rectangle} target where it is now
 * @param {number} angle degrees clockwise about the target's centre
 */
export function place(raster, source, offset, cut, target, angle) {
  const [cosine, sine] = turn(angle);
  const { width, height } = target;
  const centreX = target.x + width / 2;
  const centreY = target.y + height / 2;
  const reachX = (Math.abs(width * cosine) + Math.abs(height * sine)) / 2 + 1;
  const reachY = (Math.abs(width * sine) + Math.abs(height * cosine)) / 2 + 1;
  const left = Math.max(0, Math.floor(centreX - reachX));
  const top = Math.max(0, Math.floor(centreY - reachY));
  const right = Math.min(raster.width, Math.floor(centreX + reachX) + 1);
  const bottom = Math.min(raster.height, Math.floor(centreY + reachY) + 1);
  const [cutWidth, cutHeight] = [cut.width, cut.height];
  const [halfWidth, halfHeight] = [cutWidth / 2, cutHeight / 2];
  const { pixels } = raster;
  const from = source.pixels;
  for (let y = top; y < bottom; y++) {
    const dy = y + 0.5 - centreY;
    for (let x = left; x < right; x++) {
      const dx = x + 0.5 - centreX;
      const u = ((dx * cosine + dy * sine) / width) * cutWidth + halfWidth;
      const v = ((dy * cosine - dx * sine) / height) * cutHeight + halfHeight;
      if (u < 0 || u >= cutWidth || v < 0 || v >= cutHeight) continue;
      const column = Math.floor(u) - offset.x;
      const row = Math.floor(v) - offset.y;
      if (column < 0 || column >= source.width || row < 0 || row >= source.height) continue;
      pixels[y * raster.width + x] = from[row * source.width + column];
    }
  }
  raster.touch(left, top, right, bottom);
}

// ------------------------------------------------------------------------------- filters
/** @param {Raster} raster */
function grayscale({ pixels }) {
  for (let i = 0; i < pixels.length; i++) {
    const pixel = pixels[i];
    const weighted = 299 * (pixel & 255) + 587 * ((pixel >> 8) & 255) + 114 * ((pixel >> 16) & 255);
    pixels[i] = (pixel & 0xff000000) | (Math.floor((weighted + 500) / 1000) * 0x10101);
  }
}

/** @param {Raster} raster */
function invert({ pixels }) {
  for (let i = 0; i < pixels.length; i++) pixels[i] ^= 0xffffff;
}

/**
 * [1 2 1; 2 4 2; 1 2 1] / 16 on all four channels, edges repeated, halves rounded up.
 *
 * @param {Raster} raster
 */
function blur({ width, height, pixels }) {
  if (!pixels.length) return;
  const bytes = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  const row = 4 * width;
  let above = bytes.slice(0, row);
  let here = bytes.slice(0, row);
  const sums = new Uint16Array(row + 8); // of three rows, with a column more at either side
  for (let y = 0; y < height; y++) {
    const start = y * row;
    const below = y + 1 < height ? start + row : start;
    for (let i = 0; i < row; i++) sums[i + 4] = above[i] + 2 * here[i] + bytes[below + i];
    for (let i = 0; i < 4; i++) {
      sums[i] = sums[i + 4];
      sums[row + 4 + i] = sums[row + i];
    }
    const spare = above;
    above = here;
    here = spare;
    here.set(bytes.subarray(below, below + row));
    for (let i = 0; i < row; i++) {
      bytes[start + i] = (sums[i] + 2 * sums[i + 4] + sums[i + 8] + 8) >> 4;
    }
  }
}

/** Filters that change a raster in place, by name. @type {ReadonlyMap<string, (raster: Raster) => void>} */
export const FILTERS = new Map([
  ["grayscale", grayscale],
  ["invert", invert],
  ["blur", blur],
]);
