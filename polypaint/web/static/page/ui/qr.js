/**
 * QR codes (ISO/IEC 18004): bytes, error correction level M, versions 1 to 40. No DOM.
 * Counterpart: `share.js`, which draws them.
 */

/** Error correction codewords of a block, and blocks, by version from 1. Level M. */
const CODEWORDS = [
  10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28,
];
const BLOCKS = [
  1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26,
  28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49,
];
const BYTE_MODE = 4;
const PADDING = [0xec, 0x11];
const LONG_LENGTH_VERSION = 10;
const VERSION_BITS_VERSION = 7;

/** The masks, of which the best is chosen. @type {((x: number, y: number) => boolean)[]} */
const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** Squares of a code, row by row; true: dark. @typedef {boolean[][]} Squares */

/**
 * The code of a text.
 *
 * @param {string} text
 * @param {number} [mask] instead of the best
 * @returns {Squares}
 * @throws {RangeError} when it is too long
 */
export function qrCode(text, mask) {
  const bytes = new TextEncoder().encode(text);
  const version = smallest(bytes.length);
  const { squares, fixed } = frame(version);
  place(squares, fixed, interleaved(codewords(bytes, version), version));
  let best = squares;
  let least = Infinity;
  for (let each = mask ?? 0; each <= (mask ?? MASKS.length - 1); each++) {
    const masked = withMask(squares, fixed, each);
    const found = penalty(masked);
    if (found < least) [best, least] = [masked, found];
  }
  return best;
}

/** @param {number} version */
function sizeOf(version) {
  return version * 4 + 17;
}

/** Where the centres of the alignment patterns are. @param {number} version */
function alignments(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.floor((version * 8 + count * 3 + 5) / (count * 4 - 4)) * 2;
  const found = [6];
  for (let i = count - 2; i >= 0; i--) found.push(sizeOf(version) - 7 - i * step);
  return found;
}

/** All codewords of a version. @param {number} version */
function capacity(version) {
  let bits = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const count = Math.floor(version / 7) + 2;
    bits -= (25 * count - 10) * count - 55;
    if (version >= VERSION_BITS_VERSION) bits -= 36;
  }
  return Math.floor(bits / 8);
}

/** Codewords that hold data. @param {number} version */
function dataCapacity(version) {
  return capacity(version) - (CODEWORDS[version - 1] ?? 0) * (BLOCKS[version - 1] ?? 0);
}

/** @param {number} length in bytes */
function smallest(length) {
  for (let version = 1; version <= BLOCKS.length; version++) {
    const head = version < LONG_LENGTH_VERSION ? 12 : 20;
    if (head + 8 * length <= 8 * dataCapacity(version)) return version;
  }
  throw new RangeError("too long for a QR code");
}

/**
 * The data: mode, length, bytes, padding.
 *
 * @param {Uint8Array} bytes
 * @param {number} version
 */
function codewords(bytes, version) {
  const lengthBits = version < LONG_LENGTH_VERSION ? 8 : 16;
  const most = dataCapacity(version);
  let bits = BYTE_MODE.toString(2).padStart(4, "0");
  bits += bytes.length.toString(2).padStart(lengthBits, "0");
  for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
  bits += "0".repeat(Math.min(4, 8 * most - bits.length));
  bits += "0".repeat((8 - (bits.length % 8)) % 8);
  const found = (bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2));
  for (let i = 0; found.length < most; i++) found.push(PADDING[i % 2] ?? 0);
  return found;
}

/**
 * Data and error correction of all blocks, in the order in which they are placed.
 *
 * @param {number[]} data
 * @param {number} version
 */
function interleaved(data, version) {
  const count = BLOCKS[version - 1] ?? 1;
  const correction = CODEWORDS[version - 1] ?? 0;
  const total = capacity(version);
  const short = Math.floor(total / count) - correction;
  const long = total % count;
  const divisor = generator(correction);
  /** @type {number[][]} */
  const blocks = [];
  for (let i = 0, at = 0; i < count; i++) {
    const length = short + (i < count - long ? 0 : 1);
    blocks.push(data.slice(at, at + length));
    at += length;
  }
  const corrections = blocks.map((block) => remainder(block, divisor));
  /** @type {number[]} */
  const found = [];
  for (let i = 0; i <= short; i++) {
    for (const block of blocks) if (i < block.length) found.push(block[i] ?? 0);
  }
  for (let i = 0; i < correction; i++) for (const each of corrections) found.push(each[i] ?? 0);
  return found;
}

/**
 * A product in GF(2⁸) modulo x⁸ + x⁴ + x³ + x² + 1.
 *
 * @param {number} a
 * @param {number} b
 */
function product(a, b) {
  let found = 0;
  for (let bit = 7; bit >= 0; bit--) {
    found = (found << 1) ^ ((found >>> 7) * 0x11d);
    found ^= ((b >>> bit) & 1) * a;
  }
  return found;
}

/** The Reed-Solomon generator polynomial without its leading 1. @param {number} degree */
function generator(degree) {
  const found = new Array(degree).fill(0);
  found[degree - 1] = 1;
  for (let i = 0, root = 1; i < degree; i++, root = product(root, 2)) {
    for (let j = 0; j < degree; j++) {
      found[j] = product(found[j], root) ^ (found[j + 1] ?? 0);
    }
  }
  return found;
}

/**
 * @param {number[]} block
 * @param {number[]} divisor
 */
