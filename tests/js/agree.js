/**
 * node agree.js FILE: codec and raster against what Python found; every difference is an error.
 *
 * P a packet and its values, or what is wrong with it · X a stream and how it was split ·
 * J a JSON text and whether it holds strings · T an angle and its turn · L a placement
 *
 * Prints, for each P that conforms, the packet that its values encode to.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import * as client from "../../polypaint/web/static/client/index.js";
import { parseStrings } from "../../polypaint/web/static/client/strictjson.js";
import { json, records } from "./read.js";

const { PACKETS, ProtocolError, Raster, Splitter } = client;

/** @param {Record<string, any>} values */
function plain(values) {
  return Object.fromEntries(
    Object.entries(values).map(([k, v]) => [k, ArrayBuffer.isView(v) ? [...v] : v]),
  );
}

/** @param {any} a @param {any} b */
function equal(a, b) {
  // Numbers by value: -0 is 0.
  assert.deepEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
}

/** @param {any} record */
function packet({ hex, reply, wrong, values }) {
  const bytes = new Uint8Array(Buffer.from(hex, "hex"));
  let found;
  try {
    found = client.decode(bytes, reply);
  } catch (error) {
    assert.ok(error instanceof ProtocolError, `${error}`);
    assert.equal(error.message, wrong, hex);
    return;
  }
  assert.equal("", wrong, hex);
  assert.equal(client.check(bytes, reply), "");
  equal(plain(found), values);
  const kind = PACKETS[bytes[2]];
  const { date, name } = client.header(bytes);
  const encode = reply ? client.encodeReply : client.encodeRequest;
  const again = encode(kind, date, name.slice(), found);
  equal(plain(client.decode(again, reply)), values);
  console.log(Buffer.from(again).toString("hex"));
}

/** @param {any} record */
function stream({ chunks, packets, broken, pending }) {
  const splitter = new Splitter();
  const found = chunks.flatMap((hex) => splitter.feed(new Uint8Array(Buffer.from(hex, "hex"))));
  assert.deepEqual(found.map((p) => Buffer.from(p).toString("hex")), packets);
  assert.equal(splitter.broken, broken);
  assert.equal(splitter.pending, pending);
}

/** @param {any} record */
function strings({ text, keys, found }) {
  try {
    assert.deepEqual(parseStrings(text, keys), found, text);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    assert.equal(found, null, `${text}: ${error.message}`);
  }
}

/** @param {Buffer} bytes */
function turned(bytes) {
  const wanted = [bytes.readDoubleLE(8), bytes.readDoubleLE(16)];
  assert.deepEqual(client.turn(bytes.readDoubleLE(0)), wanted);
}

/** @param {Buffer} bytes f64 angle · 12 i32 · sha256 */
function placed(bytes) {
  const angle = bytes.readDoubleLE(0);
  const [w, h, columns, rows, offsetX, offsetY, cutW, cutH, x, y, width, height] = new Int32Array(
    Uint8Array.from(bytes.subarray(8, 56)).buffer,
  );
  const raster = new Raster(w, h, new Uint32Array(w * h));
  const source = new Raster(columns, rows, Uint32Array.from({ length: columns * rows }, (_, i) => i + 1));
  const [offset, cut] = [{ x: offsetX, y: offsetY }, { width: cutW, height: cutH }];
  client.place(raster, source, offset, cut, { x, y, width, height }, angle);
  const found = createHash("sha256").update(new Uint8Array(raster.pixels.buffer)).digest();
  assert.deepEqual(found, bytes.subarray(56), `${angle} ${[x, y, width, height]}`);
  const box = raster.takeChanged() ?? { left: 0, top: 0, right: 0, bottom: 0 };
  raster.pixels.forEach((pixel, at) => {
    const [column, row] = [at % w, Math.floor(at / w)];
    const inside = box.left <= column && column < box.right && box.top <= row && row < box.bottom;
    assert.ok(!pixel || inside, "a change outside the box that has changed");
  });
}

for (const [tag, bytes] of records(process.argv[2])) {
  if (tag === "P") packet(json(bytes));
  else if (tag === "X") stream(json(bytes));
  else if (tag === "J") strings(json(bytes));
  else if (tag === "T") turned(bytes);
  else if (tag === "L") placed(bytes);
  else assert.fail(`no such record: ${tag}`);
}
