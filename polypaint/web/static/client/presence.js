/**
 * Who is in a lobby, and what they do at the moment: their pointers, and ink that is not drawn yet.
 *
 * `Presence` is told what the server sends; `Telling` tells the server what one does oneself, no
 * more often than others can use it. Counterpart: `drawing.js`.
 */

import { decodeReply, encodeRequest } from "./codec.js";
import { AWAY, INK, NUMBER_MAX, PEOPLE, PERSON, POINTER } from "./packets.js";
import { parse } from "./strictjson.js";

/** @import { Clock } from "./connection.js" */
/** @import { InkingValues, PointingValues } from "./packets.js" */

/**
 * Somebody in the lobby. role: owner or drawer. colour: 0…7, of one's own as far as there are
 * enough. since: UTC seconds. away: looks elsewhere.
 *
 * @typedef {Object} Person
 * @property {number} key
 * @property {string} name
 * @property {string} role
 * @property {number} colour
 * @property {number} since
 * @property {boolean} away
 */

/**
 * What somebody sees of the paper. @typedef {{ left: number, top: number, right: number, bottom: number }} View
 */

/** @typedef {{ key: number, name: string, x: number, y: number, view: View }} PointerEvent */

/**
 * points: those that are new. done: the pen is up; without points: the stroke was taken back.
 *
 * @typedef {{ key: number, name: string, rgba: Uint8Array, width: number, points: Float32Array, done: boolean }} InkEvent
 */

/** @typedef {{ rgba: ArrayLike<number>, width: number, points: ArrayLike<number>, done: boolean }} OwnInk */

/**
 * @typedef {["people", Person[]] | ["pointer", PointerEvent] | ["ink", InkEvent]} PresenceEvent
 */

const TELL_MS = 33;
/** The more people point or draw, the less often each tells. */
const TELL_MS_PER_PERSON = 5;
const POINTS_MAX = 512;

/** Others, as the server tells of them. */
export class Presence {
  /** @type {Map<number, Person>} */
  #people = new Map();
  /** Whose ink grows. @type {Set<number>} */
  #inking = new Set();
  /** Who has pointed or drawn lately. @type {Set<number>} */
  #active = new Set();
  #name;

  /** @param {string} name of oneself: one is not told what one does */
  constructor(name) {
    this.#name = name;
  }

  /** Everybody who is here, in the order in which they came. */
  get people() {
    return [...this.#people.values()];
  }

  /** How many others have pointed or drawn since the last call. */
  takeActive() {
    const { size } = this.#active;
    this.#active.clear();
    return size;
  }

  /**
   * What a packet says; null: nothing.
   *
   * @param {Uint8Array} packet
   * @returns {PresenceEvent | null}
   */
  receive(packet) {
    if (packet[2] === PEOPLE.id) return this.#listed(decodeReply(PEOPLE, packet));
    if (packet[2] === PERSON.id) return this.#changed(decodeReply(PERSON, packet));
    if (packet[2] === POINTER.id) return this.#pointed(decodeReply(POINTER, packet));
    if (packet[2] === INK.id) return this.#inked(decodeReply(INK, packet));
    return null;
  }

  /** @param {{ part: number, people: string }} values @returns {PresenceEvent} */
  #listed({ part, people }) {
    if (!part) this.#people.clear();
    for (const person of /** @type {Person[]} */ (parse(people))) {
      this.#people.set(person.key, person);
    }
    return ["people", this.people];
  }

