/**
 * node artist.js MODULE ADDRESS NAME LOBBY SESSION: joins, draws much, and says what it sees in
 * the end. SESSION: true to have the extension.
 *
 * MODULE: polypaint-client, or where it lies. Says "joined"; when told "draw", draws and says
 * what came of it; when the canvas is 301 wide says a digest of it, and waits for "leave".
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

const [, , module, address, name, lobby, extension = "false"] = process.argv;
const client = await import(module);
const session = await client.connect(address, name, "pw", {
  create: true,
  session: extension === "true",
});
const drawing = await session.join(lobby);
const { canvas } = drawing;
const rgba = [name.length, 7, 9, 255];
const done = [];
console.log("joined");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
assert.equal((await lines.next()).value, "draw");

/** Refused is an answer, too. */
function draw(kind, values) {
  done.push(drawing.draw(kind, values).catch((error) => `${error.name}: ${error.message}`));
}

for (let i = 0; i < 40; i++) {
  const [x, y] = [(i * 37) % 280, (i * 53) % 180];
  if (canvas.mode === "stroke") {
    draw(client.ADD_STROKE, { index: 0, rgba, height: 2, width: 2.5, points: [x, y, i, i] });
    if (i % 10 === 5) draw(client.SELECTED_STROKE, { indices: [i % 7] });
  } else {
    draw(client.SEND_POINTS, { brush: 9, rgba, points: [x, y, x + 4, y] });
    if (i % 10 === 2) draw(client.CREATE_SELECTION, { x, y, length: 30, width: 20, angle: 0 });
    if (i % 10 === 4) draw(client.UPDATE_SELECTION, { x, y, length: 40, width: 20.5, angle: 33.3 });
    if (i % 10 === 5) draw(client.APPLY_FILTER_SELECTION, { filter_name: "blur" });
    if (i % 10 === 6) draw(client.REMOVE_SELECTION, {});
    if (i % 10 === 8) draw(client.BUCKET_FILL, { x: 1, y: 1, rgba });
  }
  if (i % 8 === 7) await done.at(-1);
}
const outcomes = await Promise.all(done);
console.log(JSON.stringify(outcomes));
await drawing.waitFor((seen) => seen.length === 301);
await drawing.settled();
const hash = createHash("sha256");
if (drawing.canvas.mode === "stroke") {
  drawing.canvas.strokes.forEach((stroke) => {
    const { points, author, height, holder } = stroke;
    hash.update(`${author} ${[...stroke.rgba]} ${height} ${stroke.width} ${[...points]} ${holder}\n`);
  });
} else hash.update(new Uint8Array(drawing.canvas.raster.pixels.buffer));
console.log(hash.digest("hex"));
assert.equal((await lines.next()).value, "leave"); // who leaves lets go of what they hold
session.close();
process.stdin.destroy();
