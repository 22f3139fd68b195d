/** The protocol's examples: every packet and stream of tests/vectors/paint.json. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  PACKETS,
  Splitter,
  author,
  check,
  decode,
  encodeReply,
  encodeRequest,
  header,
} from "../../polypaint/web/static/client/index.js";

const VECTORS = JSON.parse(readFileSync(new URL("../vectors/paint.json", import.meta.url), "utf8"));
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

for (const { name, hex, direction, decoded } of VECTORS.vectors) {
  test(name, () => {
    const packet = bytes(hex);
    const reply = direction !== "client->server";
    const kind = PACKETS[packet[2]];
    const { type, date, dataAt } = header(packet);
    assert.deepEqual([packet.length, type, date], [decoded.size, decoded.type, decoded.date]);
    assert.deepEqual([author(packet), dataAt], [decoded.name, 8 + decoded.name_len]);
    assert.equal(check(packet, reply), "");
    const values = decode(packet, reply);
    for (const key of ["index", "rgba", "brush", "points", "indices", "x", "y", "angle", "status"]) {
      if (!(key in decoded)) continue;
      const value = ArrayBuffer.isView(values[key]) ? [...values[key]] : values[key];
      const wanted = Array.isArray(decoded[key]) ? decoded[key].flat() : decoded[key];
      assert.deepEqual(value, wanted);
    }
    if ("json" in decoded) {
      assert.deepEqual(JSON.parse(values[kind[reply ? "reply" : "request"].tail.name]), decoded.json);
    }
    const encode = reply ? encodeReply : encodeRequest;
    assert.deepEqual(decode(encode(kind, date, decoded.name, values), reply), values);
  });
}

for (const { name, chunks_hex, packets_hex } of VECTORS.streams) {
  test(name, () => {
    const splitter = new Splitter();
    const packets = chunks_hex.flatMap((chunk) => splitter.feed(bytes(chunk)));
    assert.deepEqual(packets.map((p) => Buffer.from(p).toString("hex")), packets_hex);
    assert.equal(splitter.pending, 0);
  });
}

test("every type has a name of the specification", () => {
  const declared = PACKETS.slice(0, 128).filter(Boolean); // the rest is of the extension
  const names = Object.fromEntries(declared.map((kind) => [kind.id, kind.name]));
  assert.deepEqual(names, VECTORS.types);
});
