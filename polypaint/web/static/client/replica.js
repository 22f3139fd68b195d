/**
 * A client's copy of a lobby's canvas, without I/O: it ends up equal to the server's, always.
 *
 * The wire tells a client nothing about its own packets. So every packet of one's own stands
 * between two fences: a fence is a LOBBY_CONNECT to the lobby that one is in, which the server
 * answers CONNECTED and does nothing else. Answers stand in one order with what the others draw,
 * so they show where the server has put the packet; there it is applied here too. When somebody
 * else's packet falls between the two, and it matters, the replica leaves and comes back: the
 * canvas comes anew.
 *
 * FETCH_DATABASE begins a replay: the canvas is cleared and taken from what follows. A packet that
 * was under way meanwhile is in that replay, or in the next one, which the server sends when the
 * confirmation comes to it later than the packet.
 *
 * A client with the extension needs no fences: the server answers each of its packets where it stands
 * in the order, with ACCEPTED or REFUSED (`numbers` is given then), and a replay is never in doubt.
 *
 * Counterpart: `drawing.js` brings the packets. Protocol: docs/protocol.md, sections 5, 6.
 */

import { decode, decodeReply, encodeRequest } from "./codec.js";
import { Refused } from "./errors.js";
import {
  ACCEPTED,
  ADD_STROKE,
  FETCH_DATABASE,
  LOBBY_CONNECT,
  LOBBY_DISCONNECT,
  LOBBY_FREEZE_STATE,
  PACKETS,
  REFUSED,
  RESIZE_CANVAS_INT,
} from "./packets.js";
import { PixelCanvas } from "./pixels.js";
import { Queue } from "./queue.js";
import { StrokeCanvas } from "./strokes.js";

/**
 * What the creator says of a lobby: the five keys of LOBBY_CREATION.
 *
 * @typedef {Object} LobbyInfo
 * @property {string} Filename
 * @property {string} Owner
 * @property {string} Mode contains `pix`, in any case: pixels; anything else: strokes
 * @property {string} Protection public, protected or private
 * @property {string} Passcode
 */

/**
 * What became of a packet of one's own. "resynced": the canvas came anew while the packet was
 * under way; it shows whether it counted.
 *
 * @typedef {"applied" | "refused" | "resynced"} Outcome
 */

/** A drawing packet of one's own. */
export class Own {
  /** A replay has it, or it was not accepted. */
  absorbed = false;
  sent = false;
  done = false;
  /** By which the server answers it, where it does. */
  number = 0;
  /** @type {Outcome | null} */
  outcome = null;
  reason = "";

  /**
   * @param {Uint8Array} packet
   * @param {number} shifts how often others had shifted positions when it was made
   */
  constructor(packet, shifts) {
    this.packet = packet;
    this.shifts = shifts;
  }
}

/**
 * What a CONNECTED that is still to come will mean.
 *
 * @typedef {"joined" | "settled" | "before" | "after"} Answer
 */

/** @param {string} mode */
function emptyCanvas(mode) {
  return mode.toLowerCase().includes("pix") ? new PixelCanvas() : new StrokeCanvas();
}

/** @param {Uint8Array} packet */
function isAdd(packet) {
  return packet[2] === ADD_STROKE.id;
}

/** See the module. Read `canvas`; `draw`, `receive`, and send what `packetsToSend` gives. */
export class Replica {
  /** @type {StrokeCanvas | PixelCanvas} */
  canvas;
  /** The server asks to wait; what is drawn meanwhile is sent later. */
  frozen = false;
  /** The canvas is there. */
  loaded = true;
  /** Grows with every change of the canvas. */
  version = 0;
  doubtful = false;
  /** @type {Queue<Answer>} */
  #answers = new Queue();
  /** How many of the answers are "settled". */
  #settling = 0;
  /** @type {Queue<Own>} */
  #waiting = new Queue();
  /** @type {Queue<Own>} */
  #pending = new Queue();
  /** @type {Uint8Array[]} */
  #out = [];
  /** @type {Own[]} */
  #finished = [];
  #fresh = false;
  #shifts = 0;
  #name;
  #date;
  #fencePacket;
  #numbers;

  /**
   * @param {Uint8Array} name of oneself, UTF-8
   * @param {LobbyInfo} info
   * @param {number} [date] UTC seconds, for packets that the replica makes
   * @param {(() => number) | null} [numbers] of drawing packets of this connection, where the server
   *   answers them
   */
  constructor(name, info, date = 0, numbers = null) {
    this.#numbers = numbers;
    this.canvas = emptyCanvas(info.Mode);
    this.#name = name;
    this.#date = date;
    const { Filename, Owner, Mode, Protection, Passcode } = info;
    const lobby = JSON.stringify({ Filename, Owner, Mode, Protection, Passcode });
    this.#fencePacket = encodeRequest(LOBBY_CONNECT, date, name, { lobby });
  }

