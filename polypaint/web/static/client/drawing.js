/**
 * A lobby that one is in: its canvas, and drawing on it. Made by `session.js`.
 *
 * What you draw shows on the canvas when the server has put it in order, one round trip later: the
 * canvas is the server's, always. Counterpart: `replica.js`.
 */

import { author, encodeRequest } from "./codec.js";
import { deferred } from "./connection.js";
import { divide } from "./divide.js";
import { Emitter } from "./emitter.js";
import { ConnectionClosed, Refused } from "./errors.js";
import { ADD_STROKE, HEADER_BYTES, HISTORY, PACKETS, UNDONE } from "./packets.js";
import { Presence, Telling } from "./presence.js";
import { Replica } from "./replica.js";
import { Gesture, Undo } from "./undo.js";

/** @import { Loose } from "./codec.js" */
/** @import { Deferred } from "./connection.js" */
/** @import { Packet } from "./packets.js" */
/** @import { InkEvent, OwnInk, Person, PointerEvent, View } from "./presence.js" */
/** @import { LobbyInfo, Outcome, Own } from "./replica.js" */
/** @import { History, Undone } from "./undo.js" */
/** @import { Client } from "./session.js" */
/** @import { PixelCanvas } from "./pixels.js" */
/** @import { StrokeCanvas } from "./strokes.js" */

/**
 * Something that somebody else did to a drawing. The canvas shows it already.
 *
 * @typedef {Object} Change
 * @property {string} author
 * @property {Packet<any, any>} kind
 * @property {Uint8Array} packet
 */

/**
 * A packet whose fate a lost connection hides.
 *
 * @typedef {Object} Unsure
 * @property {Uint8Array} packet
 * @property {Deferred<Outcome>} result
 * @property {boolean} sent
 * @property {number} number by which the server knows it, or 0
 */

/** Methods that a drawing has only where its client has the extension: look before you call. */
const OF_THE_EXTENSION = ["sendPointer", "sendInk", "setAway", "undo", "redo"];

/**
 * change: somebody else has drawn. canvas: something new is to be seen. end: one is not in this
 * lobby any more; with the reason. Where the client has the extension, people: who is here has
 * changed; pointer, ink: where somebody points, what somebody draws and is not drawn yet; history:
 * whether one can undo, or redo, is another now.
 *
 * @extends {Emitter<{ change: [Change], canvas: [], end: [string], people: [Person[]],
 *   pointer: [PointerEvent], ink: [InkEvent], history: [History] }>}
 */
export class Drawing extends Emitter {
  /** Why one is not in this lobby any more; empty while one is. */
  ended = "";
  #client;
  #presence;
  #telling;
  #undo;
  #gesture;
  #replica;
  /** @type {Map<Own, Deferred<Outcome>>} */
  #results = new Map();
  /** @type {Unsure[]} */
  #unsure = [];
  /** The connection was lost, and the canvas is not here again. */
  #rejoining = false;
  /** @type {Set<Deferred<void> & { condition: (canvas: StrokeCanvas | PixelCanvas) => boolean }>} */
  #waiting = new Set();

