/** What tests in Python leave for JavaScript to compare: tagged records in a file. */

import { readFileSync } from "node:fs";

/**
 * Records of u8 tag · u32 length · bytes, little endian.
 *
 * @param {string} path
 * @returns {Generator<[string, Buffer]>}
 */
export function* records(path) {
  const data = readFileSync(path);
  for (let at = 0; at < data.length; ) {
    const length = data.readUInt32LE(at + 1);
    yield [String.fromCharCode(data[at]), data.subarray(at + 5, at + 5 + length)];
    at += 5 + length;
  }
}

/** @param {Buffer} bytes @returns {any} */
export function json(bytes) {
  return JSON.parse(bytes.toString());
}
