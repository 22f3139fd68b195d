/**
 * node replay.js FILE: what Python replicas did, done again; every difference is an error.
 *
 * N new replica · J expects a join · D draws · R receives · S has sent · F outcomes · C its canvas
 * M new canvas · A applies, or refuses · E the canvas
 */

import assert from "node:assert/strict";

import {
  PixelCanvas,
  Refused,
  Replica,
  StrokeCanvas,
} from "../../polypaint/web/static/client/index.js";
import { json, records } from "./read.js";
import { state } from "./state.js";

const counts = { replicas: 0, packets: 0, canvases: 0 };
/** @type {Replica} */
let replica;
/** @type {PixelCanvas | StrokeCanvas} */
let canvas;

/** @param {Uint8Array} packet @param {boolean} refused */
function apply(packet, refused) {
  try {
    canvas.apply(packet);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    assert.ok(refused, `${error}`);
    return;
  }
  assert.ok(!refused, "this should be refused");
}

for (const [tag, bytes] of records(process.argv[2])) {
  if (tag === "N") {
    const { name, info } = json(bytes);
    replica = new Replica(new TextEncoder().encode(name), info);
    counts.replicas++;
  } else if (tag === "J") replica.expectJoin();
  else if (tag === "D") replica.draw(new Uint8Array(bytes));
  else if (tag === "R") {
    replica.receive(new Uint8Array(bytes));
    counts.packets++;
  } else if (tag === "S") {
    assert.deepEqual(Buffer.concat(replica.packetsToSend()), bytes);
  } else if (tag === "F") {
    const finished = replica.finished().map((own) => [own.outcome, own.reason !== ""]);
    assert.deepEqual(finished, json(bytes));
  } else if (tag === "C") {
    const { settled, loaded, frozen, version, answers, canvas } = replica;
    assert.deepEqual({ settled, loaded, frozen, version, answers, ...state(canvas) }, json(bytes));
    counts.canvases++;
  } else if (tag === "M") canvas = bytes[0] ? new PixelCanvas() : new StrokeCanvas();
  else if (tag === "A") apply(new Uint8Array(bytes.subarray(1)), bytes[0] === 1);
  else if (tag === "E") {
    assert.deepEqual(state(canvas), json(bytes));
    counts.canvases++;
  } else assert.fail(`no such record: ${tag}`);
}
console.log(JSON.stringify(counts));