  /**
   * @param {Client} client
   * @param {LobbyInfo} info
   * @internal
   */
  constructor(client, info) {
    super();
    this.#client = client;
    this.info = info;
    this.#presence = new Presence(client.name);
    this.#telling = new Telling(
      client.clock,
      () => this.#presence.takeActive(),
      (packet) => this.#tell(packet),
    );
    this.#undo = new Undo((packet) => this.#tell(packet));
    this.#gesture = new Gesture((packet) => void this.#tell(packet));
    this.#replica = this.#emptyReplica();
    if (client.extended) return;
    for (const name of OF_THE_EXTENSION) Object.defineProperty(this, name, { value: undefined });
  }

  #emptyReplica() {
    const { nameBytes, extended } = this.#client;
    return new Replica(nameBytes, this.info, 0, extended ? () => this.#client.nextNumber() : null);
  }

  /** Who is here, oneself too; nobody where the client does not have the extension. */
  get people() {
    return this.#presence.people;
  }

  /**
   * Tell the others where one points, and what one sees of the paper. As often as one likes: they
   * are told as often as they can use it. So with `sendInk`.
   *
   * @param {number} x
   * @param {number} y
   * @param {View} view
   */
  sendPointer(x, y, view) {
    this.#telling.pointer(x, y, view);
  }

  /**
   * Show the others the stroke that one draws now. points: those that are new; done: the pen is up;
   * without points then: it was taken back.
   *
   * @param {OwnInk} ink
   */
  sendInk(ink) {
    this.#telling.ink(ink);
  }

  /**
   * Tell the others that one looks elsewhere, or is back.
   *
   * @param {boolean} away
   */
  setAway(away) {
    this.#telling.away(away);
  }

  /**
   * Take back one's last gesture that still shows: never what somebody else did later. Strokes
   * only. This and `redo`, like `sendInk`, are there only where the client has the extension.
   *
   * @returns {Promise<Undone>}
   * @throws {ConnectionClosed}
   */
  undo() {
    return this.#undo.step(false);
  }

  /**
   * Do again what was taken back, unless one has drawn since.
   *
   * @returns {Promise<Undone>}
   * @throws {ConnectionClosed}
   */
  redo() {
    return this.#undo.step(true);
  }

  /** Whether there is something to undo, and to redo. */
  get history() {
    return this.#undo.history;
  }

  /**
   * What one draws until `endGesture` is undone as one. So is, without this, what one draws in one
   * go, without waiting for anything in between.
   */
  beginGesture() {
    this.#gesture.begin();
  }

  endGesture() {
    this.#gesture.end();
  }

  /**
   * @param {Uint8Array} packet of the extension, lost while the connection is away
   * @returns {boolean} whether it was sent
   */
  #tell(packet) {
    if (!this.#client.extended || this.#rejoining || this.ended) return false;
    this.#client.send(packet);
    return true;
  }

  /** The server's canvas, as far as it is known here. Do not change it. */
  get canvas() {
    return this.#replica.canvas;
  }

  /** Is the canvas here, all of it? */
  get loaded() {
    return this.#replica.loaded && !this.#replica.frozen;
  }

  /** Has a canvas been brought since one joined? */
  get filled() {
    return this.loaded && this.#replica.version > 0;
  }

  /**
   * Send one drawing action: at once, or when the connection is there again. What is too long for
   * one packet goes as several.
   *
   * Awaiting the outcome is optional. It is broken with Refused when the server does not accept
   * it, with ConnectionClosed when the connection was lost and nobody can know. Strokes are not
   * lost with a connection: they are drawn when it is back.
   *
   * @template Request
   * @param {Packet<Request, any>} kind
   * @param {Loose<Request>} values
   * @returns {Promise<Outcome>} of the last packet
   * @throws {ProtocolError} at once, when the values do not conform
   */
  draw(kind, values) {
    if (this.ended) throw new ConnectionClosed(this.ended);
    const packets = divide(kind, this.#client.nameBytes.length, values).map((part) =>
      encodeRequest(kind, this.#client.date, this.#client.nameBytes, part),
    );
    const results = packets.map((packet) => {
      const result = this.#draw(packet, deferred());
      this.#flush();
      return result;
    });
    return results.length === 1 ? results[0] : lastOf(results);
  }

  /**
   * @param {Uint8Array} packet
   * @param {Deferred<Outcome>} result
   */
  #draw(packet, result) {
    if (this.#rejoining && !PACKETS[packet[2]]?.indices) {
      this.#unsure.push({ packet, result, sent: false, number: 0 }); // behind what is older
    } else {
      this.#gesture.draws();
      this.#results.set(this.#replica.draw(packet), result);
    }
    return result.promise;
  }

  /**
   * Wait until everything that was drawn is on the canvas.
   *
   * @throws {ConnectionClosed} when one is not in this lobby any more
   */
  async settled() {
    await this.waitFor(() => this.#replica.settled && this.loaded);
    return this.canvas;
  }

  /**
   * Wait until the canvas is as one wants it.
   *
   * @param {(canvas: StrokeCanvas | PixelCanvas) => boolean} condition
   * @throws {ConnectionClosed} when one is not in this lobby any more
   */
  async waitFor(condition) {
    if (this.ended) throw new ConnectionClosed(this.ended);
    if (!condition(this.canvas)) {
      const waiting = { ...deferred(), condition };
      this.#waiting.add(waiting);
      await waiting.promise;
    }
    return this.canvas;
  }

  /** Leave the lobby. */
  leave() {
    if (this.#client.drawing === this) this.#client.leave();
  }

  // ------------------------------------------------------------ what the client brings
  /**
   * One packet from the server, for this lobby.
   *
   * @param {Uint8Array} packet
   * @internal
   */
  receive(packet) {
    const { version } = this.#replica;
    this.#replica.receive(packet);
    if (this.#rejoining && this.filled) this.#makeSure();
    this.#finish();
    this.#flush();
    const kind = PACKETS[packet[2]];
    if (kind?.relayed) {
      this.#presence.drew(author(packet));
      this.emit("change", { author: author(packet), kind, packet });
    }
    if (this.#replica.version !== version) this.emit("canvas");
    for (const waiting of [...this.#waiting]) {
      if (!waiting.condition(this.canvas)) continue;
      this.#waiting.delete(waiting);
      waiting.resolve();
    }
  }

  /**
   * One packet that tells of people, or of what can be undone.
   *
   * @param {Uint8Array} packet
   * @internal
   */
  receiveExtension(packet) {
    if (packet[2] === UNDONE.id || packet[2] === HISTORY.id) {
      if (this.#undo.receive(packet)) this.emit("history", this.history);
      return;
    }
    const event = this.#presence.receive(packet);
    if (event?.[0] === "people") this.emit("people", event[1]);
    else if (event?.[0] === "pointer") this.emit("pointer", event[1]);
    else if (event) this.emit("ink", event[1]);
  }

  /** How many CONNECTED are still to come for the replica. @internal */
  get answers() {
    return this.#replica.answers;
  }

  /**
   * The connection is lost, and the lobby will be joined anew.
   *
   * A stroke that was under way may or may not have arrived: the canvas that comes will show. Of
   * other packets that were sent nobody can know. What was not sent is sent later, unless it names
   * positions, which may have changed.
   *
   * @internal
   */
  rejoining() {
    for (const [{ packet, sent, number }, result] of this.#results) {
      const positions = PACKETS[packet[2]]?.indices ?? false;
      const known = number > 0 || packet[2] === ADD_STROKE.id;
      if (sent ? known : !positions) this.#unsure.push({ packet, result, sent, number });
      else result.reject(new ConnectionClosed("the connection was lost"));
    }
    this.#undo.end("the connection was lost");
    this.#results.clear();
    this.#rejoining = true;
    const { canvas } = this.#replica;
    this.#replica = this.#emptyReplica();
    this.#replica.canvas = canvas;
    this.#replica.expectJoin();
  }

  /** The canvas is here again: draw what it does not show. */
  #makeSure() {
    this.#rejoining = false;
    const unsure = this.#unsure;
    this.#unsure = [];
    if (!unsure.length) return;
    /** @type {Map<string, number>} */
    const shown = new Map();
    if (this.canvas.mode === "stroke") {
      for (const { packet } of this.canvas.strokes) {
        const content = contentOf(packet);
        shown.set(content, (shown.get(content) ?? 0) + 1);
      }
    }
    const { handled } = this.#client;
    for (const { packet, result, sent, number } of unsure) {
      if (sent && number > 0 && handled >= 0) {
        // The server has said how far it came: what it has had is on the canvas, or was refused.
        if (number <= handled) result.resolve("resynced");
        else this.#again(packet, result);
        continue;
      }
      if (sent && packet[2] !== ADD_STROKE.id) {
        result.reject(new ConnectionClosed("the connection was lost"));
        continue;
      }
      const content = contentOf(packet);
      const count = sent ? shown.get(content) : 0;
      if (count) {
        shown.set(content, count - 1);
        result.resolve("applied");
      } else this.#draw(packet, result);
    }
  }

  /**
   * Send what the server has not had, unless it names positions, which may have changed.
   *
   * @param {Uint8Array} packet
   * @param {Deferred<Outcome>} result
   */
  #again(packet, result) {
    if (PACKETS[packet[2]]?.indices) result.reject(new ConnectionClosed("the connection was lost"));
    else this.#draw(packet, result);
  }

  /**
   * One is not in this lobby any more.
   *
   * @param {string} reason
   * @internal
   */
  end(reason) {
    this.ended = reason;
    this.#telling.end();
    this.#undo.end(reason);
    const error = new ConnectionClosed(reason);
    for (const result of this.#results.values()) result.reject(error);
    for (const { result } of this.#unsure) result.reject(error);
    for (const waiting of this.#waiting) waiting.reject(error);
    this.#results.clear();
    this.#unsure = [];
    this.#waiting.clear();
    this.emit("end", reason);
  }

  #finish() {
    for (const own of this.#replica.finished()) {
      const result = this.#results.get(own);
      this.#results.delete(own);
      if (own.outcome === "refused") result?.reject(new Refused(own.reason));
      else result?.resolve(own.outcome ?? "resynced");
    }
  }

  #flush() {
    for (const packet of this.#replica.packetsToSend()) this.#client.send(packet);
  }
}

/**
 * @param {Promise<Outcome>[]} results
 * @returns {Promise<Outcome>}
 */
function lastOf(results) {
  const last = Promise.all(results).then((outcomes) => outcomes[outcomes.length - 1]);
  last.catch(() => {});
  return last;
}

/** Every byte → one letter of its own. */
const letters = new TextDecoder("latin1");

/**
 * A stroke's packet without its index, as a key.
 *
 * @param {Uint8Array} packet
 */
function contentOf(packet) {
  const at = HEADER_BYTES + packet[7];
  return letters.decode(packet.subarray(0, at)) + letters.decode(packet.subarray(at + 4));
}