  /** @param {{ gone: number, person: string }} values @returns {PresenceEvent} */
  #changed({ gone, person }) {
    const changed = /** @type {Person} */ (parse(person));
    if (gone) {
      this.#people.delete(changed.key);
      this.#inking.delete(changed.key);
    } else this.#people.set(changed.key, changed);
    return ["people", this.people];
  }

  /** @param {PointingValues} values @returns {PresenceEvent | null} */
  #pointed({ key, x, y, left, top, right, bottom }) {
    const name = this.#other(key);
    return name ? ["pointer", { key, name, x, y, view: { left, top, right, bottom } }] : null;
  }

  /** @param {InkingValues} values @returns {PresenceEvent | null} */
  #inked({ key, rgba, width, done, points }) {
    const name = this.#other(key);
    if (!name || (done && !this.#inking.has(key))) return null; // the end of what is drawn by now
    if (done) this.#inking.delete(key);
    else this.#inking.add(key);
    return ["ink", { key, name, rgba, width, points, done: done === 1 }];
  }

  /**
   * Somebody has drawn: their ink is on the canvas now.
   *
   * @param {string} name
   */
  drew(name) {
    for (const key of this.#inking) {
      if (this.#people.get(key)?.name === name) this.#inking.delete(key);
    }
  }

  /** @param {number} key */
  #other(key) {
    const name = this.#people.get(key)?.name;
    if (name === this.#name) return undefined;
    this.#active.add(key);
    return name;
  }
}

/** What one does oneself, told at a pace that others can use. */
export class Telling {
  /** @type {PointingValues | null} */
  #pointer = null;
  /** @type {{ rgba: ArrayLike<number>, width: number, points: number[] } | null} */
  #ink = null;
  /** @type {unknown} */
  #timer = null;
  #clock;
  #crowd;
  #send;

  /**
   * @param {Clock} clock
   * @param {() => number} crowd how many others do the same, since the last call
   * @param {(packet: Uint8Array) => void} send
   */
  constructor(clock, crowd, send) {
    this.#clock = clock;
    this.#crowd = crowd;
    this.#send = send;
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {View} view
   */
  pointer(x, y, { left, top, right, bottom }) {
    const [a, b, c, d, e, f] = [x, y, left, top, right, bottom].map(bounded);
    this.#pointer = { key: 0, x: a, y: b, left: c, top: d, right: e, bottom: f };
    this.#soon();
  }

  /** @param {OwnInk} ink */
  ink({ rgba, width, points, done }) {
    if (this.#ink && (this.#ink.width !== width || !sameColour(this.#ink.rgba, rgba))) this.#flush();
    this.#ink ??= { rgba, width, points: [] };
    for (let i = 0; i < points.length; i++) this.#ink.points.push(points[i]);
    if (!done) {
      this.#soon();
      return;
    }
    if (!points.length) this.#ink.points = []; // taken back
    this.#tellInk(true); // at once: the stroke follows
  }

  /** Is one looking elsewhere? @param {boolean} away */
  away(away) {
    this.#send(encodeRequest(AWAY, 0, "", { away: away ? 1 : 0 }));
  }

  /** Say nothing more. */
  end() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#ink = this.#pointer = null;
  }

  #soon() {
    if (this.#timer !== null) return;
    const pause = TELL_MS + TELL_MS_PER_PERSON * this.#crowd();
    this.#timer = this.#clock.setTimeout(() => this.#flush(), pause);
  }

  #flush() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#pointer) this.#send(encodeRequest(POINTER, 0, "", this.#pointer));
    this.#pointer = null;
    if (this.#ink?.points.length) this.#tellInk(false);
  }

  /** @param {boolean} done */
  #tellInk(done) {
    if (!this.#ink) return;
    const { rgba, width, points } = this.#ink;
    this.#ink = null;
    let at = 0;
    for (; points.length - at > 2 * POINTS_MAX; at += 2 * POINTS_MAX) {
      const part = points.slice(at, at + 2 * POINTS_MAX);
      this.#send(encodeRequest(INK, 0, "", { key: 0, rgba, width, done: 0, points: part }));
    }
    const rest = points.slice(at);
    this.#send(encodeRequest(INK, 0, "", { key: 0, rgba, width, done: done ? 1 : 0, points: rest }));
  }
}

/** @param {number} value */
function bounded(value) {
  return Math.max(-NUMBER_MAX, Math.min(NUMBER_MAX, value));
}

/**
 * @param {ArrayLike<number>} one
 * @param {ArrayLike<number>} other
 */
function sameColour(one, other) {
  return Array.from(one).every((value, i) => value === other[i]);
}
