/**
 * What is too long for one packet, as several: points of strokes and of stamps, lists of indices.
 * Protocol: docs/protocol.md, section 8.
 */

import { ProtocolError } from "./errors.js";
import {
  ADD_STROKE,
  HEADER_BYTES,
  INSERT_STROKE,
  PACKET_BYTES_MAX,
  SEND_POINTS,
  STAMPS_MAX,
} from "./packets.js";

/** @import { Loose } from "./codec.js" */
/** @import { Packet } from "./packets.js" */

const STROKE_BYTES = 16;
const STAMP_BYTES = 8;

/**
 * Values for as many packets as it takes, in order. A stroke becomes consecutive strokes that
 * share an end point; points that are stamped are divided anywhere; indices stay in their order.
 *
 * @template Request
 * @param {Packet<Request, any>} kind
 * @param {number} nameBytes of the user's name, in UTF-8
 * @param {Loose<Request>} values
 * @returns {Loose<Request>[]}
 * @throws {ProtocolError} for a long stroke that is to replace another
 */
export function divide(kind, nameBytes, values) {
  const bytes = PACKET_BYTES_MAX - HEADER_BYTES - nameBytes;
  const tail = kind.request?.tail;
  if (!tail || tail.kind === "text") return [values];
  const list = /** @type {Record<string, ArrayLike<number>>} */ (values)[tail.name];
  if (tail.kind === "points_f32") {
    return strokes(kind, Math.floor((bytes - STROKE_BYTES) / 8), values, list);
  }
  const most = kind.id === SEND_POINTS.id ? 2 * stamps(bytes, values) : Math.floor(bytes / 4);
  return parts(list, most, most).map((part) => ({ ...values, [tail.name]: part }));
}

/**
 * How many points one SEND_POINTS may have.
 *
 * @param {number} bytes
 * @param {Record<string, any>} values
 */
function stamps(bytes, { brush }) {
  const fit = Math.floor((bytes - STAMP_BYTES) / 8);
  return Math.max(1, Math.min(fit, Math.floor(STAMPS_MAX / (brush * brush)) || 1));
}

/**
 * @template Request
 * @param {Packet<Request, any>} kind
 * @param {number} most points
 * @param {Loose<Request>} values
 * @param {ArrayLike<number>} list
 * @returns {Loose<Request>[]}
 */
function strokes(kind, most, values, list) {
  if (list.length <= 2 * most) return [values];
  if (kind.id !== ADD_STROKE.id && kind.id !== INSERT_STROKE.id) {
    throw new ProtocolError(`a stroke that replaces another has at most ${most} points`);
  }
  const { index } = /** @type {{ index: number }} */ (/** @type {unknown} */ (values));
  return parts(list, 2 * most, 2 * most - 2).map((points, i) => ({
    ...values,
    index: index + i,
    points,
  }));
}

/**
 * @param {ArrayLike<number>} list
 * @param {number} most numbers in a part
 * @param {number} step from the beginning of a part to that of the next
 */
function parts(list, most, step) {
  if (list.length <= most) return [list];
  const all = Array.prototype.slice.call(list);
  const found = [];
  for (let at = 0; at < all.length - (most - step); at += step) found.push(all.slice(at, at + most));
  return found;
}
