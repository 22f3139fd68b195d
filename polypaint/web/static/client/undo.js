/**
 * Taking back what one has drawn, and grouping it, where the server does it. Counterpart:
 * `drawing.js`.
 */

import { decodeReply, encodeRequest } from "./codec.js";
import { deferred } from "./connection.js";
import { ConnectionClosed } from "./errors.js";
import { GESTURE, HISTORY, REDO, UNDO, UNDONE } from "./packets.js";
import { Queue } from "./queue.js";

/** @import { Deferred } from "./connection.js" */

/** reason: why nothing was taken back. @typedef {{ done: boolean, reason: string }} Undone */

/** @typedef {{ canUndo: boolean, canRedo: boolean }} History */

const NOT_HERE = "this server cannot undo, or the connection is away";

/** Of one drawing; see the module. */
export class Undo {
  /** @type {History} */
  history = { canUndo: false, canRedo: false };
  /** @type {Queue<Deferred<Undone>>} */
  #waiting = new Queue();
  #send;

  /** @param {(packet: Uint8Array) => boolean} send False: it cannot be sent now */
  constructor(send) {
    this.#send = send;
  }

  /**
   * Take back one's last gesture that still shows, or do it again.
   *
   * @param {boolean} redo
   * @returns {Promise<Undone>}
   */
  async step(redo) {
    /** @type {Deferred<Undone>} */
    const answer = deferred();
    if (!this.#send(encodeRequest(redo ? REDO : UNDO, 0, "", {}))) {
      return { done: false, reason: NOT_HERE };
    }
    this.#waiting.push(answer);
    return answer.promise;
  }

  /**
   * UNDONE or HISTORY; True if `history` is another now.
   *
   * @param {Uint8Array} packet
   */
  receive(packet) {
    if (packet[2] === UNDONE.id) {
      const { done, reason } = decodeReply(UNDONE, packet);
      this.#waiting.shift()?.resolve({ done: done === 1, reason });
      return false;
    }
    const { undo, redo } = decodeReply(HISTORY, packet);
    this.history = { canUndo: undo === 1, canRedo: redo === 1 };
    return true;
  }

  /** What was asked is not answered any more. @param {string} reason */
  end(reason) {
    for (let answer; (answer = this.#waiting.shift()); ) answer.reject(new ConnectionClosed(reason));
  }
}

/**
 * Which drawing packets are one gesture: those that are drawn in one go, without waiting, and all
 * between `begin` and `end`. The server is told before the second one, and after the last.
 */
export class Gesture {
  #depth = 0;
  #drawn = 0;
  #told = false;
  #ending = false;
  #send;

  /** @param {(packet: Uint8Array) => void} send */
  constructor(send) {
    this.#send = send;
  }

  begin() {
    this.#depth++;
  }

  end() {
    this.#depth--;
    this.#close();
  }

  /** A drawing packet is to be sent next. */
  draws() {
    this.#drawn++;
    if (this.#drawn === 2) {
      this.#told = true;
      this.#send(encodeRequest(GESTURE, 0, "", { more: 1 }));
    }
    if (this.#ending) return;
    this.#ending = true;
    queueMicrotask(() => {
      this.#ending = false;
      this.#close();
    });
  }

  #close() {
    if (this.#depth > 0 || this.#ending) return;
    if (this.#told) this.#send(encodeRequest(GESTURE, 0, "", { more: 0 }));
    this.#told = false;
    this.#drawn = 0;
  }
}
