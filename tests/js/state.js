/** A canvas in few words: sizes, selections, digests. Counterpart: `state` in test_javascript.py. */

import { createHash } from "node:crypto";

import { withIndex } from "../../polypaint/web/static/client/codec.js";

/** @param {Iterable<Uint8Array>} parts */
function digest(parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** @param {Uint32Array} pixels */
function bytesOf(pixels) {
  return new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
}

/** What a canvas shows, for comparing. @param {any} canvas */
export function state(canvas) {
  const { mode, length, width } = canvas;
  if (mode === "stroke") {
    const strokes = digest(canvas.strokes.map((s, i) => withIndex(s.packet, 12, i)));
    return { mode, length, width, strokes, selected: Object.fromEntries(canvas.selected()) };
  }
  const floating = Object.fromEntries(
    [...canvas.floating].map(([name, { source, offset, cut, target, angle }]) => [
      name,
      {
        source: [source.height, source.width, digest([bytesOf(source.pixels)])],
        offset: [offset.x, offset.y],
        cut: [cut.x, cut.y, cut.width, cut.height],
        target: [target.x, target.y, target.width, target.height],
        angle,
      },
    ]),
  );
  const pixels = digest([bytesOf(canvas.raster.pixels)]);
  return { mode, length, width, pixels, floating, unsure: canvas.needsClientSnapshot };
}