function remainder(block, divisor) {
  const found = divisor.map(() => 0);
  for (const byte of block) {
    const factor = byte ^ (found.shift() ?? 0);
    found.push(0);
    divisor.forEach((each, i) => {
      found[i] = (found[i] ?? 0) ^ product(each, factor);
    });
  }
  return found;
}

/**
 * What every code of a version has; fixed: squares that hold no data.
 *
 * @param {number} version
 */
function frame(version) {
  const size = sizeOf(version);
  const squares = grid(size);
  const fixed = grid(size);
  /** @type {(x: number, y: number, dark: boolean) => void} */
  const set = (x, y, dark) => {
    const row = squares[y];
    const mark = fixed[y];
    if (!row || !mark || x < 0 || x >= size) return;
    row[x] = dark;
    mark[x] = true;
  };
  for (let i = 0; i < size; i++) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  for (const [x, y] of /** @type {const} */ ([[3, 3], [size - 4, 3], [3, size - 4]])) {
    square(x, y, 4, (distance) => distance !== 2 && distance !== 4, set);
  }
  const centres = alignments(version);
  const last = centres.length - 1;
  centres.forEach((x, i) => {
    centres.forEach((y, j) => {
      const corner = (i === 0 && (j === 0 || j === last)) || (i === last && j === 0);
      if (!corner) square(x, y, 2, (distance) => distance !== 1, set);
    });
  });
  formatBits(0, size, set);
  if (version >= VERSION_BITS_VERSION) versionBits(version, size, set);
  return { squares, fixed };
}

/**
 * @param {number} size
 * @returns {Squares}
 */
function grid(size) {
  return Array.from({ length: size }, () => new Array(size).fill(false));
}

/**
 * Rings around a centre.
 *
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 * @param {(distance: number) => boolean} dark
 * @param {(x: number, y: number, dark: boolean) => void} set
 */
function square(x, y, radius, dark, set) {
  for (let i = -radius; i <= radius; i++) {
    for (let j = -radius; j <= radius; j++) {
      set(x + i, y + j, dark(Math.max(Math.abs(i), Math.abs(j))));
    }
  }
}

/**
 * @param {number} mask
 * @param {number} size
 * @param {(x: number, y: number, dark: boolean) => void} set
 */
function formatBits(mask, size, set) {
  let rest = mask; // level M is 0
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  const bit = (/** @type {number} */ i) => ((bits >>> i) & 1) === 1;
  for (let i = 0; i <= 5; i++) set(8, i, bit(i));
  set(8, 7, bit(6));
  set(8, 8, bit(7));
  set(7, 8, bit(8));
  for (let i = 9; i < 15; i++) set(14 - i, 8, bit(i));
  for (let i = 0; i < 8; i++) set(size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i++) set(8, size - 15 + i, bit(i));
  set(8, size - 8, true);
}

/**
 * @param {number} version
 * @param {number} size
 * @param {(x: number, y: number, dark: boolean) => void} set
 */
function versionBits(version, size, set) {
  let rest = version;
  for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
  const bits = (version << 12) | rest;
  for (let i = 0; i < 18; i++) {
    const dark = ((bits >>> i) & 1) === 1;
    const far = size - 11 + (i % 3);
    const near = Math.floor(i / 3);
    set(far, near, dark);
    set(near, far, dark);
  }
}

/**
 * Put the data where nothing is fixed: in pairs of columns from the right, up and down in turn.
 *
 * @param {Squares} squares
 * @param {Squares} fixed
 * @param {number[]} data
 */
function place(squares, fixed, data) {
  const size = squares.length;
  let i = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step++) {
      const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        const row = squares[y];
        if (!row || fixed[y]?.[x] || i >= data.length * 8) continue;
        row[x] = (((data[i >>> 3] ?? 0) >>> (7 - (i & 7))) & 1) === 1;
        i++;
      }
    }
  }
}

/**
 * @param {Squares} squares
 * @param {Squares} fixed
 * @param {number} mask
 */
function withMask(squares, fixed, mask) {
  const flips = MASKS[mask] ?? (() => false);
  const masked = squares.map((row, y) =>
    row.map((dark, x) => (fixed[y]?.[x] ? dark : dark !== flips(x, y))),
  );
  formatBits(mask, squares.length, (x, y, dark) => {
    const row = masked[y];
    if (row) row[x] = dark;
  });
  return masked;
}

/** How hard a code is to read: the less, the better. @param {Squares} squares */
function penalty(squares) {
  const size = squares.length;
  const columns = squares.map((_, x) => squares.map((row) => row[x] ?? false));
  let found = 0;
  for (const line of [...squares, ...columns]) {
    const text = line.map((dark) => (dark ? "1" : "0")).join("");
    for (const [run] of text.matchAll(/0{5,}|1{5,}/g)) found += run.length - 2;
    found += 40 * [...text.matchAll(/(?=00001011101|10111010000)/g)].length;
  }
  for (let y = 1; y < size; y++) {
    for (let x = 1; x < size; x++) {
      const dark = squares[y]?.[x];
      const same = [squares[y - 1]?.[x], squares[y]?.[x - 1], squares[y - 1]?.[x - 1]];
      if (same.every((each) => each === dark)) found += 3;
    }
  }
  const dark = squares.flat().filter(Boolean).length;
  return found + 10 * Math.floor(Math.abs(dark * 20 - size * size * 10) / (size * size));
}
