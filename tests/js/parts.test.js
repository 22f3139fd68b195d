/** The small parts of the client, each by itself. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ADD_STROKE,
  INSERT_STROKE,
  PACKETS,
  PixelCanvas,
  ProtocolError,
  REMOVE_STROKE,
  REPLACE_STROKE,
  RESET_CANVAS,
  RESIZE_CANVAS_INT,
  Raster,
  Refused,
  SEND_POINTS,
  STAMPS_MAX,
  StrokeCanvas,
  WHITE,
  decodeObject,
  decodeReply,
  decodeRequest,
  divide,
  encodeReply,
  encodeRequest,
  fill,
  header,
  split,
  stamp,
} from "../../polypaint/web/static/client/index.js";
import { Emitter } from "../../polypaint/web/static/client/emitter.js";
import { Queue } from "../../polypaint/web/static/client/queue.js";

const STYLE = { rgba: [1, 2, 3, 4], height: 3, width: 2 };

test("a queue gives what it was given, in order, also after growing and shrinking", () => {
  const queue = new Queue();
  const taken = [];
  for (let i = 0; i < 1000; i++) {
    queue.push(i);
    if (i % 3 === 0) taken.push(queue.shift());
  }
  assert.equal(queue.peek(), taken.length);
  assert.deepEqual([...queue], Array.from({ length: queue.length }, (_, i) => taken.length + i));
  while (queue.length) taken.push(queue.shift());
  assert.deepEqual(taken, Array.from({ length: 1000 }, (_, i) => i));
  assert.equal(queue.shift(), undefined);
});

test("a handler is called until it is ended", () => {
  class Source extends Emitter {
    say(...values) {
      this.emit("said", ...values);
    }
  }
  const source = new Source();
  const heard = [];
  const end = source.on("said", (...values) => heard.push(values));
  source.say(1, 2);
  end();
  source.say(3);
  assert.deepEqual(heard, [[1, 2]]);
});

test("a number is written as i32 if it can be, else as f32", () => {
  const bits = (height) => {
    const values = { index: 0, ...STYLE, height, points: [0, 0] };
    const packet = encodeRequest(ADD_STROKE, 0, "", values);
    return new DataView(packet.buffer).getUint32(16, true);
  };
  assert.equal(bits(3), 3);
  assert.equal(bits(2.5), 0x40200000);
  const angle = { x: 0, y: 0, length: 1, width: 1, angle: 1e-40 };
  assert.equal(decodeRequest(PACKETS[21], encodeRequest(PACKETS[21], 0, "", angle)).angle, 0);
});

test("what does not conform is not encoded", () => {
  const good = { index: 0, ...STYLE, points: [0, 0] };
  for (const bad of [
    { height: 0 },
    { height: NaN },
    { width: 1001 },
    { index: -1 },
    { index: 1.5 },
    { points: [] },
    { points: [1] },
    { points: [0, Infinity] },
    { rgba: [1, 2, 3] },
    { height: "3" },
  ]) {
    assert.throws(() => encodeRequest(ADD_STROKE, 0, "", { ...good, ...bad }), ProtocolError);
  }
  assert.throws(() => encodeRequest(REMOVE_STROKE, 0, "", { indices: [1, 2] }), ProtocolError);
  assert.throws(() => encodeRequest(PACKETS[3], 0, "", { password: "\ud800" }), ProtocolError);
  assert.throws(() => encodeRequest(PACKETS[28], 0, "", { status: 1 }), ProtocolError);
  assert.throws(() => encodeRequest(ADD_STROKE, 0, "x".repeat(256), good), ProtocolError);
  const long = { ...good, points: new Float32Array(20_000) };
  assert.throws(() => encodeRequest(ADD_STROKE, 0, "", long), ProtocolError);
});

test("a packet is decoded as what it is", () => {
  const reply = encodeReply(PACKETS[6], 7, "", { status: 1 });
  assert.deepEqual(decodeReply(PACKETS[6], reply), { status: 1 });
  assert.throws(() => decodeReply(PACKETS[4], reply), ProtocolError);
  assert.equal(header(reply).date, 7);
  assert.throws(() => header(reply.subarray(1)), ProtocolError);
  assert.throws(() => split(reply.subarray(0, 9)), ProtocolError);
  assert.throws(() => decodeObject(reply, true), ProtocolError);
  const info = { Filename: "d", Owner: "é", Protection: "public", Passcode: "" };
  const packet = encodeReply(PACKETS[31], 0, "", { info: JSON.stringify({ ...info, more: 1 }) });
  assert.deepEqual(decodeObject(packet, true), info);
});

test("a long stroke becomes strokes that share an end point", () => {
  const points = Float32Array.from({ length: 2 * 20_000 }, (_, i) => i);
  const parts = divide(INSERT_STROKE, 3, { index: 5, ...STYLE, points });
  assert.deepEqual(parts.map((part) => part.index), [5, 6, 7]);
  let next = 0;
  for (const part of parts) {
    assert.equal(part.points[0], next);
    next = part.points[part.points.length - 2];
    encodeRequest(INSERT_STROKE, 0, "ada", part);
  }
  assert.equal(next, points[points.length - 2]);
  assert.equal(parts.reduce((sum, part) => sum + part.points.length / 2, 0), 20_002);
  assert.throws(() => divide(REPLACE_STROKE, 3, { index: 5, ...STYLE, points }), ProtocolError);
});

test("stamps and indices are divided within their limits", () => {
  const points = Int32Array.from({ length: 2 * 9000 }, (_, i) => i);
  for (const brush of [1, 100, 1000]) {
    const parts = divide(SEND_POINTS, 64, { brush, rgba: STYLE.rgba, points });
    for (const part of parts) {
      encodeRequest(SEND_POINTS, 0, "x".repeat(64), part);
      assert.ok(brush * brush * (part.points.length / 2) <= STAMPS_MAX);
    }
    assert.deepEqual(parts.flatMap((part) => [...part.points]), [...points]);
  }
  const indices = Array.from({ length: 40_000 }, (_, i) => 40_000 - i);
  const parts = divide(REMOVE_STROKE, 1, { indices });
  assert.deepEqual(parts.map((part) => part.indices.length), [16_381, 16_381, 7238]);
  assert.deepEqual(parts.flatMap((part) => part.indices), indices);
});

test("a stroke that is replaced is another object with the same id and holder", () => {
  const canvas = new StrokeCanvas();
  const values = { index: 0, ...STYLE, points: [1, 2, 3, 4] };
  canvas.apply(encodeRequest(ADD_STROKE, 9, "ada", values));
  canvas.apply(encodeRequest(PACKETS[15], 9, "bob", { indices: [0] }));
  const [before] = canvas.strokes;
  canvas.apply(encodeRequest(REPLACE_STROKE, 9, "bob", { ...values, height: 5 }));
  const [after] = canvas.strokes;
  assert.notEqual(before, after);
  assert.deepEqual([before.id, before.height, before.author], [after.id, 3, "ada"]);
  assert.deepEqual([after.height, after.author, after.holder, after.date], [5, "bob", "bob", 9]);
  assert.deepEqual([...after.points, ...after.rgba, after.width], [1, 2, 3, 4, 1, 2, 3, 4, 2]);
  assert.throws(
    () => canvas.apply(encodeRequest(PACKETS[25], 0, "bob", { x: 0, y: 0, rgba: STYLE.rgba })),
    Refused,
  );
});

test("what has changed of a raster is told once", () => {
  const raster = new Raster(300, 200);
  assert.equal(raster.takeChanged(), null);
  stamp(raster, Int32Array.of(10, 10, 20, 5, -500, 0), 3, 7);
  assert.deepEqual(raster.takeChanged(), { left: 9, top: 4, right: 22, bottom: 12 });
  assert.equal(raster.takeChanged(), null);
  raster.fillBox({ left: -5, top: 190, right: 3, bottom: 900 }, 9);
  assert.deepEqual(raster.takeChanged(), { left: 0, top: 190, right: 3, bottom: 200 });
  fill(raster, 1, 195, 8);
  assert.deepEqual(raster.takeChanged(), { left: 0, top: 190, right: 3, bottom: 200 });
  fill(raster, 1, 195, 8);
  assert.equal(raster.takeChanged(), null);
});

test("a canvas tells that all of it has changed when it is cleared or resized", () => {
  const canvas = new PixelCanvas();
  const { raster } = canvas;
  canvas.apply(encodeRequest(RESET_CANVAS, 0, "ada", {}));
  assert.deepEqual(raster.takeChanged(), { left: 0, top: 0, right: 1280, bottom: 720 });
  canvas.apply(encodeRequest(RESIZE_CANVAS_INT, 0, "ada", { length: 9, width: 5 }));
  assert.deepEqual(canvas.raster.takeChanged(), { left: 0, top: 0, right: 9, bottom: 5 });
  assert.equal(canvas.raster.pixels[0], WHITE);
});

test("a fill of a maze grows its stack", () => {
  const raster = new Raster(301, 301);
  for (let y = 1; y < 301; y += 2) {
    for (let x = 0; x < 301; x += 2) raster.pixels[y * 301 + x] = 1;
  }
  fill(raster, 0, 0, 9);
  assert.ok(!raster.pixels.includes(WHITE));
});
