/**
 * Bytes of the paint protocol → values, and back, by the layouts in `packets.js`. No I/O.
 *
 * A packet (little endian): u16 size · u8 type · u32 date · u8 length N · N bytes of name · data.
 * Values are objects by the names in the layout: number, index, f64, i32 → number · rgba →
 * Uint8Array of 4 · text → string · points → x, y, x, y … in one Float32Array or Int32Array ·
 * indices → Int32Array. Arrays are copies. Protocol: docs/protocol.md, sections 1-3.
 */

import { ProtocolError } from "./errors.js";
import { HEADER_BYTES, NUMBER_MAX, PACKETS, PACKET_BYTES_MAX } from "./packets.js";
import { isWellFormed, parseStrings } from "./strictjson.js";

/** @import { Body, Packet, Tail } from "./packets.js" */

/**
 * What `encode` takes for values of this shape: any array-like object for an array.
 *
 * @template Values
 * @typedef {{ [Key in keyof Values]: Values[Key] extends string | number ? Values[Key] : ArrayLike<number> }} Loose
 */

const EMPTY_LIST = "the list is empty";
const FINITE = "a number is NaN or infinite";
const INDEX = "an index is negative or not a whole number";
const LAYOUT = "no such packet in this direction";
const LENGTH = "data shorter or longer than the layout";
const DIVIDE = "the list's length does not divide";
const RANGE = "a number is out of range";
const ORDER = "indices are not strictly descending";
const UTF8 = "text is not UTF-8";
const RULE = "more pixels than the limit, or a corner beyond it";
const TEXT = "text is longer or shorter than the limit";
/** Pixel coordinates written as f32 are clamped to this: far away. */
const COORDINATE_MAX = 1 << 24;
const NAME_BYTES_MAX = 255;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Fields of the packet that was checked last. */
const checked = new Float64Array(8);

/**
 * @param {string} text
 * @throws {ProtocolError} for a lone surrogate
 */
export function utf8(text) {
  if (!isWellFormed(text)) throw new ProtocolError("text has a lone surrogate");
  return encoder.encode(text);
}

/** @param {Uint8Array} bytes */
function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// ------------------------------------------------------------------------------- framing
/**
 * Size of the packet that starts at `at`: 0 when bytes are missing, -1 when framing is lost.
 *
 * @param {Uint8Array} data
 * @param {number} at
 */
function frame(data, at) {
  const left = data.length - at;
  if (left < 2) return 0;
  const size = data[at] | (data[at + 1] << 8);
  if (size < HEADER_BYTES) return -1;
  if (left >= HEADER_BYTES && size < HEADER_BYTES + data[at + 7]) return -1;
  return left >= size ? size : 0;
}

/**
 * Bytes of a stream as they arrive → whole packets. One per connection; over WebSocket, where a
 * message is one packet, it is not needed.
 *
 * After framing is lost (`broken`), everything more is ignored; packets before it still count.
 */
export class Splitter {
  broken = false;
  #rest = new Uint8Array(0);

  /** Bytes of an incomplete packet that are held, at most 65534. */
  get pending() {
    return this.#rest.length;
  }

