/**
 * One WebSocket: whole packets in and out. The WebSocket's class and the clock are handed in.
 * Counterpart: `session.js`.
 */

import { check, header } from "./codec.js";
import { ConnectionClosed, ProtocolError } from "./errors.js";
import { PACKETS } from "./packets.js";
import { Queue } from "./queue.js";

/**
 * What is used of a WebSocket: that of browsers, of Node ≥ 22, of the packages ws and undici.
 *
 * @typedef {Object} Socket
 * @property {string} binaryType
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 * @property {(data: any) => void} send
 * @property {(code?: number, reason?: string) => void} close
 */

/** @typedef {new (url: string) => Socket} SocketClass */

/**
 * now: milliseconds since 1970.
 *
 * @typedef {Object} Clock
 * @property {() => number} now
 * @property {(work: () => void, milliseconds: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * A promise that is kept from outside.
 *
 * @template T
 * @typedef {{ promise: Promise<T>, resolve: (value: T) => void, reject: (error: Error) => void }} Deferred
 */

/**
 * Nobody has to wait for the promise: that it is broken is not an error by itself.
 *
 * @template T
 * @returns {Deferred<T>}
 */
export function deferred() {
  /** @type {(value: T) => void} */
  let resolve = () => {};
  /** @type {(error: Error) => void} */
  let reject = () => {};
  /** @type {Promise<T>} */
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/**
 * A promise that is broken when it is not kept in time.
 *
 * @template T
 * @param {Clock} clock
 * @param {number} milliseconds
 * @param {Deferred<T>} waiting
 * @param {string} late what the error says
 * @returns {Promise<T>}
 */
export function within(clock, milliseconds, waiting, late) {
  const timer = clock.setTimeout(() => waiting.reject(new ConnectionClosed(late)), milliseconds);
  return waiting.promise.finally(() => clock.clearTimeout(timer));
}

const CLOSED_NORMALLY = 1000;
const CLOSED_FOR_PROTOCOL = 3007;

/** See the module. First ask with `next`; from `listen` on, packets go to the listener. */
export class Connection {
  /** Why it is closed; empty while it is not. */
  closed = "";
  #socket;
  #opened = deferred();
  /** @type {Queue<Uint8Array>} */
  #received = new Queue();
  /** @type {Deferred<void> | null} */
  #arrival = null;
  /** @type {((packet: Uint8Array) => void) | null} */
  #onPacket = null;
  /** @type {((reason: string) => void) | null} */
  #onClose = null;

  /**
   * @param {SocketClass} WebSocket
   * @param {string} address
   * @throws {ConnectionClosed} when this is not an address
   */
  constructor(WebSocket, address) {
    try {
      this.#socket = new WebSocket(address);
    } catch (error) {
      const told = /** @type {Error} */ (error).message;
      throw new ConnectionClosed(`not an address: ${address}; try ws://host:port/ws/paint: ${told}`);
    }
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#opened.resolve(undefined);
    this.#socket.onmessage = ({ data }) => this.#message(data);
    this.#socket.onerror = () => this.#end(`cannot connect to ${address}, or the connection broke`);
    this.#socket.onclose = ({ reason }) => this.#end(reason || "the connection was lost");
  }

  /**
   * Wait until packets can be sent.
   *
   * @param {Clock} clock
   * @param {number} milliseconds
   * @throws {ConnectionClosed}
   */
  async open(clock, milliseconds) {
    await within(clock, milliseconds, this.#opened, "the server does not answer");
  }

  /**
   * The next packet.
   *
   * @param {Clock} clock
   * @param {number} milliseconds
   * @throws {ConnectionClosed}
   */
  async next(clock, milliseconds) {
    while (!this.#received.length) {
      if (this.closed) throw new ConnectionClosed(this.closed);
      this.#arrival = deferred();
      await within(clock, milliseconds, this.#arrival, "the server does not answer");
    }
    return /** @type {Uint8Array} */ (this.#received.shift());
  }

  /**
   * Have what has come, and everything from now on, handed over as it comes.
   *
   * @param {(packet: Uint8Array) => void} onPacket
   * @param {(reason: string) => void} onClose
   */
  listen(onPacket, onClose) {
    this.#onPacket = onPacket;
    this.#onClose = onClose;
    while (this.#received.length && !this.closed) {
      this.#deliver(/** @type {Uint8Array} */ (this.#received.shift()));
    }
    if (this.closed) onClose(this.closed);
  }

  /** @param {Uint8Array} packet whole */
  send(packet) {
    if (!this.closed) this.#socket.send(packet);
  }

  close() {
    this.#shut(CLOSED_NORMALLY, "closed");
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #shut(code, reason) {
    if (this.closed) return;
    this.#socket.close(code, reason);
    this.#end(reason);
  }

  /** @param {unknown} data */
  #message(data) {
    if (this.closed) return;
    try {
      if (!(data instanceof ArrayBuffer)) throw new ProtocolError("a message that is not binary");
      const packet = new Uint8Array(data);
      const { type } = header(packet);
      if (!PACKETS[type]?.reply) return; // of a later version of the protocol
      const wrong = check(packet, true);
      if (wrong) throw new ProtocolError(wrong);
      if (this.#onPacket) this.#deliver(packet);
      else {
        this.#received.push(packet);
        this.#arrival?.resolve(undefined);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#shut(CLOSED_FOR_PROTOCOL, error.message);
    }
  }

  /** @param {Uint8Array} packet */
  #deliver(packet) {
    try {
      this.#onPacket?.(packet);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#shut(CLOSED_FOR_PROTOCOL, error.message);
    }
  }

  /** @param {string} reason */
  #end(reason) {
    if (this.closed) return;
    this.closed = reason;
    const error = new ConnectionClosed(reason);
    this.#opened.reject(error);
    this.#arrival?.reject(error);
    this.#onClose?.(reason);
  }
}