  // ------------------------------------------------------------ what the owner does
  /**
   * Draw. Positions in the packet are those of `canvas` now, and of the packets drawn before it.
   *
   * @param {Uint8Array} packet whole, conforming, under one's own name
   * @returns {Own} comes out of `finished`
   */
  draw(packet) {
    const own = new Own(packet, this.#shifts);
    this.#waiting.push(own);
    this.#sendWaiting();
    return own;
  }

  /** Packets to send now, in order. */
  packetsToSend() {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Packets of one's own whose outcome is known now. */
  finished() {
    const finished = this.#finished;
    this.#finished = [];
    return finished;
  }

  /** A LOBBY_CONNECT has been sent for this lobby by its owner: the canvas will come. */
  expectJoin() {
    this.#answers.push("joined");
    this.loaded = false;
  }

  /** Is nothing under way, in either direction, as far as can be known? */
  get settled() {
    const underWay = this.#answers.length + this.#waiting.length + this.#pending.length;
    return underWay === 0 && !this.doubtful;
  }

  /** How many CONNECTED are still to come for this replica. */
  get answers() {
    return this.#answers.length;
  }

  // ------------------------------------------------------------ what the server says
  /**
   * A drawing packet, FREEZE, FETCH_DATABASE, or a CONNECTED that was expected.
   *
   * @param {Uint8Array} packet whole, conforming
   */
  receive(packet) {
    const kind = PACKETS[packet[2]];
    if (kind?.relayed) this.#relayed(packet, kind.shifts);
    else if (kind === LOBBY_FREEZE_STATE) {
      this.frozen = decodeReply(LOBBY_FREEZE_STATE, packet).status === 1;
    } else if (kind === FETCH_DATABASE) this.#cleared();
    else if (kind === LOBBY_CONNECT) this.#answered();
    else if (kind === ACCEPTED) this.#accepted(decodeReply(ACCEPTED, packet));
    else if (kind === REFUSED) this.#notAccepted(decodeReply(REFUSED, packet));
    if (this.doubtful && this.loaded && !this.#answers.length) {
      this.#out.push(encodeRequest(LOBBY_DISCONNECT, this.#date, this.#name, {}));
      this.#fence("joined");
      this.loaded = false;
    }
    this.#sendWaiting();
  }

  /**
   * @param {Uint8Array} packet
   * @param {boolean} shifts
   */
  #relayed(packet, shifts) {
    if (this.#fresh) {
      // A replay begins with the size, which shows the mode (section 6).
      this.#fresh = false;
      const mode = packet[2] === RESIZE_CANVAS_INT.id ? "pixel" : "stroke";
      if (mode !== this.canvas.mode) this.canvas = emptyCanvas(mode);
    }
    const own = this.#underWay();
    if (own) {
      if (!isAdd(own.packet) || !isAdd(packet)) this.doubtful = true;
      else if (decode(packet).index > this.#count()) this.#applyOwn(own);
    }
    if (shifts) this.#shifts++;
    try {
      this.canvas.apply(packet);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.doubtful = true;
    }
    this.version++;
  }

  /** The packet of one's own that the server may or may not have applied by now. */
  #underWay() {
    if (this.#answers.peek() !== "after") return null;
    const own = /** @type {Own} */ (this.#pending.peek());
    return own.absorbed || own.done ? null : own;
  }

  #count() {
    return this.canvas.mode === "stroke" ? this.canvas.strokes.length : 0;
  }

  /** The canvas comes anew: confirm at once, and draw nothing before that has been heard. */
  #cleared() {
    this.canvas.clear();
    this.#fresh = true;
    this.#shifts++;
    this.loaded = true;
    this.version++;
    this.doubtful = false;
    this.#out.push(encodeRequest(FETCH_DATABASE, this.#date, this.#name, {}));
    if (this.#numbers) return; // what was under way is answered behind the canvas that comes
    for (const own of this.#pending) own.absorbed = true;
    this.#settling++;
    this.#fence("settled");
  }

  #answered() {
    const answer = this.#answers.shift();
    if (answer === "settled") this.#settling--;
    if (answer !== "after") return;
    const own = /** @type {Own} */ (this.#pending.shift());
    if (!own.absorbed && !own.done) this.#applyOwn(own);
    own.outcome ??= "resynced";
    this.#finished.push(own);
  }

  /**
   * Here is where the server has applied this packet.
   *
   * @param {Own} own
   */
  #applyOwn(own) {
    own.done = true;
    try {
      const refused = this.canvas.apply(own.packet);
      if (refused.length) own.reason = `not granted: strokes ${refused.join(", ")}`;
      own.outcome = "applied";
      this.version++;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      own.outcome = "refused";
      own.reason = error.message;
    }
  }

  /** @param {{ number: number, count: number }} values the last of so many */
  #accepted({ number, count }) {
    for (let i = 0; i < count; i++) {
      const own = this.#next(number - count + 1 + i);
      if (!own) continue;
      this.#applyOwn(own);
      if (own.outcome === "refused") {
        own.outcome = "resynced"; // the canvas is not what the server has
        this.doubtful = true;
      }
      this.#finished.push(own);
    }
  }

  /** @param {{ number: number, reason: string }} values */
  #notAccepted({ number, reason }) {
    const own = this.#next(number);
    if (!own) return;
    own.outcome = "refused";
    own.reason = reason;
    this.#finished.push(own);
  }

  /**
   * The packet of one's own with this number; none if it was for another lobby.
   *
   * @param {number} number
   */
  #next(number) {
    return this.#pending.peek()?.number === number ? this.#pending.shift() : undefined;
  }

  // ------------------------------------------------------------ sending
  #sendWaiting() {
    if (this.frozen || this.doubtful || !this.loaded || this.#settling) return;
    if (this.#waiting.length && !this.#numbers) this.#fence("before");
    for (let own; (own = this.#waiting.shift()); ) {
      if (PACKETS[own.packet[2]]?.indices && own.shifts !== this.#shifts) {
        own.outcome = "refused";
        own.reason = "positions have changed meanwhile";
        this.#finished.push(own);
        continue;
      }
      own.sent = true;
      this.#pending.push(own);
      this.#out.push(own.packet);
      if (this.#numbers) own.number = this.#numbers();
      else this.#fence("after");
    }
  }

  /** @param {Answer} answer */
  #fence(answer) {
    this.#out.push(this.#fencePacket);
    this.#answers.push(answer);
  }
}
