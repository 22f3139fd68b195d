/**
 * Which pointers draw, which pan and zoom, and which taps mean undo and redo. Pure: no DOM, the
 * time is an argument.
 *
 * A pen draws; while it does, and shortly after, a touch is a palm. A finger draws until a second
 * one comes down early: then what was begun is taken back, and the two pan and zoom until all are
 * lifted. After the first pen, fingers only pan and zoom.
 */

/** A second finger that comes down so soon, or so near to the beginning, makes a pinch. */
const PINCH_MS = 500;
const PINCH_REACH = 32;
const TAP_MS = 350;
const TAP_REACH = 12;
/** Touches that begin so soon after a pen was there belong to the hand that holds it. */
const PALM_MS = 400;
/** Contacts larger than this are palms, in CSS pixels. */
const PALM_SIZE = 100;

/**
 * A pointer that comes down. size: the larger side of its contact, in CSS pixels.
 *
 * @typedef {{ id: number, kind: string, button: number, x: number, y: number, size: number }} Pointer
 */

/**
 * What to do. start … abort: the tool that is chosen, or another one (`as`). pinch: pan by dx, dy
 * and zoom by `factor` at x, y.
 *
 * @typedef {Object} Actions
 * @property {(as: "tool" | "eraser") => void} start
 * @property {() => void} finish
 * @property {() => void} abort
 * @property {(dx: number, dy: number) => void} pan
 * @property {(x: number, y: number, dx: number, dy: number, factor: number) => void} pinch
 * @property {(fingers: number) => void} tap
 * @property {() => void} penSeen
 */

/** @typedef {{ x: number, y: number, startX: number, startY: number }} Finger */

const MIDDLE = 1;
const PRIMARY = 0;
const ERASER_END = 5;

/** See the module. */
export class Gestures {
  /** Do fingers draw? */
  touchDraws = true;
  /** Does everything pan: the hand is chosen, or the space bar is held? */
  hand = false;
  /** The pointer that draws, or pans without being a finger. */
  #active = /** @type {{ id: number, kind: string, pans: boolean } | null} */ (null);
  #activeX = 0;
  #activeY = 0;
  /** @type {Map<number, Finger>} */
  #fingers = new Map();
  #firstDown = 0;
  #mostFingers = 0;
  #moved = false;
  /** Fingers pan and zoom now. */
  #pinching = false;
  #penAt = -Infinity;
  #actions;

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
  }

  /** Is this the pointer that draws? @param {number} id */
  draws(id) {
    return this.#active?.id === id && !this.#active.pans;
  }

  /** Is anything down? */
  get busy() {
    return this.#active !== null || this.#fingers.size > 0;
  }

  /**
   * @param {Pointer} pointer
   * @param {number} now milliseconds
   * @returns {boolean} is it of interest? Then its moves and its end are wanted
   */
  down(pointer, now) {
    if (pointer.kind === "touch") return this.#touchDown(pointer, now);
    if (pointer.kind === "pen") {
      this.#penAt = now;
      this.#actions.penSeen();
      this.#dropFingers();
    }
    if (this.#active) return false;
    const eraser = pointer.button === ERASER_END;
    const pans = pointer.button === MIDDLE || this.hand;
    if (!pans && !eraser && pointer.button !== PRIMARY) return false;
    this.#begin(pointer, pans);
    if (!pans) this.#actions.start(eraser ? "eraser" : "tool");
    return true;
  }

  /**
   * @param {number} id
   * @param {number} x
   * @param {number} y
   * @param {number} now
   */
  move(id, x, y, now) {
    const active = this.#active;
    if (active?.id === id) {
      if (active.kind === "pen") this.#penAt = now;
      if (active.pans) this.#actions.pan(x - this.#activeX, y - this.#activeY);
      [this.#activeX, this.#activeY] = [x, y];
    }
    const finger = this.#fingers.get(id);
    if (!finger) return;
    if (Math.hypot(x - finger.startX, y - finger.startY) > TAP_REACH) this.#moved = true;
    if (this.#pinching) this.#pinch(finger, x, y);
    finger.x = x;
    finger.y = y;
  }

  /**
   * @param {number} id
   * @param {number} now
   * @param {boolean} [cancelled] the browser has taken it away
   */
  up(id, now, cancelled = false) {
    if (this.#active?.id === id) {
      const { kind, pans } = this.#active;
      if (kind === "pen") this.#penAt = now;
      this.#active = null;
      if (!pans) cancelled ? this.#actions.abort() : this.#actions.finish();
    }
    if (!this.#fingers.delete(id) || this.#fingers.size) return;
    const isTap = this.#pinching && !this.#moved && !cancelled && now - this.#firstDown < TAP_MS;
    const fingers = this.#mostFingers;
    this.#pinching = false;
    if (isTap) this.#actions.tap(fingers);
  }

  /**
   * @param {Pointer} pointer
   * @param {number} now
   */
  #touchDown(pointer, now) {
    const { id, x, y } = pointer;
    const byPen = this.#active !== null && this.#active.kind !== "touch";
    if (byPen || now - this.#penAt < PALM_MS || pointer.size > PALM_SIZE) return false;
    if (this.#fingers.size === 0) {
      this.#firstDown = now;
      this.#mostFingers = 0;
      this.#moved = false;
      this.#pinching = !this.touchDraws || this.hand;
    } else if (!this.#pinching && !this.#becomesPinch(now)) return false;
    this.#fingers.set(id, { x, y, startX: x, startY: y });
    this.#mostFingers = Math.max(this.#mostFingers, this.#fingers.size);
    if (this.#pinching) return true;
    this.#begin(pointer, false);
    this.#actions.start("tool");
    return true;
  }

  /** A second finger is there: does it take back what the first one has begun? @param {number} now */
  #becomesPinch(now) {
    const [first] = this.#fingers.values();
    const reach = Math.hypot(first.x - first.startX, first.y - first.startY);
    if (now - this.#firstDown > PINCH_MS && reach > PINCH_REACH) return false;
    this.#active = null;
    this.#pinching = true;
    this.#actions.abort();
    return true;
  }

  /** A pen is there: whatever fingers have begun was the palm. */
  #dropFingers() {
    if (this.#active?.kind === "touch") {
      this.#active = null;
      this.#actions.abort();
    }
    this.#fingers.clear();
    this.#pinching = false;
  }

  /**
   * @param {Pointer} pointer
   * @param {boolean} pans
   */
  #begin({ id, kind, x, y }, pans) {
    this.#active = { id, kind, pans };
    [this.#activeX, this.#activeY] = [x, y];
  }

  /**
   * One of the fingers goes to x, y.
   *
   * @param {Finger} finger
   * @param {number} x
   * @param {number} y
   */
  #pinch(finger, x, y) {
    const [a, b] = this.#fingers.values();
    if (b === undefined) {
      this.#actions.pan(x - finger.x, y - finger.y);
      return;
    }
    if (finger !== a && finger !== b) return;
    const other = finger === a ? b : a;
    const before = Math.hypot(finger.x - other.x, finger.y - other.y);
    const after = Math.hypot(x - other.x, y - other.y);
    const [dx, dy] = [(x - finger.x) / 2, (y - finger.y) / 2];
    const factor = before > 1 && after > 1 ? after / before : 1;
    this.#actions.pinch((x + other.x) / 2, (y + other.y) / 2, dx, dy, factor);
  }
}