  /**
   * Whole packets that `data` completes. They may be views of it. Never throws.
   *
   * @param {Uint8Array} data
   * @returns {Uint8Array[]}
   */
  feed(data) {
    /** @type {Uint8Array[]} */
    const packets = [];
    if (this.broken) return packets;
    let all = data;
    if (this.#rest.length) {
      all = new Uint8Array(this.#rest.length + data.length);
      all.set(this.#rest);
      all.set(data, this.#rest.length);
    }
    let at = 0;
    let size = 0;
    while (at < all.length && (size = frame(all, at)) > 0) {
      packets.push(all.subarray(at, at + size));
      at += size;
    }
    this.broken = size < 0;
    this.#rest = this.broken ? new Uint8Array(0) : all.slice(at);
    return packets;
  }
}

/**
 * The packets in `data`, which must hold whole packets only; they are views of it.
 *
 * @param {Uint8Array} data
 * @throws {ProtocolError}
 */
export function split(data) {
  const splitter = new Splitter();
  const packets = splitter.feed(data);
  if (splitter.broken || splitter.pending) {
    throw new ProtocolError("not a whole number of packets");
  }
  return packets;
}

/** @param {Uint8Array} packet */
function whole(packet) {
  if (packet.length < HEADER_BYTES || frame(packet, 0) !== packet.length) {
    throw new ProtocolError("not exactly one packet: its size field does not match its length");
  }
}

/**
 * What stands before the data of exactly one packet. name: a view; dataAt: offset of the data.
 *
 * @param {Uint8Array} packet
 * @throws {ProtocolError}
 */
export function header(packet) {
  whole(packet);
  const dataAt = HEADER_BYTES + packet[7];
  const date = viewOf(packet).getUint32(3, true);
  return { type: packet[2], date, name: packet.subarray(HEADER_BYTES, dataAt), dataAt };
}

/**
 * The name of the user whose packet this is; empty when the server made it.
 *
 * @param {Uint8Array} packet whole
 * @throws {ProtocolError}
 */
export function author(packet) {
  return text(packet.subarray(HEADER_BYTES, HEADER_BYTES + packet[7]));
}

/** @param {Uint8Array} bytes */
function text(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ProtocolError(UTF8);
  }
}

/**
 * A copy of the packet with this type and, in the first 4 bytes of its data, this index; the
 * packet itself when it has them.
 *
 * @param {Uint8Array} packet whole, with at least 4 bytes of data
 * @param {number} type
 * @param {number} index
 */
export function withIndex(packet, type, index) {
  const at = HEADER_BYTES + packet[7];
  if (packet[2] === type && viewOf(packet).getUint32(at, true) === index) return packet;
  const copy = packet.slice();
  copy[2] = type;
  viewOf(copy).setUint32(at, index, true);
  return copy;
}

// ------------------------------------------------------------------------------- checking
/**
 * The 4-byte number at `at`, written as i32 or f32; NaN or infinite when it is neither.
 *
 * @param {DataView} view
 * @param {number} at
 */
function number(view, at) {
  const value = view.getInt32(at, true);
  return isInt(value) ? value : view.getFloat32(at, true);
}

/** @param {number} value */
function isInt(value) {
  return value >= -NUMBER_MAX && value <= NUMBER_MAX;
}

/** @param {Body<any>} layout */
function fixedBytes(layout) {
  return layout.fields.reduce((sum, field) => sum + (field.kind === "f64" ? 8 : 4), 0);
}

/** @type {readonly (readonly ({ body: Body<any>, fixed: number } | null)[])[]} */
const LAYOUTS = /** @type {const} */ (["request", "reply"]).map((way) =>
  PACKETS.map((kind) => {
    const body = kind?.[way];
    return body ? { body, fixed: fixedBytes(body) } : null;
  }),
);

/**
 * "" when the data of this packet conforms to its layout, else what is wrong with it. Text is not
 * examined beyond its length.
 *
 * @param {Uint8Array} packet
 * @param {boolean} [reply] is it one that the server sends?
 * @throws {ProtocolError} when it is not exactly one packet
 */
export function check(packet, reply = false) {
  whole(packet);
  return fault(packet, viewOf(packet), reply);
}

/**
 * @param {Uint8Array} packet
 * @param {DataView} view
 * @param {boolean} reply
 */
function fault(packet, view, reply) {
  const layout = LAYOUTS[Number(reply)][packet[2]];
  if (!layout) return LAYOUT;
  const { body, fixed } = layout;
  let at = HEADER_BYTES + packet[7];
  if (packet.length - at < fixed) return LENGTH;
  for (let i = 0; i < body.fields.length; i++) {
    const { kind, low, high } = body.fields[i];
    let value = 0;
    if (kind === "rgba") {
      at += 4;
      checked[i] = 0;
      continue;
    }
    if (kind === "f64") value = view.getFloat64(at, true);
    else if (kind === "i32") value = view.getInt32(at, true);
    else value = number(view, at);
    if (!Number.isFinite(value)) return FINITE;
    if (kind === "index" && (value < 0 || !Number.isInteger(value))) return INDEX;
    if (value < low || value > high) return RANGE;
    at += kind === "f64" ? 8 : 4;
    checked[i] = value;
  }
  return tailFault(body.tail, view, at) || ruleFault(body, (packet.length - at) >> 3);
}

/**
 * @param {Tail | null} tail
 * @param {DataView} view
 * @param {number} at
 */
function tailFault(tail, view, at) {
  const bytes = view.byteLength - at;
  if (tail === null) return bytes ? LENGTH : "";
  if (tail.kind === "text") return bytes < tail.least || bytes > tail.most ? TEXT : "";
  const points = tail.kind === "points_f32" || tail.kind === "points_number";
  const size = points ? 8 : 4;
  if (bytes % size) return DIVIDE;
  if (bytes < size * tail.least) return EMPTY_LIST;
  if (!points) return indicesFault(tail.kind === "indices_descending", view, at);
  const real = tail.kind === "points_f32";
  for (let i = at; i < view.byteLength; i += 4) {
    if (!Number.isFinite(real ? view.getFloat32(i, true) : number(view, i))) return FINITE;
  }
  return "";
}

/**
 * @param {boolean} descending
 * @param {DataView} view
 * @param {number} at
 */
function indicesFault(descending, view, at) {
  let before = Infinity;
  for (let i = at; i < view.byteLength; i += 4) {
    const value = number(view, i);
    if (!Number.isFinite(value)) return FINITE;
    if (value < 0 || value > NUMBER_MAX || !Number.isInteger(value)) return INDEX;
    if (descending && value >= before) return ORDER;
    before = value;
  }
  return "";
}

/**
 * @param {Body<any>} body whose fields are in `checked`
 * @param {number} points
 */
function ruleFault({ rule, ruleMax }, points) {
  const a = checked[0];
  const b = checked[1];
  if (rule === "area") return a * b > ruleMax ? RULE : "";
  if (rule === "stamps") return a * a * points > ruleMax ? RULE : "";
  if (rule === "corner") return a + checked[2] > ruleMax || b + checked[3] > ruleMax ? RULE : "";
  return "";
}

// ------------------------------------------------------------------------------- decoding
/**
 * The values in a packet's data.
 *
 * @param {Uint8Array} packet
 * @param {boolean} [reply] is it one that the server sends?
 * @returns {Record<string, any>}
 * @throws {ProtocolError} for data that does not conform
 */
export function decode(packet, reply = false) {
  whole(packet);
  const view = viewOf(packet);
  const wrong = fault(packet, view, reply);
  if (wrong) throw new ProtocolError(wrong);
  const { body } = /** @type {{ body: Body<any> }} */ (LAYOUTS[Number(reply)][packet[2]]);
  /** @type {Record<string, any>} */
  const values = {};
  let at = HEADER_BYTES + packet[7];
  for (let i = 0; i < body.fields.length; i++) {
    const { name, kind } = body.fields[i];
    values[name] = kind === "rgba" ? packet.slice(at, at + 4) : checked[i];
    at += kind === "f64" ? 8 : 4;
  }
  if (body.tail) values[body.tail.name] = decodeTail(body.tail, packet, view, at);
  return values;
}

/**
 * @param {Tail} tail
 * @param {Uint8Array} packet
 * @param {DataView} view
 * @param {number} at
 */
function decodeTail(tail, packet, view, at) {
  if (tail.kind === "text") return text(packet.subarray(at));
  const count = (packet.length - at) >> 2;
  if (tail.kind === "points_f32") {
    const points = new Float32Array(count);
    for (let i = 0; i < count; i++) points[i] = view.getFloat32(at + 4 * i, true);
    return points;
  }
  const numbers = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const value = Math.floor(number(view, at + 4 * i) + 0.5);
    numbers[i] = Math.min(Math.max(value, -COORDINATE_MAX), COORDINATE_MAX);
  }
  return numbers;
}

/**
 * @template Request
 * @param {Packet<Request, any>} kind
 * @param {Uint8Array} packet of this kind, as a client sends it
 * @returns {Request}
 * @throws {ProtocolError}
 */
export function decodeRequest(kind, packet) {
  return /** @type {Request} */ (decodeAs(kind, packet, false));
}

/**
 * @template Reply
 * @param {Packet<any, Reply>} kind
 * @param {Uint8Array} packet of this kind, as the server sends it
 * @returns {Reply}
 * @throws {ProtocolError}
 */
export function decodeReply(kind, packet) {
  return /** @type {Reply} */ (decodeAs(kind, packet, true));
}

/**
 * @param {Packet<any, any>} kind
 * @param {Uint8Array} packet
 * @param {boolean} reply
 */
function decodeAs(kind, packet, reply) {
  if (packet[2] !== kind.id) throw new ProtocolError(`not a packet of type ${kind.name}`);
  return decode(packet, reply);
}

/**
 * The JSON object of strings in a packet: values for the keys that its layout declares.
 *
 * @param {Uint8Array} packet
 * @param {boolean} [reply]
 * @returns {Record<string, string>}
 * @throws {ProtocolError}
 */
export function decodeObject(packet, reply = false) {
  const tail = LAYOUTS[Number(reply)][packet[2]]?.body.tail;
  if (!tail?.keys.length) throw new ProtocolError("a packet of this type holds no JSON object");
  return parseStrings(decode(packet, reply)[tail.name], tail.keys);
}

// ------------------------------------------------------------------------------- encoding
/**
 * The packet as a client sends it.
 *
 * Numbers are written as i32 if they are whole and at most ±8388607, else as f32; pixel points are
 * rounded, halves up.
 *
 * @template Request
 * @param {Packet<Request, any>} kind
 * @param {number} date UTC seconds
 * @param {string | Uint8Array} name of the user; as UTF-8 if bytes
 * @param {Loose<Request>} values
 * @throws {ProtocolError} when values do not conform or do not fit into 65535 bytes
 */
export function encodeRequest(kind, date, name, values) {
  return encode(kind, kind.request, false, date, name, values);
}

/**
 * The packet as the server sends it. See `encodeRequest`.
 *
 * @template Reply
 * @param {Packet<any, Reply>} kind
 * @param {number} date
 * @param {string | Uint8Array} name
 * @param {Loose<Reply>} values
 * @throws {ProtocolError}
 */
export function encodeReply(kind, date, name, values) {
  return encode(kind, kind.reply, true, date, name, values);
}

/**
 * @param {Packet<any, any>} kind
 * @param {Body<any> | null} body
 * @param {boolean} reply
 * @param {number} date
 * @param {string | Uint8Array} name
 * @param {Record<string, any>} values
 */
function encode(kind, body, reply, date, name, values) {
  if (body === null) throw new ProtocolError(LAYOUT);
  const named = typeof name === "string" ? utf8(name) : name;
  const { tail } = body;
  const rest = tail === null ? null : tail.kind === "text" ? utf8(values[tail.name]) : values[tail.name];
  const dataAt = HEADER_BYTES + named.length;
  const fixed = fixedBytes(body);
  const size = dataAt + fixed + (rest ? rest.length * (tail?.kind === "text" ? 1 : 4) : 0);
  if (!(size <= PACKET_BYTES_MAX) || named.length > NAME_BYTES_MAX) {
    throw new ProtocolError("the packet would pass 65535 bytes, or its name 255");
  }
  const packet = new Uint8Array(size);
  const view = viewOf(packet);
  view.setUint16(0, size, true);
  packet[2] = kind.id;
  view.setUint32(3, date, true);
  packet[7] = named.length;
  packet.set(named, HEADER_BYTES);
  let at = dataAt;
  for (const field of body.fields) {
    encodeField(packet, view, at, field.kind, values[field.name]);
    at += field.kind === "f64" ? 8 : 4;
  }
  if (tail && rest) encodeTail(packet, view, at, tail, rest);
  const wrong = fault(packet, view, reply);
  if (wrong) throw new ProtocolError(wrong);
  return packet;
}

/**
 * @param {Uint8Array} packet
 * @param {DataView} view
 * @param {number} at
 * @param {string} kind
 * @param {any} value
 */
function encodeField(packet, view, at, kind, value) {
  if (kind === "rgba") {
    if (value?.length !== 4) throw new ProtocolError("a colour is four bytes: R, G, B, A");
    packet.set(value, at);
    return;
  }
  if (typeof value !== "number") throw new ProtocolError("a number is missing");
  if (kind === "f64") view.setFloat64(at, value, true);
  else if (kind === "number") encodeNumber(view, at, value);
  else {
    if (!Number.isInteger(value) || !isInt(value)) throw new ProtocolError(RANGE);
    view.setInt32(at, value, true);
  }
}

/**
 * @param {Uint8Array} packet
 * @param {DataView} view
 * @param {number} at
 * @param {Tail} tail
 * @param {ArrayLike<number>} rest
 */
function encodeTail(packet, view, at, tail, rest) {
  if (tail.kind === "text") {
    packet.set(rest, at);
    return;
  }
  for (let i = 0; i < rest.length; i++, at += 4) {
    const value = rest[i];
    if (tail.kind === "points_f32") view.setFloat32(at, value, true);
    else if (tail.kind === "points_number") encodeNumber(view, at, Math.floor(value + 0.5));
    else {
      if (!Number.isInteger(value)) throw new ProtocolError(INDEX);
      if (!isInt(value)) throw new ProtocolError(RANGE);
      view.setInt32(at, value, true);
    }
  }
}

/**
 * As i32 if it is whole and small enough, else as f32.
 *
 * @param {DataView} view
 * @param {number} at
 * @param {number} value
 */
function encodeNumber(view, at, value) {
  if (Number.isInteger(value) && isInt(value)) {
    view.setInt32(at, value, true);
    return;
  }
  view.setFloat32(at, value, true);
  // The smallest f32 have the bits of an i32.
  if (isInt(view.getInt32(at, true))) view.setInt32(at, 0, true);
}
